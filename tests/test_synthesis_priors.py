from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from fidip.errors import DataError
from fidip.synthesis.arrays import write_arrays
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_motions import MOTION_NAMES
from fidip.synthesis.postures import POSTURES, draw_angles
from fidip.synthesis.priors import (
    ANATOMICAL,
    DEFAULT_PRIOR,
    LOOSEST,
    ShapePrior,
    default_prior,
    learn_prior,
    pose_vector,
    read_prior,
)

P = len(MOTION_NAMES)


def sampled(count: int, seed: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    postures = POSTURES["infant"]
    return np.array(
        [pose_vector(draw_angles(generator, postures[i % len(postures)], "infant")[0]) for i in range(count)]
    )


def test_the_energy_is_the_best_components_negative_log_density() -> None:
    """Up to the constant by which the smallest component's volume is taken out."""
    prior = default_prior()
    poses = sampled(20)
    densities = [
        multivariate_normal(mean, covariance).logpdf(poses) + math.log(weight)
        for mean, covariance, weight in zip(prior.means, prior.covariances, prior.weights, strict=True)
    ]
    smallest = min(np.linalg.slogdet(covariance)[1] / 2 for covariance in prior.covariances)
    expected = -np.max(densities, axis=0) - smallest
    np.testing.assert_allclose(prior.energy(poses), expected, rtol=1e-6)


def test_the_shipped_prior_knows_the_samplers_poses_and_their_mirror_images() -> None:
    poses = sampled(300)
    energies = default_prior().energy(poses)
    assert np.percentile(energies, 95) < 85
    np.testing.assert_allclose(default_prior().energy(ANATOMICAL.mirrored(poses)), energies, rtol=1e-5)
    assert np.median(default_prior().energy(1.6 * poses)) > np.median(energies) + 40
    assert DEFAULT_PRIOR.stat().st_size < 150_000


def test_a_mixture_is_found_again() -> None:
    generator = np.random.default_rng(0)
    centres = np.zeros((2, P))
    centres[1, MOTION_NAMES.index("neck_flexion")] = 2.0
    poses = np.concatenate([centre + 0.2 * generator.standard_normal((400, P)) for centre in centres])
    prior = learn_prior(poses, 2)
    order = np.argsort(prior.means[:, MOTION_NAMES.index("neck_flexion")])
    np.testing.assert_allclose(prior.means[order], np.repeat(centres, 2, 0), atol=0.06)
    spread = np.sqrt(np.diagonal(prior.covariances, axis1=1, axis2=2))
    assert spread.mean() == pytest.approx(math.hypot(0.2, LOOSEST), rel=0.05)
    np.testing.assert_allclose(prior.weights, 0.25, atol=0.03)


def test_a_mirror_image_twice_is_the_pose() -> None:
    poses = sampled(6)
    mirrored = ANATOMICAL.mirrored(poses)
    np.testing.assert_array_equal(ANATOMICAL.mirrored(mirrored), poses)
    left, right = (MOTION_NAMES.index(f"{side}_knee_flexion") for side in ("left", "right"))
    np.testing.assert_array_equal(mirrored[:, left], poses[:, right])
    twist = MOTION_NAMES.index("neck_twist")
    np.testing.assert_array_equal(mirrored[:, twist], -poses[:, twist])


@pytest.mark.parametrize("count", [2, 7, 40])
def test_few_poses_give_few_wide_components(count: int) -> None:
    poses = sampled(count)
    prior = learn_prior(poses, 8)
    assert len(prior.weights) == 2 * max(1, min(8, 2 * count // 12))
    assert np.linalg.eigvalsh(prior.covariances).min() > 0.9 * LOOSEST**2
    assert np.isfinite(prior.energy(sampled(50, 8))).all()
    with pytest.raises(ValueError, match="at least two poses"):
        learn_prior(poses[:1], 1)


def test_a_prior_survives_the_disk(tmp_path: Path) -> None:
    prior = learn_prior(sampled(60), 3)
    prior.save(tmp_path / "prior.npz")
    again = read_prior(tmp_path / "prior.npz")
    assert again.motions == prior.motions
    np.testing.assert_allclose(again.energy(sampled(9)), prior.energy(sampled(9)), rtol=1e-3)


def test_shape_directions_are_whitened_and_ordered_by_effect() -> None:
    body = AnnyBody.load()
    prior = ShapePrior.of_population(body)
    generator = np.random.default_rng(0)
    effects = generator.standard_normal((len(prior.mean), 7))
    directions = prior.directions(effects, 7)
    inverse = np.linalg.inv(prior.covariance)
    np.testing.assert_allclose(directions @ inverse @ directions.T, np.eye(7), atol=1e-6)
    reach = np.linalg.norm(directions @ effects, axis=1)
    assert (np.diff(reach) < 1e-9).all()
    assert reach @ reach == pytest.approx(np.trace(effects.T @ prior.covariance @ effects), rel=1e-6)


GOOD = {
    "motions": np.array(["a", "b"]),
    "means": np.zeros((1, 2)),
    "covariances": np.eye(2)[None],
    "weights": np.ones(1),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": np.zeros((1, 3))}, r"found \(\(1, 3\)"),
        ({"means": np.full((1, 2), np.nan)}, "not finite"),
        ({"covariances": -np.eye(2)[None]}, "positive definite"),
        ({"weights": np.array([-1.0])}, "usable pose prior"),
        ({"weights": np.zeros(0), "means": np.zeros((0, 2)), "covariances": np.zeros((0, 2, 2))}, "usable pose prior"),
        ({"weights": np.ones(300)}, "more than 256 components"),
        ({"motions": np.arange(2)}, "expected names"),
    ],
)
def test_unusable_priors_are_refused_in_one_line(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    file = tmp_path / "prior.npz"
    write_arrays(file, GOOD)
    assert read_prior(file).motions == ("a", "b")
    write_arrays(file, GOOD | change)
    with pytest.raises(DataError, match=message) as caught:
        read_prior(file)
    assert "\n" not in str(caught.value)
    assert "prior.npz" in str(caught.value)
