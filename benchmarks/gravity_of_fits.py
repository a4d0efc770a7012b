"""How often the way up is found for bodies that were fitted to keypoints, and which postures a prior's limbs take.

::

    python benchmarks/gravity_of_fits.py --json benchmarks/results/gravity_of_fits.json

The sampler's infants are seen by the cameras of the lit scenes; their fits, to keypoints with 1 px of noise at 256
pixels, are laid on a floor with and without knowing the posture. "Found" is within 20 degrees of the truth.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from fidip.annotations import LabelledImage, Person
from fidip.files import write_json
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_people import fit_people, subjects
from fidip.synthesis.fitted import towards_camera
from fidip.synthesis.framing import draw_camera, draw_view
from fidip.synthesis.laying import lay
from fidip.synthesis.mending import draw_plausible_pose
from fidip.synthesis.postures import POSTURE_NAMES, YEARS, Posture
from fidip.synthesis.prior_poses import PriorPoses
from fidip.synthesis.scene import SCENE_STYLES

SIZE, NOISE, NEAR = (256, 256), 1.0, 20.0
UP = np.array([0.0, 0.0, 1.0])


def draw_views(count: int) -> tuple[list[LabelledImage], list[tuple[Posture, np.ndarray]]]:
    """Pictures' keypoints, and of each the posture and the way up in the frame of its camera."""
    body, style, rng = AnnyBody.load(), SCENE_STYLES["infant-photo"], np.random.default_rng(11)
    images, truths = [], []
    for posture in style.postures:
        for _ in range(count):
            shape = body.draw_shape(rng, "infant", YEARS.get(("infant", posture)))[0]
            resting, _ = draw_plausible_pose(rng, posture, body, shape)
            points = resting.vertices[::15].astype(np.float64)
            camera = draw_camera(rng, draw_view(rng, style.views), points, SIZE, 0.0)
            keypoints = camera.project(resting.keypoints.astype(np.float64))
            keypoints[:, :2] += rng.normal(0, NOISE, (len(keypoints), 2))
            keypoints[:, 2] = 2
            number = len(images) + 1
            person = Person(keypoints=keypoints, id=number)
            images.append(LabelledImage(number, f"{number}.png", *SIZE, (person,), posture=POSTURE_NAMES[posture]))
            truths.append((posture, camera.rotation @ UP))
    return images, truths


def found(count: int) -> dict[str, Any]:
    """Shares of bodies whose way up is found, by posture."""
    images, truths = draw_views(count)
    people, _ = subjects(images)
    fits, _ = fit_people(people)
    body = AnnyBody.load()
    report: dict[str, Any] = {}
    for name in ("known", "unknown"):
        hits: dict[str, list[bool]] = {}
        for row, (posture, up) in enumerate(truths):
            shape, told = torch.from_numpy(fits.shape[row]), posture if name == "known" else None
            laid, _ = lay(body, shape, fits.rotations[row], told, towards_camera(fits, row))
            own = Rotation.from_rotvec(fits.rotations[row, 0]).inv().apply(fits.camera_rotation[row].T @ up)
            hit = laid is not None and (
                float(Rotation.from_rotvec(laid.resting.pose.rotations[0]).inv().apply(UP) @ own)
                > np.cos(np.radians(NEAR))
            )
            hits.setdefault(posture, []).append(hit)
        report[name] = {posture: round(float(np.mean(each)), 3) for posture, each in hits.items()}
        report[name]["all"] = round(float(np.mean([hit for each in hits.values() for hit in each])), 3)
    return report


def postures_of_prior(count: int) -> dict[str, float]:
    """Shares of the postures that limbs of the package's prior rest in."""
    body, prior, style = AnnyBody.load(), PriorPoses.open("default"), SCENE_STYLES["infant-photo"]
    drawn = Counter(prior.draw(np.random.default_rng([0, n]), body, style).posture for n in range(count))
    return {str(posture): round(number / count, 3) for posture, number in drawn.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=25, help="bodies of each posture")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = {"bodies_of_each_posture": given.count, "found": found(given.count), "prior": postures_of_prior(200)}
    for name, shares in report["found"].items():
        print(f"posture {name}:", ", ".join(f"{posture} {share:.0%}" for posture, share in shares.items()))
    print("prior:", ", ".join(f"{posture} {share:.0%}" for posture, share in report["prior"].items()))
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
