from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fidip.synthesis.anatomy import MOTIONS, bone_rotations
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_body import AnatomicalBody, left_jacobian
from fidip.synthesis.priors import ShapePrior

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> AnnyBody:
    return AnnyBody.load()


@pytest.fixture(scope="module")
def body(model: AnnyBody) -> AnatomicalBody:
    return AnatomicalBody(model, ShapePrior.of_population(model), CPU, torch.float64, 6)


@pytest.fixture(scope="module")
def guesses(body: AnatomicalBody) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses all over the limits, and shapes."""
    generator = torch.Generator().manual_seed(3)
    low, high = body.limits.T
    share = torch.rand(12, len(low), generator=generator, dtype=torch.float64)
    return low + share * (high - low), torch.randn(12, 6, generator=generator, dtype=torch.float64)


def test_keypoints_are_those_of_the_posed_body(model, body, guesses) -> None:
    pose, shape = guesses
    points, _, _ = body.points(pose, shape)
    rotations = torch.from_numpy(np.stack([body.rotations(each) for each in pose.numpy()]))
    expected = model.keypoints(body.full_shape(shape).float(), rotations, torch.zeros(12, 3))
    assert (points - expected).abs().max() < 2e-6


def test_derivatives_are_those_of_automatic_differentiation(body, guesses) -> None:
    for pose, shape in zip(*(each[:3] for each in guesses), strict=True):
        _, by_pose, by_shape = body.points(pose[None], shape[None])
        expected = torch.autograd.functional.jacobian(lambda p, s: body.points(p[None], s[None])[0][0], (pose, shape))
        torch.testing.assert_close(by_pose[0], expected[0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(by_shape[0], expected[1], rtol=1e-9, atol=1e-12)


def test_derivatives_are_difference_quotients(body, guesses) -> None:
    """In double precision, against nothing but the points themselves."""
    pose, shape = (each[:2] for each in guesses)
    _, by_pose, by_shape = body.points(pose, shape)
    step = 1e-6
    for unknowns, slopes in ((0, by_pose), (1, by_shape)):
        for index in range(slopes.shape[-1]):
            ends = []
            for sign in (1, -1):
                moved = [pose.clone(), shape.clone()]
                moved[unknowns][:, index] += sign * step
                ends.append(body.points(*moved)[0])
            torch.testing.assert_close(slopes[..., index], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_rotations_come_back_as_motions(model, body) -> None:
    angles = {name: 0.4 * low + 0.6 * high for name, (low, high) in MOTIONS.items()}
    pose = body.pose(bone_rotations(angles, model.bone_names))
    np.testing.assert_allclose(np.degrees(pose), list(angles.values()), atol=0.05)
    np.testing.assert_allclose(body.rotations(pose), bone_rotations(angles, model.bone_names), atol=1e-4)


def test_shapes_are_infants_and_the_directions_those_that_show(model, body) -> None:
    """No shape means the mean infant; the fitted directions leave almost nothing of what shape does to keypoints."""
    bank = torch.from_numpy(model.shapes("infant")).double()
    torch.testing.assert_close(body.full_shape(torch.zeros(1, 6, dtype=torch.float64))[0], bank.mean(0))
    rest = model.rest(bank[::20].float()).keypoints.double()
    prior = ShapePrior.of_population(model)
    every = AnatomicalBody(model, prior, CPU, torch.float64, 48)
    whitened = torch.linalg.solve(every._directions.T, (bank[::20] - bank.mean(0)).T).T
    assert torch.cov(whitened.T).diagonal().mean() == pytest.approx(1.0, abs=0.2)
    shown = torch.cat([whitened[:, :6], torch.zeros(len(whitened), 42, dtype=torch.float64)], 1)
    few = model.rest(every.full_shape(shown).float()).keypoints.double()
    left = (few - rest).square().mean() / (rest - rest.mean(0)).square().mean()
    assert left < 0.005


def test_the_left_jacobian_says_how_a_rotation_turns() -> None:
    generator = np.random.default_rng(0)
    for scale in (1e-6, 0.3, 2.5):
        vector, change = generator.standard_normal((2, 3)) * (scale, 1e-6)[:1]
        change *= 1e-6 / max(scale, 1e-6)
        turned = Rotation.from_rotvec(vector + change) * Rotation.from_rotvec(vector).inv()
        expected = left_jacobian(torch.from_numpy(vector)).numpy() @ change
        np.testing.assert_allclose(turned.as_rotvec(), expected, rtol=1e-4, atol=1e-12)
