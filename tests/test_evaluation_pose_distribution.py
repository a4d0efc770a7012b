"""Aligned skeletons and their diversity against plain loops, closed forms and what must not matter."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fidip.annotations import LabelledImage, Person
from fidip.evaluation.pose_distribution import LEFT_OUT, align, distribution_of, diversity, limb_groups, limb_lines
from fidip.skeleton import COCO_17

K = COCO_17.keypoints.index
TORSO = [K(f"{side}_{name}") for name in ("shoulder", "hip") for side in ("left", "right")]


def person(rng: np.random.Generator, spread: float = 20.0) -> Person:
    """Someone upright in an image, y down, with a box of 200 by 100 or so."""
    points = rng.normal((300, 200), spread, (17, 2))
    points[TORSO] = rng.normal([[320, 150], [280, 150], [315, 220], [285, 220]], 3)
    return Person(np.column_stack([points, np.full(17, 2.0)]), box=(200.0, 100.0, 100.0, 200.0))


def images(people: list[Person]) -> list[LabelledImage]:
    return [LabelledImage(n, f"{n}.png", 640, 480, (one,)) for n, one in enumerate(people)]


def moved(one: Person, angle: float, scale: float, shift: tuple[float, float]) -> Person:
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    keypoints = one.keypoints.copy()
    keypoints[:, :2] = keypoints[:, :2] @ matrix.T + shift
    x, y, width, height = one.box or (0, 0, 1, 1)
    return replace(one, keypoints=keypoints, box=(x, y, scale * width, scale * height))


def test_the_torso_stands_upright_at_the_origin_in_units_of_the_box() -> None:
    one = person(np.random.default_rng(0))
    points = align(one)
    assert points is not None
    shoulders, hips = points[TORSO[:2]].mean(0), points[TORSO[2:]].mean(0)
    np.testing.assert_allclose(shoulders + hips, 0, atol=1e-12)
    np.testing.assert_allclose((shoulders - hips)[0], 0, atol=1e-12)
    assert shoulders[1] < hips[1]  # above, y being down
    assert points[TORSO[0], 0] > points[TORSO[1], 0]  # left stays right in the picture: nothing is mirrored
    raw = one.keypoints[:, :2]
    distance = np.linalg.norm(raw[K("left_wrist")] - raw[K("left_knee")]) / 200  # the box's longer side
    assert np.linalg.norm(points[K("left_wrist")] - points[K("left_knee")]) == pytest.approx(distance)
    assert np.isnan(points[[K(name) for name in LEFT_OUT]]).all()
    assert np.isfinite(np.delete(points, [K(name) for name in LEFT_OUT], axis=0)).all()


def test_place_size_and_turn_of_a_person_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    one = person(rng)
    for angle in (0.3, 2.0, -3.0):
        np.testing.assert_allclose(align(moved(one, angle, rng.uniform(0.2, 4), (5, -80))), align(one), atol=1e-12)


def test_diversity_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(2)
    points = np.stack([a for _ in range(7) if (a := align(person(rng))) is not None])
    points[2, K("left_ankle")] = np.nan
    pairs = []
    for one, other in combinations(points, 2):
        gaps = [np.hypot(*(a - b)) for a, b in zip(one, other, strict=True) if np.isfinite(a - b).all()]
        pairs.append(np.mean(gaps))
    assert diversity(points) == pytest.approx(np.mean(pairs), rel=1e-12)
    assert diversity(points[[0, 0, 0]]) == 0
    assert np.isnan(diversity(points[:1]))
    bent = points[:2].copy()
    bent[1] = bent[0]
    bent[1, K("left_wrist")] += [0.3, 0.4]
    assert diversity(bent) == pytest.approx(0.5 / 13)  # thirteen keypoints without eyes and ears


def test_wider_poses_are_more_diverse() -> None:
    narrow, wide = (
        distribution_of(images([person(np.random.default_rng(n), spread) for n in range(30)]), 30, 0).diversity
        for spread in (5.0, 40.0)
    )
    assert wide > 3 * narrow


def test_people_without_a_torso_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(3)
    whole, unlabelled, foreshortened, crowd = (person(rng) for _ in range(4))
    unlabelled.keypoints[K("left_hip"), 2] = 0
    foreshortened.keypoints[TORSO[2:], :2] = foreshortened.keypoints[TORSO[:2], :2] + [0, 1]
    group = images([whole, unlabelled, foreshortened, replace(crowd, crowd=True)])
    found = distribution_of(group, 200, 0)
    assert (found.people, found.usable, len(found.points)) == (3, 1, 1)
    assert found.sample[1] is whole
    with pytest.raises(ValueError, match="shows nobody whose shoulders and hips"):
        distribution_of(group[1:], 200, 0)
    boxless = align(replace(whole, box=None))
    assert boxless is not None
    assert np.nanmax(np.abs(boxless)) < 1


def test_the_draw_depends_on_the_seed_alone_and_is_even() -> None:
    rng = np.random.default_rng(4)
    crowd = images([person(rng) for _ in range(40)])
    first, again, other = (distribution_of(crowd, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.points, again.points)
    assert len(first.points) == 10
    assert not np.array_equal(first.points, other.points)
    everyone = np.stack([a for image in crowd if (a := align(image.people[0])) is not None])
    rows = [int(np.flatnonzero([np.array_equal(p, q, equal_nan=True) for q in everyone])[0]) for p in first.points]
    assert rows == sorted(set(rows))  # ten different people


def test_limbs_cover_the_body_once_and_stop_where_a_keypoint_is_missing() -> None:
    groups = limb_groups()
    assert list(groups) == ["head", "torso", "left arm", "left leg", "right arm", "right leg"]
    drawn = {frozenset(limb) for name, limbs in groups.items() for limb in limbs if name != "head"}
    assert drawn == {frozenset(limb) for limb in COCO_17.limbs if min(limb) >= 5}
    points = np.stack([a for n in range(3) if (a := align(person(np.random.default_rng(n)))) is not None])
    points[0, K("left_elbow")] = np.nan
    assert limb_lines(points, groups["left arm"]).shape == (4, 2, 2)
    head = limb_lines(points, groups["head"])
    np.testing.assert_allclose(head[:, 1], points[:, TORSO[:2]].mean(1))
