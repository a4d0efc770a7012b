from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from fidip.synthesis.bodies.skinning import kinematic_levels, rotation_matrices


def test_rotation_matrices_are_scipys() -> None:
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(50, 3))
    vectors = directions * np.concatenate([[0, 1e-9, 1e-4, 0.0099, 0.0101], generator.uniform(0, 4, 45)])[:, None]
    ours = rotation_matrices(torch.tensor(vectors)).numpy()
    np.testing.assert_allclose(ours, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


def test_levels_hold_every_bone_below_its_parent() -> None:
    parents = (-1, 0, 1, 0, 3, 3, 2)
    levels = kinematic_levels(parents)
    assert [bones for bones, _, _ in levels] == [[1, 3], [2, 4, 5], [6]]
    assert [places for _, _, places in levels] == [[0, 0], [0, 1, 1], [0]]
    for bones, over, _ in levels:
        assert [parents[bone] for bone in bones] == over
