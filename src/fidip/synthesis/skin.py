"""Skin and eyes, painted in the body's texture atlas by where each texel lies on the body in its rest pose."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.surface import Surface
from fidip.synthesis.textures import Field, Texture, noise, opaque

TONES = np.array(
    [
        [250, 222, 205], [244, 205, 180], [236, 188, 158], [224, 172, 138], [206, 150, 112],
        [186, 128, 92], [158, 104, 74], [128, 82, 58], [98, 62, 44], [72, 45, 34],
    ],
    np.float32,
)  # fmt: skip
"""Human skin from light to dark, sRGB."""

IRISES = np.array(
    [[70, 45, 30], [95, 65, 40], [50, 34, 26], [96, 118, 130], [84, 112, 150], [100, 108, 70]], np.float32
)

WHITE_OF_EYE, PUPIL = np.array([226, 220, 214], np.float32), np.array([18, 14, 14], np.float32)

EYE_HALF_WIDTH, EYE_HALF_HEIGHT, IRIS_RADIUS = 0.24, 0.11, 0.12
"""Of eyes that are painted on the skin, in shares of the distance between them."""


@dataclass(frozen=True, slots=True, eq=False)
class SkinChart:
    """Masks over the atlas: how much each texel belongs to what is redder, paler or hairy. Each is (S, S) in [0, 1]."""

    flush: Field  # cheeks, nose, ears, knees, elbows, fingers, toes
    lips: Field
    brows: Field
    palms: Field  # and soles
    mottle: Field  # the marbling of limbs
    eyes: Field  # whites; nothing on a body that has eyeballs
    irises: Field
    pupils: Field

    @property
    def size(self) -> int:
        """The edge of the atlas in texels."""
        return len(self.lips)


def skin_chart(surface: Surface, size: int) -> SkinChart:
    """Work out the masks of a body, once: the infant's reference body says where things are."""
    reference = surface.references["infant"]
    place, vertex = _texel_places(surface, size)
    part = surface.vertex_parts[vertex]
    nose, left_eye, right_eye = reference.keypoints[:3]
    span = float(np.linalg.norm(left_eye - right_eye))  # the unit of everything in a face
    head = part == PARTS.index("head")

    def spot(centre: NDArray[np.floating], *radii: float) -> Field:
        offset = (place - centre.astype(np.float32)) / (span * np.array(radii, np.float32))
        return np.asarray(np.exp(-0.5 * (offset**2).sum(-1)), np.float32)

    middle = (left_eye + right_eye) / 2
    mouth = np.array([middle[0], nose[1], nose[2] - 0.52 * span])
    flush = spot(nose, 0.22, 0.5, 0.18) * 0.7
    brows, mottle = np.zeros_like(flush), np.zeros_like(flush)
    for eye, side in ((left_eye, 1), (right_eye, -1)):
        flush += spot(eye + span * np.array([0.22 * side, 0.1, -0.6]), 0.3, 0.6, 0.24)
        for lean in (-0.22, 0.0, 0.22):  # three spots in an arch
            arch = eye + span * np.array([lean + 0.05 * side, 0.0, 0.36 - 1.2 * lean**2])
            brows = np.maximum(brows, spot(arch, 0.13, 0.7, 0.04))
    for ear in reference.keypoints[3:5]:
        flush += 0.6 * spot(ear, 0.2, 0.35, 0.4)
    flush *= head
    for joint in (7, 8, 13, 14):  # elbows and knees
        flush += 0.7 * spot(reference.keypoints[joint], 0.7, 0.7, 0.6) * ~head
    ends = np.isin(part, [PARTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("hand", "foot")])
    limbs = ~head & (part != PARTS.index("torso"))
    mottle[limbs] = 1
    flush += 0.35 * ends
    lips = np.clip(1.6 * spot(mouth, 0.26, 0.5, 0.075), 0, 1) * head
    downward = surface.normals(reference.vertices)[vertex, 2] < -0.35
    palms = np.asarray(cv2.GaussianBlur((downward & ends).astype(np.float32), (0, 0), size / 200), np.float32)
    eyes, irises, pupils = (np.zeros_like(flush) for _ in range(3))
    for eye in () if surface.eyeballs else (left_eye, right_eye):
        white = _disc(place - eye, span * EYE_HALF_WIDTH, span * EYE_HALF_HEIGHT) * head
        eyes = np.maximum(eyes, white)
        irises = np.maximum(irises, white * _disc(place - eye, span * IRIS_RADIUS, span * IRIS_RADIUS))
        pupils = np.maximum(pupils, white * _disc(place - eye, 0.4 * span * IRIS_RADIUS, 0.4 * span * IRIS_RADIUS))
    brows = np.clip(1.5 * brows, 0, 1) * head
    return SkinChart(np.clip(flush, 0, 1), lips, brows, palms, mottle, eyes, irises, pupils)


