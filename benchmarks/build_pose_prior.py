"""The pose prior that comes with the package, from the sampler's own infants: no picture and no fit has a part in it.

::

    python benchmarks/build_pose_prior.py           # writes src/fidip/synthesis/pose_prior.npz
    python benchmarks/build_pose_prior.py --check   # says how far a newly learnt one is from it
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from fidip.synthesis.anatomy import joint_angles
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.habits import draw_habit
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.postures import POSTURES, YEARS, Posture
from fidip.synthesis.priors import DEFAULT_PRIOR, default_prior, learn_prior, pose_vector

SEED, PER_POSTURE, COMPONENTS = 0, 1500, 8


def sampled_poses(
    seed: int, per_posture: int, postures: Sequence[Posture] = POSTURES["infant"]
) -> np.ndarray:  # (N, P)
    generator, body = np.random.default_rng(seed), AnnyBody.load()
    poses = []
    for posture in postures:
        for _ in range(per_posture):
            shape = body.draw_shape(generator, "infant", YEARS.get(("infant", posture)))[0]
            pose = draw_habit(generator, body, shape, draw_pose(generator, posture, body))
            poses.append(pose_vector(joint_angles(pose.rotations, body.bone_names)))
    return np.array(poses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    prior = learn_prior(sampled_poses(SEED, PER_POSTURE), COMPONENTS, SEED)
    fresh = sampled_poses(SEED + 1, 100)
    if given.check:
        apart = np.abs(prior.energy(fresh) - default_prior().energy(fresh)).max()
        print(f"energies of {len(fresh)} fresh poses differ by at most {apart:.2g}")
        return
    prior.save(DEFAULT_PRIOR)
    energies = np.percentile(prior.energy(fresh), (50, 90, 99))
    print(f"{DEFAULT_PRIOR}: {len(prior.weights)} components, {DEFAULT_PRIOR.stat().st_size} bytes")
    print("energy of fresh poses, 50th, 90th and 99th percentile:", energies.round(1))


if __name__ == "__main__":
    main()
