from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fidip.synthesis.anatomy import MOTIONS, bone_rotations
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_motions import DERIVED, MOTION_NAMES, derived_motions, turns


@pytest.mark.parametrize("seed", range(4))
def test_turns_multiply_to_the_rotations_of_anatomy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    names = AnnyBody.load().bone_names
    angles = {name: float(generator.uniform(low, high)) for name, (low, high) in MOTIONS.items()}
    pose = torch.tensor([[np.radians(angles[name]) for name in MOTION_NAMES]])
    values = dict(zip((*MOTION_NAMES, *DERIVED), derived_motions(pose)[0][0].tolist(), strict=True))
    products: dict[str, Rotation] = {}
    for turn in turns():
        vector = turn.offset + sum(values[motion] * axis for motion, axis in zip(turn.motions, turn.axes, strict=True))
        factor = Rotation.from_rotvec(vector) * Rotation.from_matrix(turn.after)
        products[turn.bone] = products.get(turn.bone, Rotation.identity()) * factor
    expected = bone_rotations(angles, names)
    for bone, product in products.items():
        apart = product.inv() * Rotation.from_rotvec(expected[names.index(bone)])
        assert apart.magnitude() < 1e-5, bone
    fingers_and_thumb_tip = {name for name in names if name.startswith("finger")} - set(products)
    unmoved = set(names) - set(products) - fingers_and_thumb_tip
    assert not np.any(expected[[names.index(name) for name in unmoved]])


def test_the_slope_of_a_derived_motion_is_its_derivative() -> None:
    pose = torch.full((2, len(MOTION_NAMES)), 0.5, dtype=torch.float64)
    pose[1] = 1.5
    pose.requires_grad_(True)
    values, slope = derived_motions(pose)
    (gradient,) = torch.autograd.grad(values[:, len(MOTION_NAMES) :].sum(), pose)
    torch.testing.assert_close(gradient.sum(1), slope.sum(1))
    assert slope[0].tolist() == [0, 0]
    assert slope[1].tolist() == pytest.approx([0.2, 0.2])
