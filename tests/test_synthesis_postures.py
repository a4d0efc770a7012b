from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.anatomy import MOTIONS, SIDED
from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.postures import IDLE, POSTURE_NAMES, POSTURES, RANGES, SEATS, Posture, draw_angles

ALL = [(population, posture) for population, postures in POSTURES.items() for posture in postures]


def draws(population: Population, posture: Posture, count: int = 200) -> list[tuple[dict[str, float], float]]:
    generator = np.random.default_rng(5)
    return [draw_angles(generator, posture, population) for _ in range(count)]


@pytest.mark.parametrize(("population", "posture"), ALL)
def test_every_angle_is_named_and_within_its_limits(population: Population, posture: Posture) -> None:
    for angles, lean in draws(population, posture, 15):
        assert angles.keys() <= MOTIONS.keys()
        assert all(MOTIONS[name][0] <= value <= MOTIONS[name][1] for name, value in angles.items())
        assert abs(lean) <= 100


def test_the_tables_name_motions_and_postures_that_exist() -> None:
    for population, postures in RANGES.items():
        assert set(postures) == set(POSTURES[population]) <= set(POSTURE_NAMES)
        seats = SEATS[population].values()
        assert sum(share for share, _ in seats) == pytest.approx(1)
        for ranges in (IDLE, *postures.values(), *(ranges for _, ranges in seats)):
            for name, (low, high) in ranges.items():
                assert low < high, name
                assert name == "lean" or name in MOTIONS or name in SIDED, name


def test_sides_go_together_but_are_not_alike() -> None:
    drawn = draws("infant", "supine", 250)
    bent = np.array([[angles[f"{side}_hip_abduction"] for side in ("left", "right")] for angles, _ in drawn])
    assert 0.15 < np.corrcoef(bent.T)[0, 1] < 0.8
    assert np.abs(bent[:, 0] - bent[:, 1]).mean() > 5


def test_some_supine_infants_lie_like_fencers_to_either_side() -> None:
    fencers = [
        angles["neck_twist"]
        for angles, _ in draws("infant", "supine", 250)
        for face, back in (("left", "right"), ("right", "left"))
        if angles[f"{face}_elbow_flexion"] < 31
        and angles[f"{back}_elbow_flexion"] > 84
        and (angles["neck_twist"] > 49) == (face == "left")
        and abs(angles["neck_twist"]) > 49
    ]
    assert 0.1 < len(fencers) / 250 < 0.35
    assert min(np.mean(np.array(fencers) > 0), np.mean(np.array(fencers) < 0)) > 0.3


def test_walkers_move_arms_against_legs() -> None:
    drawn = draws("adult", "walking", 40)
    legs = np.array([angles["left_hip_flexion"] - angles["right_hip_flexion"] for angles, _ in drawn])
    arms = np.array([angles["left_shoulder_reach"] - angles["right_shoulder_reach"] for angles, _ in drawn])
    assert np.corrcoef(legs, arms)[0, 1] < -0.9


def test_a_posture_depends_on_the_generator_alone() -> None:
    assert draws("infant", "prone", 3) == draws("infant", "prone", 3)


def test_a_posture_that_a_population_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="no walking infant: choose among supine"):
        draw_angles(np.random.default_rng(0), "walking", "infant")
