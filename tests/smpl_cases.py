"""The forged body, converted, in poses of known keypoints, and what an annotator of their pictures would write."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from body_files import humanoid
from fidip.annotations import LabelledImage, Person
from fidip.smpl_joints import BONES, PARENTS
from fidip.synthesis.bodies.smpl import SmplBody
from fidip.synthesis.bodies.smpl_files import FORMAT, _plain_layout, body_arrays
from fidip.synthesis.fit_bodies import CPU, Fittable
from fidip.synthesis.fit_smpl import AxisAngleBody
from fidip.synthesis.fits import CAMERA_ROTATION, Fits, write_fits
from fidip.synthesis.framing import View, draw_camera
from fitting_cases import SIZE, Case


@cache
def converted() -> dict[str, Any]:
    arrays = body_arrays(humanoid(), "forged")
    named = {"source_sha256": np.array("0" * 64), "fidip_body": np.array(FORMAT)}
    return arrays | _plain_layout(arrays) | named


STRETCHED = {
    "shoulder": ("elbow", (1.0, 0.0, 0.0)), "elbow": ("wrist", (1.0, 0.0, 0.0)), "wrist": ("hand", (1.0, 0.0, 0.0)),
    "hip": ("knee", (0.05, 0.0, -1.0)), "knee": ("ankle", (0.0, 0.0, -1.0)),
}  # fmt: skip
"""Where the limbs of the left end, and where they point, in a stance such as SMPL's own."""


@cache
def stretched() -> dict[str, Any]:
    """The forged body, resting with arms stretched out and legs straight, its skin smooth."""
    arrays = converted() | {"pose_basis": np.zeros_like(converted()["pose_basis"])}
    joints, turns, local = arrays["joint_template"].astype(np.float64), [Rotation.identity()], np.zeros((len(BONES), 3))
    for joint, (name, parent) in enumerate(zip(BONES[1:], PARENTS[1:], strict=True), start=1):
        side, _, part = name.partition("_")
        turn = turns[parent]
        if part in STRETCHED:
            end, towards = STRETCHED[part]
            limb = turn.apply(joints[BONES.index(f"{side}_{end}")] - joints[joint])
            goal = np.array(towards) * ((1, 1, 1) if side == "left" else (-1, 1, 1))
            axis, cosine = np.cross(limb, goal), limb @ goal
            sine = np.linalg.norm(axis)
            turn = Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)) * turn
        turns.append(turn)
        local[joint] = (turns[parent].inv() * turn).as_rotvec()
    shapes = np.concatenate([np.zeros((1, len(arrays["basis"]))), np.eye(len(arrays["basis"]))])
    inputs = shapes, np.tile(local, (len(shapes), 1, 1)), np.zeros((len(shapes), 3))
    with torch.no_grad():
        posed = SmplBody(arrays).double()(*map(torch.from_numpy, inputs))
    moved = {}
    for name, points in (("template", posed.vertices.numpy()), ("joint_template", posed.joints.numpy())):
        moved |= {name: points[0], name.replace("template", "basis"): points[1:] - points[0]}
    return arrays | moved


@cache
def fittable(wrinkled: bool = True) -> Fittable:
    """The forged body's blend shapes of poses are random, so that nothing may forget them: its skin wrinkles."""
    arrays = converted()
    body = SmplBody(arrays if wrinkled else arrays | {"pose_basis": np.zeros_like(arrays["pose_basis"])})
    return Fittable("smpl", body, AxisAngleBody(body, CPU, torch.float64))


def write_body(file: Path, layout: str = "plain") -> Path:
    """``layout="smpl"`` says that the plain layout is SMPL's, so that textures may be painted in it."""
    np.savez(file, **converted() | {"uv_layout": np.array(layout)})
    return file


def some_poses(seed: int, count: int) -> np.ndarray:  # (count, 69)
    """Poses out of the middle of the Gaussians of the body's own prior."""
    prior, rng = fittable().seen.prior, np.random.default_rng(seed)
    components = rng.choice(len(prior.weights), count, p=prior.weights)
    roots = np.linalg.cholesky(prior.covariances)[components]
    return prior.means[components] + 0.7 * np.einsum("npq,nq->np", roots, rng.standard_normal((count, roots.shape[1])))


def smpl_cases(count: int, seed: int = 0) -> list[Case]:
    """Bodies of the file's own shapes, seen from anywhere with any roll, without noise."""
    body, found = fittable(), []
    for number, pose in enumerate(some_poses(seed, count), start=1):
        generator = np.random.default_rng([seed, number])
        shape = body.model.draw_shape(generator, "infant")[0][None]
        rotations = torch.from_numpy(body.seen.rotations(pose))[None]
        posed = body.model(shape, rotations, torch.tensor([[0.0, 0.0, 0.5]]))
        camera = draw_camera(generator, View(1.0, elevation=(5, 89)), posed.vertices[0, ::15].numpy(), SIZE)
        keypoints = posed.keypoints[0].numpy().astype(np.float64)
        labels = np.concatenate([camera.project(keypoints)[:, :2], np.full((17, 1), 2.0)], 1)
        image = LabelledImage(number, f"{number}.png", *SIZE, people=(Person(labels, id=10 * number),))
        found.append(Case("supine", camera.to_camera(keypoints), camera, image))
    return found


def write_fits_folder(folder: Path, count: int, turn: float = 0.3, **settings: str) -> Path:
    """What ``fidip fit`` would leave of so many of its fits, all plausible, seen from the front; turns in radians."""
    shapes = len(converted()["basis"])
    ids, rng = np.arange(1, count + 1), np.random.default_rng(count)
    rotations = np.zeros((count, len(BONES), 3))
    rotations[:, 1:] = turn * rng.uniform(-1, 1, (count, len(BONES) - 1, 3))
    folder.mkdir()
    write_fits(folder / "fits.npz", Fits(
        ids=ids, image_ids=ids, shape=(0.2 * rng.normal(size=(count, shapes))).astype(np.float32),
        rotations=rotations.astype(np.float32), translation=np.tile(np.float32([0, 2, 0]), (count, 1)),
        focal=np.full(count, 500.0), principal=np.full((count, 2), 100.0), size=np.full((count, 2), 201), body="smpl",
        camera_rotation=np.tile(CAMERA_ROTATION, (count, 1, 1)), camera_position=np.zeros((count, 3)),
        bone_names=BONES,
    ))  # fmt: skip
    records = [{"id": int(one), "plausible": True} for one in ids]
    (folder / "fits.json").write_text(json.dumps({"fits": records, "settings": settings}))
    return folder
