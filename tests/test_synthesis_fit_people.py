from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.fitting_cases import SIZE, Case, cases

from fidip.annotations import LabelledImage, Person
from fidip.errors import RecipeError
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_people import LEAST_LABELLED, fit_people, person_size, posed, subjects
from fidip.synthesis.plausibility import joint_faults
from fidip.synthesis.priors import PosePrior


@pytest.fixture(scope="module")
def known() -> list[Case]:
    return cases("supine", "sitting", "crawling", seed=4)


@pytest.fixture(scope="module")
def fitted(known):
    people, unfit = subjects([case.image for case in known])
    assert not unfit
    return people, *fit_people(people)


def test_bodies_of_known_poses_are_recovered(known, fitted) -> None:
    """Keypoints in the image, and in space to a few centimetres: size is only known by the prior."""
    people, fits, _ = fitted
    body = AnnyBody.load()
    for i, case in enumerate(known):
        _, keypoints = posed(body, fits, i)
        camera = fits.camera(i)
        away = np.linalg.norm(camera.project(keypoints)[:, :2] - people[i].person.keypoints[:, :2], axis=1)
        assert np.median(away) < 0.015 * people[i].scale
        found, truth = (points - points[[11, 12]].mean(0) for points in (camera.to_camera(keypoints), case.keypoints))
        found *= (found * truth).sum() / (found**2).sum()
        assert np.linalg.norm(found - truth, axis=1).mean() < 0.04
        assert joint_faults(fits.rotations[i], body.bone_names) == ()


def test_what_is_said_of_a_fit_is_what_the_body_and_the_camera_give(fitted) -> None:
    people, fits, records = fitted
    for i, (subject, record) in enumerate(zip(people, records, strict=True)):
        _, keypoints = posed(AnnyBody.load(), fits, i)
        away = np.linalg.norm(fits.camera(i).project(keypoints)[:, :2] - subject.person.keypoints[:, :2], axis=1)
        assert record.reprojection_torso == pytest.approx(float(np.median(away)) / subject.scale)
        assert (record.id, record.image_id, record.file_name) == (10 * (i + 1), i + 1, f"{i + 1}.png")
        assert fits.ids[i] == record.id
        terms = [record.energy[name] for name in ("data", "pose", "shape", "bend", "limits", "focal")]
        assert record.energy["total"] == pytest.approx(sum(terms))
        assert record.plausible == (record.reasons == ())
        assert record.plausible
        assert 0 < record.seconds < 60


def test_order_and_company_change_nothing(fitted) -> None:
    people, fits, records = fitted
    again, said = fit_people([people[2], people[0]])
    for name in ("shape", "rotations", "translation", "focal"):
        np.testing.assert_allclose(getattr(again, name), getattr(fits, name)[[2, 0]], rtol=1e-5, atol=1e-6)
    assert [each.id for each in said] == [records[2].id, records[0].id]
    assert said[0].reprojection_torso == pytest.approx(records[2].reprojection_torso, rel=1e-4)


