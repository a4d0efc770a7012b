"""The validation set is refused before the first epoch where its figures would mean nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fidip.annotations import Domain
from fidip.errors import DataError
from fidip.geometry import apply_affine
from fidip.images import read_image, write_image
from fidip.networks.pose import build_pose_net
from fidip.training.inputs import LabelledSet
from fidip.training.validation import load_validation, validate
from figures import TINY, figure_set


@pytest.fixture
def labelled(tmp_path: Path) -> LabelledSet:
    return figure_set(tmp_path, 3, Domain.REAL)


def load(labelled: LabelledSet):
    return load_validation(labelled, TINY, lambda _: None)


def changed(labelled: LabelledSet, **fields: object) -> LabelledSet:
    """The set with another second person."""
    images = list(labelled.images)
    images[1] = replace(images[1], people=(replace(images[1].people[0], **fields),))
    return replace(labelled, images=images)


def test_an_image_of_another_size_than_its_annotation_is_refused(labelled: LabelledSet) -> None:
    write_image(labelled.paths[1], read_image(labelled.paths[1])[::2, ::2])
    with pytest.raises(DataError, match=r"001\.png: the image is 32x32, its annotation says 64x64"):
        load(labelled)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"area": None, "box": None}, r"has no box, or one of no size, .*: add its area or its box"),
        ({"area": 1.0, "box": None}, r"has no box, or one of no size, .*, or add its box"),
    ],
)
def test_who_has_no_area_is_told_at_once_and_by_file(labelled: LabelledSet, fields, message: str) -> None:
    people = [image.people[0] for image in labelled.images]
    first = replace(labelled.images[0], people=(replace(people[0], area=None),))  # so that boxes are what counts
    given = changed(replace(labelled, images=[first, *labelled.images[1:]]), **fields)
    with (
        pytest.warns(UserWarning, match="have no area: OKS uses the area policy bbox"),
        pytest.raises(DataError, match=rf"annotations\.json: image 2: person 1 of 1 {message}"),
    ):
        load(given)


def test_a_network_that_knows_the_answers_has_an_ap_of_one(labelled: LabelledSet, monkeypatch) -> None:
    crops = load(labelled)
    truth = {image.id: image.people[0].keypoints for image in crops.images}
    answers = [in_crop(crops.to_image[n], truth[i]) for n, i in enumerate(crops.image_ids)]
    known = torch.from_numpy(np.stack([np.column_stack([points, np.ones(17)]) for points in answers]))
    monkeypatch.setattr("fidip.training.validation.estimate_keypoints", lambda *_, **__: known)
    net = build_pose_net(TINY, torch.Generator().manual_seed(0))
    assert validate(net, crops, torch.device("cpu"))["AP"] == pytest.approx(1)


def in_crop(to_image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Where keypoints of the image lie in the crop."""
    back = np.linalg.inv(np.vstack([to_image, [0, 0, 1]]))[:2]
    return apply_affine(back, keypoints[:, :2])
