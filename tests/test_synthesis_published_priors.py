"""Priors in the form in which they are published, forged."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from body_files import TO_SMPL, Ch, Mahalanobis, disguised
from fidip.errors import DataError
from fidip.synthesis.fit_bodies import Fittable
from fidip.synthesis.fit_smpl import AXIS_ANGLES
from fidip.synthesis.priors import learn_prior
from fidip.synthesis.published_priors import fitting_prior, read_mahalanobis, read_mixture, to_our_axes
from smpl_cases import fittable, some_poses


def mixture() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    factors = rng.normal(0, 0.1, (8, 69, 69))
    covariances = factors @ factors.swapaxes(1, 2) + 0.01 * np.eye(69)
    return {"means": rng.normal(0, 0.3, (8, 69)), "covars": covariances, "weights": rng.dirichlet(np.ones(8))}


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_mixture_is_read(tmp_path: Path, protocol: int) -> None:
    file, stored = tmp_path / "gmm_08.pkl", mixture()
    file.write_bytes(pickle.dumps(stored, protocol))
    found = read_mixture(file)
    np.testing.assert_array_equal(found.means, stored["means"])
    np.testing.assert_array_equal(found.covariances, stored["covars"])
    np.testing.assert_allclose(found.weights, stored["weights"], rtol=1e-12)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_gaussian_of_a_class_of_someones_script_is_read(tmp_path: Path, protocol: int) -> None:
    file, rng = tmp_path / "smil_pose_prior.pkl", np.random.default_rng(0)
    mean, precision = rng.normal(size=69), rng.normal(size=(69, 69))
    with disguised(Ch, "chumpy.ch"), disguised(Mahalanobis, "__main__"):
        file.write_bytes(pickle.dumps(Mahalanobis(mean, Ch(precision), 3), protocol))
    found = read_mahalanobis(file)
    np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.precision, precision)
    assert found.prefix == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"means": np.zeros((8, 63))}, r"means: has the shape \(8, 63\), where \(8, 69\) is expected"),
        ({"covars": np.zeros((8, 69))}, r"covars: has the shape \(8, 69\)"),
        ({"covars": np.zeros((8, 69, 69))}, "covars: holds a matrix that is no covariance"),
        (
            {"covars": mixture()["covars"] + np.triu(np.ones((69, 69)), 1)},
            "covars: holds a matrix that is no covariance",
        ),
        ({"means": np.full((8, 69), np.nan)}, "means: holds a value that is not finite"),
        ({"weights": np.ones(8)}, "weights: are not positive with the sum one"),
        ({"weights": np.array([1.5, -0.5] + [0] * 6)}, "weights: are not positive with the sum one"),
        ({"weights": np.zeros((8, 1))}, "weights: has the shape"),
        ({"weights": "many"}, "weights: holds no numbers"),
    ],
)
def test_mixtures_that_are_none_are_refused(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    file = tmp_path / "gmm_08.pkl"
    file.write_bytes(pickle.dumps(mixture() | changes))
    with pytest.raises(DataError, match=f"gmm_08.pkl: {problem}"):
        read_mixture(file)


@pytest.mark.parametrize(
    ("prior", "problem"),
    [
        (Mahalanobis(np.zeros(63), np.eye(63), 3), r"mean: has the shape \(63,\), where 69 numbers are expected"),
        (Mahalanobis(np.zeros(69), np.eye(63), 3), r"prec: has the shape \(63, 63\)"),
        (Mahalanobis(np.zeros(69), np.full((69, 69), np.inf), 3), "prec: holds a value that is not finite"),
        (Mahalanobis(np.zeros(69), np.eye(69), 66), "prefix: is no count"),
        (Mahalanobis(np.zeros(69), np.eye(69), "3"), "prefix: is no count"),  # type: ignore[arg-type]
    ],
)
def test_gaussians_that_are_none_are_refused(tmp_path: Path, prior: Mahalanobis, problem: str) -> None:
    file = tmp_path / "prior.pkl"
    with disguised(Mahalanobis, "__main__"):
        file.write_bytes(pickle.dumps(prior))
    with pytest.raises(DataError, match=f"prior.pkl: {problem}"):
        read_mahalanobis(file)


def test_a_pose_about_other_axes_is_the_same_turn() -> None:
    poses = np.random.default_rng(0).normal(size=(2, 69))
    ours = to_our_axes(poses)
    theirs = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix()
    turned = Rotation.from_rotvec(ours.reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(TO_SMPL @ turned @ TO_SMPL.T, theirs, atol=1e-12)


def theirs(poses: np.ndarray) -> np.ndarray:  # (N, 69) -> (N, 69)
    return (poses.reshape(len(poses), -1, 3) @ TO_SMPL.T).reshape(len(poses), -1)


def test_a_mixture_is_a_prior_with_the_files_energies(tmp_path: Path) -> None:
    """The published energy of the same turns in the file's axes, worked out by another library."""
    file, stored = tmp_path / "gmm_08.pkl", mixture()
    file.write_bytes(pickle.dumps(stored, 2))
    prior = fitting_prior(file, fittable().seen)
    poses = 0.5 * np.random.default_rng(1).standard_normal((6, 69))
    smallest = min(np.linalg.slogdet(covariance)[1] / 2 for covariance in stored["covars"])
    densities = [
        multivariate_normal(mean, covariance).logpdf(theirs(poses)) + np.log(weight)
        for mean, covariance, weight in zip(stored["means"], stored["covars"], stored["weights"], strict=True)
    ]
    np.testing.assert_allclose(prior.energy(poses), -np.max(densities, axis=0) - smallest, rtol=1e-6)


