"""OKS against its closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip.evaluation.oks import oks_matrix
from fidip.skeleton import COCO_17

SIGMAS = np.array(COCO_17.oks_sigmas)
BOX = np.array([[10.0, 20.0, 30.0, 40.0]])


def pose(labelled=17):
    rng = np.random.default_rng(3)
    keypoints = np.column_stack([rng.uniform(0, 100, (17, 2)), np.full(17, 2)])
    keypoints[labelled:] = 0
    return keypoints[None]


def test_the_same_pose_has_similarity_one():
    assert oks_matrix(pose(), BOX, np.array([900.0]), pose(), SIGMAS) == pytest.approx(1)


@settings(max_examples=50)
@given(
    k=st.integers(0, 16),
    area=st.floats(10, 1e5),
    dx=st.floats(-50, 50),
    dy=st.floats(-50, 50),
    labelled=st.integers(1, 17),
)
def test_one_moved_keypoint_costs_its_own_term(k, area, dx, dy, labelled):
    """One of n labelled keypoints off by d leaves ((n − 1) + exp(−d² / (2 A (2σ)²))) / n; an unlabelled one, 1."""
    moved = pose()
    moved[0, k, :2] += dx, dy
    term = np.exp(-(dx**2 + dy**2) / (2 * area * (2 * SIGMAS[k]) ** 2))
    expected = (labelled - 1 + term) / labelled if k < labelled else 1
    assert oks_matrix(pose(labelled), BOX, np.array([area]), moved, SIGMAS)[0, 0] == pytest.approx(expected)


def test_a_keypoint_as_far_as_its_own_spread_counts_exp_of_minus_half():
    area = 400.0
    moved = pose()
    moved[0, :, 0] += 2 * SIGMAS * np.sqrt(area)
    assert oks_matrix(pose(), BOX, np.array([area]), moved, SIGMAS)[0, 0] == pytest.approx(np.exp(-0.5))


def test_rows_are_predictions_and_columns_people():
    people, areas = np.concatenate([pose(), pose() + np.array([500, 0, 0])]), np.array([900.0, 400.0])
    matrix = oks_matrix(people, np.repeat(BOX, 2, axis=0), areas, people[[1, 1, 0]], SIGMAS)
    assert matrix == pytest.approx(np.array([[0, 1], [0, 1], [1, 0]]), abs=1e-6)


def test_somebody_without_labels_is_the_box_grown_by_its_size():
    """The box 10..40 × 20..60 grows to −20..70 × −20..100; beyond it the distance along each axis counts."""
    area = 900.0
    inside, beyond = np.full((17, 3), 1.0), np.full((17, 3), 1.0)
    inside[:, :2] = 70, -20
    beyond[:, :2] = 73, -24  # 3 and 4 pixels outside: 5 in all
    matrix = oks_matrix(pose(0), BOX, np.array([area]), np.stack([inside, beyond]), SIGMAS)
    assert matrix[:, 0] == pytest.approx([1, np.mean(np.exp(-25 / (2 * area * (2 * SIGMAS) ** 2)))])


def test_nobody_gives_an_empty_matrix():
    nobody = np.zeros((0, 17, 3))
    assert oks_matrix(nobody, np.zeros((0, 4)), np.zeros(0), pose(), SIGMAS).shape == (1, 0)
    assert oks_matrix(pose(), BOX, np.array([900.0]), nobody, SIGMAS).shape == (0, 1)
