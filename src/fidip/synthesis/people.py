"""A clothed person as meshes: skin, eyes, hair and garments on a posed body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fidip.synthesis.appearance import COLOURED_HAIRS, DARK_HAIRS, HAIR_DENSITIES, HAIRS, AssetBank
from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.clothing import Tailor
from fidip.synthesis.surface import Reference, Surface, Vectors
from fidip.synthesis.textures import Texture
from fidip.synthesis.wardrobe import draw_garments
from fidip.synthesis.world import Mesh


@dataclass(frozen=True, slots=True, eq=False)
class ClothedPerson:
    """Meshes of one person and what was chosen for it."""

    meshes: tuple[Mesh, ...]
    choices: dict[str, Any]


def draw_person(
    rng: np.random.Generator,
    surface: Surface,
    population: Population,
    vertices: Vectors,  # (V, 3) of the posed body
    bank: AssetBank,
) -> ClothedPerson:
    """Dress a posed body with what a bank has: the user's textures of whole bodies, or else skin, hair and clothes."""
    if bank.bodies:
        return _draw_painted(rng, surface, vertices, bank)
    reference = surface.references[population]
    tailor = Tailor(surface, reference, vertices)
    clothes, worn = [], {}
    for garment in draw_garments(rng, population):
        shelf = bank.diapers if garment.name == "diaper" else bank.fabrics
        worn[garment.name] = int(rng.integers(len(shelf)))
        clothes.append(tailor.dress(garment, shelf[worn[garment.name]], rng))
    skin, eye = int(rng.integers(len(bank.skins))), int(rng.integers(len(bank.eyes)))
    bare = _bare_body(surface, reference, vertices, tailor, bank.skins[skin], bank.eyes[eye])
    hair = _draw_hair(rng, tailor, bank, population, darkness=skin / (len(bank.skins) - 1))
    return ClothedPerson((*bare, *hair, *clothes), {"skin": skin, "eyes": eye, "hair": bool(hair), "clothes": worn})


def _draw_painted(rng: np.random.Generator, surface: Surface, vertices: Vectors, bank: AssetBank) -> ClothedPerson:
    """A body in one picture that shows skin and clothes alike; all of them are equally likely."""
    chosen = int(rng.integers(len(bank.bodies)))
    normals, of_vertex = surface.normals(vertices), surface.vertex_of_uv
    faces, texture = surface.face_uvs.astype(np.int32), bank.bodies[chosen]
    mesh = Mesh("body", vertices[of_vertex], normals[of_vertex], surface.uvs, faces, surface.face_parts, texture)
    return ClothedPerson((mesh,), {"body_texture": bank.body_names[chosen]})


def _bare_body(
    surface: Surface, reference: Reference, vertices: Vectors, tailor: Tailor, skin: Texture, eye: Texture
) -> list[Mesh]:
    normals = tailor.body_normals
    shown = tailor.bare.copy()
    for mask in surface.eyeballs:
        shown &= ~mask
    of_vertex = surface.vertex_of_uv
    faces, parts = surface.face_uvs[shown].astype(np.int32), surface.face_parts[shown]
    meshes = [Mesh("skin", vertices[of_vertex], normals[of_vertex], surface.uvs, faces, parts, skin, skin=True)]
    for mask in surface.eyeballs:
        own, corners = np.unique(surface.faces[mask], return_inverse=True)
        faces = corners.reshape(-1, 3).astype(np.int32)
        rest = reference.vertices[own]
        # Seen from the front: what lies behind the white repeats it and is hidden in the head.
        offset = (rest - rest.mean(0)) / np.ptp(rest[:, 0])
        uvs = (0.5 + offset[:, [0, 2]] * 0.98).astype(np.float32)
        meshes.append(Mesh("eye", vertices[own], normals[own], uvs, faces, surface.face_parts[mask], eye))
    return meshes


def _draw_hair(
    rng: np.random.Generator, tailor: Tailor, bank: AssetBank, population: Population, darkness: float
) -> list[Mesh]:
    """Infants have little hair or none, adults mostly a full head of it; dark skin goes with dark hair."""
    infant = population == "infant"
    if rng.random() < (0.2 if infant else 0.08):
        return []
    colours = DARK_HAIRS if darkness > 0.45 else COLOURED_HAIRS
    colour = int(rng.integers(colours))
    if not infant and rng.random() < 0.15:
        colour = int(rng.integers(COLOURED_HAIRS, len(HAIRS)))
    density = int(rng.integers(len(HAIR_DENSITIES))) if infant else len(HAIR_DENSITIES) - 1
    hairline = rng.uniform(-0.7, 0.2) if infant else rng.uniform(-0.2, 0.4)
    thickness = rng.uniform(0.001, 0.006) if infant else rng.uniform(0.006, 0.03)
    return [tailor.grow_hair(hairline, bank.hairs[density][colour], thickness)]