@pytest.mark.parametrize("protocol", [0, 2])
def test_smils_gaussian_is_a_prior_with_the_squares_of_its_authors_residuals(tmp_path: Path, protocol: int) -> None:
    file, rng = tmp_path / "smil_pose_prior.pkl", np.random.default_rng(0)
    mean, factor = rng.normal(0, 0.3, 69), np.tril(rng.normal(0, 0.2, (69, 69))) + 3 * np.eye(69)
    with disguised(Ch, "chumpy.ch"), disguised(Mahalanobis, "__main__"):
        file.write_bytes(pickle.dumps(Mahalanobis(mean, Ch(factor), 3), protocol))
    prior = fitting_prior(file, fittable().seen)
    np.testing.assert_allclose(theirs(prior.means)[0], mean)
    poses = 0.5 * rng.standard_normal((4, 69))
    residuals = (theirs(poses) - mean) @ factor
    expected = (residuals**2).sum(1) / 2 + prior.costs[0]
    np.testing.assert_allclose(prior.energy(poses), expected, rtol=1e-8)


def test_priors_of_other_bodies_and_damaged_ones_are_refused_in_one_line(tmp_path: Path) -> None:
    body, anny = fittable().seen, Fittable.load("anny").seen
    file = tmp_path / "gmm_08.pkl"
    file.write_bytes(pickle.dumps(mixture()))
    with pytest.raises(DataError, match=r"gmm_08.pkl: motions: over 69 numbers \(left_hip_x, …\), .* are 36") as caught:
        fitting_prior(file, anny)
    assert "\n" not in str(caught.value)
    learn_prior(np.zeros((3, 36)), 1).save(tmp_path / "anny.npz")
    with pytest.raises(DataError, match=r"anny.npz: motions: over 36 numbers .* the body's poses are 69"):
        fitting_prior(tmp_path / "anny.npz", body)
    learn_prior(some_poses(0, 9), 1, space=AXIS_ANGLES).save(tmp_path / "own.npz")
    assert fitting_prior(tmp_path / "own.npz", body).motions == body.motions
    with disguised(Mahalanobis, "__main__"):
        (tmp_path / "flat.pkl").write_bytes(pickle.dumps(Mahalanobis(np.zeros(69), np.diag([0.0] + 68 * [1.0]), 3)))
    with pytest.raises(DataError, match=r"flat.pkl: prec: has no inverse"):
        fitting_prior(tmp_path / "flat.pkl", body)
    with pytest.raises(DataError, match=r"none.pkl: no such file"):
        fitting_prior(tmp_path / "none.pkl", body)
