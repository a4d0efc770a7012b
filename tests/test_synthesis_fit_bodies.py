"""Bodies of users' files fitted to poses, beside the bundled one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fidip.errors import DataError, RecipeError
from fidip.smpl_joints import BONES
from fidip.synthesis.fit_bodies import FIT_BODIES, Fittable, fitted_poses
from fidip.synthesis.fit_people import fit_people, posed, subjects
from fidip.synthesis.fit_smpl import AXIS_ANGLES
from fidip.synthesis.priors import learn_prior
from smpl_cases import fittable, smpl_cases, some_poses, write_body

COUNT = 6


@pytest.fixture(scope="module")
def known():
    return smpl_cases(COUNT, seed=1)


@pytest.fixture(scope="module")
def fitted(known):
    people, unfit = subjects([case.image for case in known])
    assert not unfit
    return people, *fit_people(people, body=fittable())


def test_known_poses_are_recovered_from_their_projections(known, fitted) -> None:
    people, fits, records = fitted
    assert (fits.body, fits.bone_names, fits.shape.shape) == ("smpl", BONES, (COUNT, 10))
    errors = []
    for i, (subject, record) in enumerate(zip(people, records, strict=True)):
        _, keypoints = posed(fittable().model, fits, i)
        camera = fits.camera(i)
        away = np.linalg.norm(camera.project(keypoints)[:, :2] - subject.person.keypoints[:, :2], axis=1)
        assert record.reprojection_torso == pytest.approx(float(np.median(away)) / subject.scale)
        found, truth = (
            points - points[[11, 12]].mean(0) for points in (camera.to_camera(keypoints), known[i].keypoints)
        )
        found *= (found * truth).sum() / (found**2).sum()
        errors.append(np.linalg.norm(found - truth, axis=1).mean())
    assert np.median([record.reprojection_torso for record in records]) < 0.01
    assert max(record.reprojection_torso for record in records) < 0.02
    assert np.median(errors) < 0.05  # metres; depth is a guess


def test_order_and_company_change_nothing(fitted) -> None:
    people, fits, records = fitted
    again, said = fit_people([people[4], people[1]], body=fittable())
    for name in ("shape", "rotations", "translation", "focal"):
        np.testing.assert_allclose(getattr(again, name), getattr(fits, name)[[4, 1]], rtol=1e-5, atol=1e-6)
    assert [each.id for each in said] == [records[4].id, records[1].id]


def test_a_prior_that_is_learnt_from_fits_is_over_their_numbers(fitted) -> None:
    people, fits, _ = fitted
    space, poses = fitted_poses(fits, Path("fits.npz"))
    assert space is AXIS_ANGLES
    np.testing.assert_allclose(poses[2], fittable().seen.pose(fits.rotations[2]))
    prior = learn_prior(some_poses(7, 40), 2, space=space)
    assert prior.motions == fittable().seen.motions
    mirrored = space.mirrored(poses)
    np.testing.assert_allclose(prior.energy(mirrored), prior.energy(poses), rtol=1e-6)
    other, _ = fit_people(people[:1], body=fittable(), prior=prior)
    assert not np.allclose(other.rotations, fits.rotations[:1], atol=1e-3)
    with pytest.raises(RecipeError, match="other motions than those of the body anny"):
        fit_people(people[:1], prior=prior)


def test_bodies_are_loaded_by_name_and_file(tmp_path: Path) -> None:
    assert set(FIT_BODIES) == {"anny", "smpl"}
    loaded = Fittable.load("smpl", write_body(tmp_path / "body.npz"))
    assert (loaded.name, loaded.model.bone_names, loaded.seen.shape_size) == ("smpl", BONES, 10)
    assert Fittable.load("anny").seen.shape_size == 8
    with pytest.raises(RecipeError, match="the body smpl needs a file"):
        Fittable.load("smpl")
    with pytest.raises(RecipeError, match=r"takes no file \(body\.npz\)"):
        Fittable.load("anny", Path("body.npz"))
    with pytest.raises(RecipeError, match="no body 'smplx'"):
        Fittable.load("smplx")
    (tmp_path / "other.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"other\.npz"):
        Fittable.load("smpl", tmp_path / "other.npz")


def test_fits_of_bodies_that_are_not_known_are_refused(fitted) -> None:
    _, fits, _ = fitted
    with pytest.raises(DataError, match=r"fits\.npz: bone_names: not the joints of SMPL"):
        fitted_poses(replace(fits, bone_names=(*BONES[:-1], "tail")), Path("fits.npz"))
    with pytest.raises(DataError, match="fits of a body 'smplx'; known are anny, smpl"):
        fitted_poses(replace(fits, body="smplx"), Path("fits.npz"))
    with pytest.raises(DataError, match="fits of another body than this version's anny"):
        fitted_poses(replace(fits, body="anny"), Path("fits.npz"))
