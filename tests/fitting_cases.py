"""Infants of known pose, shape and camera, and what an annotator of their pictures would write."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from fidip.annotations import LabelledImage, Person
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.camera import Camera
from fidip.synthesis.framing import View, draw_camera
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.postures import Posture

SIZE = (640, 480)


class Case(NamedTuple):
    posture: Posture
    keypoints: np.ndarray  # (K, 3) in the camera's frame
    camera: Camera
    image: LabelledImage


def cases(*postures: Posture, seed: int = 0) -> list[Case]:
    """One infant for each posture, seen from anywhere with any roll, without noise."""
    body, found = AnnyBody.load(), []
    for number, posture in enumerate(postures, start=1):
        generator = np.random.default_rng([seed, number])
        shape = body.draw_shape(generator, "infant", (0.5, 1.5))[0]
        pose = draw_pose(generator, posture, body)
        posed = body(shape[None], torch.from_numpy(pose.rotations)[None], torch.tensor([[0.0, 0.0, 0.5]]))
        camera = draw_camera(generator, View(1.0, elevation=(5, 89)), posed.vertices[0, ::15].numpy(), SIZE)
        keypoints = posed.keypoints[0].numpy().astype(np.float64)
        labels = np.concatenate([camera.project(keypoints)[:, :2], np.full((17, 1), 2.0)], 1)
        image = LabelledImage(number, f"{number}.png", *SIZE, people=(Person(labels, id=10 * number),))
        found.append(Case(posture, camera.to_camera(keypoints), camera, image))
    return found
