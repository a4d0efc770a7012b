from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fidip.errors import DataError, RecipeError
from fidip.synthesis.anatomy import MOTIONS
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_motions import MOTION_NAMES
from fidip.synthesis.generate import generate
from fidip.synthesis.plausibility import joint_faults, penetration_faults, stature
from fidip.synthesis.prior_poses import PriorPoses, draw_motions
from fidip.synthesis.priors import PosePrior, default_prior
from fidip.synthesis.sample import Settings
from fidip.synthesis.scene import SCENE_STYLES
from smpl_cases import fittable


def narrow(**degrees: float) -> PosePrior:
    """A prior of one pose, known to a degree."""
    P = len(MOTION_NAMES)
    mean = np.radians([[degrees.get(name, 0.0) for name in MOTION_NAMES]])
    return PosePrior(MOTION_NAMES, mean, np.radians(1.0) ** 2 * np.eye(P)[None], np.ones(1))


def test_motions_follow_the_mixture_and_stop_at_limits() -> None:
    rng = np.random.default_rng(0)
    prior = narrow(neck_twist=30.0, left_knee_flexion=-40.0)
    draws = [draw_motions(rng, prior) for _ in range(400)]
    twists = [draw["neck_twist"] for draw in draws]
    assert np.mean(twists) == pytest.approx(30, abs=0.2)
    assert np.std(twists) == pytest.approx(1, abs=0.15)
    assert {draw["left_knee_flexion"] for draw in draws} == {MOTIONS["left_knee_flexion"][0]}
    mixed = default_prior()
    drawn = np.array(
        [[draw[name] for name in MOTION_NAMES] for draw in (draw_motions(rng, mixed) for _ in range(3000))]
    )
    mean = np.degrees(mixed.weights @ mixed.means)
    assert np.abs(drawn.mean(0) - mean).max() < 4  # what limits cut off included


def test_infants_rest_possibly_in_postures_of_their_style() -> None:
    body, rng, style = AnnyBody.load(), np.random.default_rng(0), SCENE_STYLES["infant-photo"]
    poses = PriorPoses.open("default")
    drawn = [poses.draw(rng, body, style) for _ in range(12)]
    assert len({subject.posture for subject in drawn}) > 2
    for subject in drawn:
        assert joint_faults(subject.rotations, body.bone_names) == ()
        assert penetration_faults(body, subject.vertices, 0.012 * stature(subject.vertices, body.faces)) == ()
        assert subject.years is not None
        assert subject.body_seed is not None
        assert -0.03 < subject.vertices[:, 2].min() < 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    fittable().seen.prior.save(tmp_path / "smpl.npz")
    with pytest.raises(DataError, match=r"smpl\.npz: motions: a prior of another body .* --body anny"):
        PriorPoses.open(str(tmp_path / "smpl.npz"))
    with pytest.raises(DataError, match=r"none\.npz"):
        PriorPoses.open(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(DataError, match=r"text\.npz"):
        PriorPoses.open(str(tmp_path / "text.npz"))
    narrow().save(tmp_path / "prior.npz")
    opened = PriorPoses.open(str(tmp_path / "prior.npz"))
    narrow(neck_twist=5.0).save(tmp_path / "prior.npz")
    with pytest.raises(DataError, match="has changed"):
        opened.draw(np.random.default_rng(0), AnnyBody.load(), SCENE_STYLES["infant-flat"])


def test_a_prior_of_impossible_poses_is_named(tmp_path: Path) -> None:
    crossed = {f"{side}_{name}": value for side in ("left", "right") for name, value in
               {"hip_flexion": 140.0, "hip_abduction": -30.0, "knee_flexion": 0.0}.items()}  # fmt: skip
    narrow(spine_flexion=65.0, **crossed).save(tmp_path / "folded.npz")
    with pytest.raises(RecipeError, match=r"folded\.npz: no pose drawn from this prior can rest"):
        PriorPoses.open(str(tmp_path / "folded.npz")).draw(
            np.random.default_rng(0), AnnyBody.load(), SCENE_STYLES["infant-flat"]
        )


@pytest.mark.parametrize("workers", [2])
def test_workers_change_no_byte(tmp_path: Path, workers: int) -> None:
    settings = Settings("infant-flat", 3, (64, 48), seed=2, prior=PriorPoses.open("default"))
    images = generate(tmp_path / "one", settings)
    generate(tmp_path / "many", settings, workers)
    for name in ("annotations.json", *(f"images/{image.file_name}" for image in images)):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    assert all(image.posture for image in images)