def test_a_known_focal_length_is_kept_and_a_guessed_one_follows_the_image(fitted) -> None:
    people, _, _ = fitted
    fits, _ = fit_people(people[:1], focal=876.5)
    assert fits.focal[0] == pytest.approx(876.5)
    fits, _ = fit_people(people[:1], focal="guess")
    assert fits.focal[0] == pytest.approx(1.1 * 640)
    assert fits.principal[0].tolist() == [(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]


def test_a_picture_upside_down_gives_the_same_body(known, fitted) -> None:
    """The camera's roll is no part of the body: turned by 180 degrees the same pose is found."""
    _, fits, _ = fitted
    case = known[1]
    labels = case.image.people[0].keypoints.copy()
    labels[:, :2] = np.array(SIZE) - 1 - labels[:, :2]
    people, _ = subjects([replace(case.image, people=(Person(labels, id=20),))])
    turned, _ = fit_people(people)
    np.testing.assert_allclose(turned.rotations[0, 1:], fits.rotations[1, 1:], atol=0.03)
    np.testing.assert_allclose(turned.translation[0], fits.translation[1] * (-1, 1, -1), atol=0.01)


def test_unlabelled_keypoints_are_ignored_and_occluded_ones_count(known) -> None:
    labels = known[1].image.people[0].keypoints.copy()
    labels[[9, 15], 2] = 1
    expected, _ = fit_people(subjects([replace(known[1].image, people=(Person(labels),))])[0])
    labels[3] = 0
    first, _ = fit_people(subjects([replace(known[1].image, people=(Person(labels.copy()),))])[0])
    labels[3, :2] = 17.0
    second, _ = fit_people(subjects([replace(known[1].image, people=(Person(labels),))])[0])
    np.testing.assert_array_equal(first.rotations, second.rotations)
    assert not np.array_equal(first.rotations, expected.rotations)


def test_nobody_to_fit_gives_no_fits() -> None:
    fits, records = fit_people([])
    assert (len(fits), records) == (0, [])


def person(labelled: int = 17, spread: float = 100.0, **fields) -> Person:
    keypoints = np.zeros((17, 3))
    keypoints[:labelled, :2] = np.random.default_rng(0).uniform(0, spread, (labelled, 2))
    keypoints[:labelled, 2] = 2
    return Person(keypoints, **fields)


def test_who_cannot_be_fitted_is_named_with_the_reason() -> None:
    far = person()
    far.keypoints[4, 0] = 1e300
    group = (
        person(id=1), person(LEAST_LABELLED - 1, id=2), person(crowd=True, id=3), person(0, id=4),
        person(id=5, box=(0.0, 0.0, 1e200, 1e200)), replace(far, id=6), person(spread=0.1, id=7),
        person(spread=2.0, id=8, box=(0.0, 0.0, 90.0, 90.0)),
    )  # fmt: skip
    found, unfit = subjects([LabelledImage(9, "x.jpg", 200, 200, people=group)])
    assert [subject.id for subject in found] == [1]
    assert {each.id: each.reason for each in unfit} == {
        2: "6 labelled keypoints, at least 7 are needed",
        3: "a crowd, not a person",
        4: "0 labelled keypoints, at least 7 are needed",
        5: "inf pixels large",
        6: "a keypoint farther than 1000000 pixels from the image's corner",
        7: "0.27 pixels large",
        8: "its labelled keypoints lie on one spot",
    }
    assert {(each.image_id, each.file_name) for each in unfit} == {(9, "x.jpg")}


def test_people_without_ids_are_numbered() -> None:
    images = [LabelledImage(i, f"{i}.jpg", 200, 200, people=(person(), person(id=44))) for i in (1, 2)]
    assert [subject.id for subject in subjects(images)[0]] == [1, 2, 3, 4]


def test_the_size_is_the_torso_or_a_quarter_of_the_box() -> None:
    labels = np.zeros((17, 3))
    labels[:, 2] = 2
    labels[[5, 6], :2] = (10, 20), (30, 20)
    labels[[11, 12], :2] = (10, 80), (30, 80)
    assert person_size(Person(labels)) == pytest.approx(60)
    assert person_size(Person(labels, box=(0.0, 0.0, 400.0, 100.0))) == pytest.approx(60)
    assert person_size(Person(labels, box=(0.0, 0.0, 400.0, 900.0))) == pytest.approx(150)
    labels[5] = 0  # without a shoulder there is no torso
    labels[0, :2] = (0, 0)
    assert person_size(Person(labels)) == pytest.approx(math.sqrt(31 * 81) / 4)


def test_strange_keypoints_still_give_finite_fits() -> None:
    """All on one line, seven alone, far outside the image."""
    line = person()
    line.keypoints[:, 1] = 5.0
    outside = person()
    outside.keypoints[:, 0] += 90_000
    images = [
        LabelledImage(i, "x", 200, 150, people=(each,))
        for i, each in enumerate((line, person(LEAST_LABELLED), outside))
    ]
    found, unfit = subjects(images)
    assert len(found) == 3, unfit
    fits, records = fit_people(found)
    for name in ("shape", "rotations", "translation", "focal"):
        assert np.isfinite(getattr(fits, name)).all(), name
    assert not records[0].plausible
    assert not records[2].plausible


def test_a_prior_over_other_motions_is_refused(fitted) -> None:
    other = PosePrior(("a", "b"), np.zeros((1, 2)), np.eye(2)[None], np.ones(1))
    with pytest.raises(RecipeError, match="other motions than those of the body anny"):
        fit_people(fitted[0], prior=other)