def _disc(offset: NDArray[np.float32], width: float, height: float) -> Field:  # (S, S, 3) from its middle -> (S, S)
    """An ellipse on the front of a face, with a soft edge; lengths are half axes in metres."""
    x, y, z = np.moveaxis(offset, -1, 0)
    inside = np.clip(4 * (1 - np.hypot(x / width, z / height)) + 0.5, 0, 1)
    return np.asarray(inside * (np.abs(y) < 0.02 + width), np.float32)


def paint_skin(rng: np.random.Generator, chart: SkinChart, darkness: float) -> Texture:
    """One person's skin; ``darkness`` from 0 to 1 places its tone among human ones."""
    size = chart.size
    place = darkness * (len(TONES) - 1)
    index = min(int(place), len(TONES) - 2)
    tone = TONES[index] + (place - index) * (TONES[index + 1] - TONES[index])
    tone = (tone * rng.normal(1, 0.025, 3)).astype(np.float32)
    dark = np.float32(darkness)
    fine = 0.025 * noise(rng, size, 1.3) + 0.015 * noise(rng, size, 0.5)
    picture = tone * (1 + fine[..., None] * np.array([0.8, 1.1, 1.2], np.float32))
    marbling = 0.05 * np.clip(noise(rng, size, 1.0), -1.5, 2) * chart.mottle * np.float32(rng.uniform(0, 1))
    redness = chart.flush * np.float32(rng.uniform(0.3, 1.0)) + marbling
    picture *= 1 - redness[..., None] * np.array([0.03, 0.16, 0.15], np.float32)
    paler = tone + (np.array([225, 180, 155], np.float32) - tone) * 0.6 * dark
    picture += (paler - tone) * chart.palms[..., None]
    lip_tone = tone * np.array([0.86, 0.58, 0.58], np.float32) + np.array([14, 0, 4], np.float32)
    picture += (lip_tone - picture) * (chart.lips * np.float32(rng.uniform(0.5, 0.9)))[..., None]
    hair = np.array([70, 48, 34], np.float32) * (1 - 0.5 * dark)
    picture += (hair - picture) * (chart.brows * np.float32(rng.uniform(0.1, 0.75)))[..., None]
    if chart.eyes.any():
        iris = IRISES[rng.integers(len(IRISES))]
        for mask, colour in ((chart.eyes, WHITE_OF_EYE), (chart.irises, iris), (chart.pupils, PUPIL)):
            picture += (colour - picture) * mask[..., None]
    return opaque(picture)


def paint_eye(rng: np.random.Generator, size: int) -> Texture:
    """An eyeball seen from the front: the iris in the middle of the texture, looking slightly aside."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    offset = rng.normal(0, 0.03, 2)
    radius = np.hypot(x - offset[0], y - offset[1])
    angle = np.arctan2(y - offset[1], x - offset[0])
    iris = IRISES[rng.integers(len(IRISES))] * rng.normal(1, 0.08)
    white = np.array([236, 232, 228], np.float32) - np.hypot(x, y)[..., None] * np.array([40, 70, 70], np.float32)
    fibres = 1 + 0.2 * np.sin(angle * 24 + rng.uniform(0, 6)) * (radius > 0.08)
    picture = np.where((radius < 0.21)[..., None], iris * fibres[..., None] * (1.25 - 2 * radius[..., None]), white)
    picture = np.where((radius < 0.085)[..., None], 14.0, picture)
    glint = np.hypot(x - offset[0] + 0.06, y - offset[1] + 0.07) < 0.03
    return opaque(np.where(glint[..., None], 250.0, picture))


def _texel_places(surface: Surface, size: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Where each texel lies on the infant's reference body, (S, S, 3), and the vertex next to it, (S, S).

    Between the atlas's islands the nearest place holds, so that seams do not show. Looked up at half the resolution:
    the face has a hundred vertices across.
    """
    half = size // 2
    centres = (np.arange(half, dtype=np.float32) + 0.5) / half
    texels = np.stack(np.meshgrid(centres, 1 - centres), -1).reshape(-1, 2)  # v = 0 is the lowest row
    distance, nearest = cKDTree(surface.uvs).query(texels, k=3)
    weight = 1 / np.maximum(distance, 1e-6) ** 2
    weight /= weight.sum(1, keepdims=True)
    vertices = surface.vertex_of_uv[nearest]
    place = (surface.references["infant"].vertices[vertices] * weight[..., None]).sum(1)
    place = cv2.resize(place.reshape(half, half, 3).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    vertex = cv2.resize(vertices[:, 0].reshape(half, half), (size, size), interpolation=cv2.INTER_NEAREST)
    return np.asarray(place, np.float32), np.asarray(vertex, np.int32)
