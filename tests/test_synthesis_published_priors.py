"""Priors in the form in which they are published, forged."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from body_files import TO_SMPL, Ch, Mahalanobis, disguised
from fidip.errors import DataError
from fidip.synthesis.published_priors import read_mahalanobis, read_mixture, to_our_axes


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
