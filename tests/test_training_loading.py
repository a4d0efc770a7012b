"""Which keypoints of the files a run gets to see."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fidip.annotations import Domain
from fidip.errors import DataError
from fidip.training.inputs import Inputs
from fidip.training.loading import load_data
from fidip.training.run import train
from figures import RECIPE, TINY, figure_set


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    folder = tmp_path_factory.mktemp("loading")
    names = (("r", Domain.REAL, 0), ("s", Domain.SYNTHETIC, 0), ("ar", Domain.REAL, 2), ("as", Domain.SYNTHETIC, 2))
    real, synthetic, *adults = (figure_set(folder / name, 4, domain, seed) for name, domain, seed in names)
    return Inputs(real, synthetic, adults=tuple(adults))


def load(recipe, inputs):
    return load_data(recipe, inputs, TINY, torch.device("cpu"), lambda: None)


def test_real_keypoints_are_hidden_where_the_recipe_says_so(inputs) -> None:
    seen, hidden = load(RECIPE, inputs), load(replace(RECIPE, real_images="unlabelled"), inputs)
    for shown, blind in zip(seen.infants.samples, hidden.infants.samples, strict=True):
        assert shown.domain == blind.domain
        assert (shown.piece == blind.piece).all()
        assert shown.crop == blind.crop
        expected = np.zeros_like(shown.keypoints) if shown.domain is Domain.REAL else shown.keypoints
        assert np.array_equal(blind.keypoints, expected)
        assert (shown.keypoints[:, 2] > 0).any()
    for shown, blind in zip(seen.adults.samples, hidden.adults.samples, strict=True):
        assert np.array_equal(shown.keypoints, blind.keypoints)


def test_a_person_without_a_box_gets_none_from_hidden_keypoints(inputs) -> None:
    images = [replace(image, people=tuple(replace(p, box=None) for p in image.people)) for image in inputs.real.images]
    boxless = replace(inputs, real=replace(inputs.real, images=images))
    assert len(load(RECIPE, boxless).infants) == 8
    with pytest.raises(DataError, match="nobody can be used: 4 with no box"):
        load(replace(RECIPE, real_images="unlabelled"), boxless)


def test_hidden_keypoints_change_nothing_that_is_learnt(inputs, tmp_path) -> None:
    """Real keypoints may say anything: the weights are the same bytes."""
    recipe = replace(RECIPE, real_images="unlabelled", pretrain=None, epochs=1)

    def shifted(person):
        return replace(person, keypoints=person.keypoints + np.array([5.0, -3.0, 0.0]))

    images = [replace(image, people=tuple(map(shifted, image.people))) for image in inputs.real.images]
    states = []
    for name, real in (("a", inputs.real), ("b", replace(inputs.real, images=images))):
        for labels in ("unlabelled", "labelled"):
            run = replace(recipe, real_images=labels)
            result = train(run, Inputs(real, inputs.synthetic), tmp_path / f"{name}-{labels}")
            states.append(result.history)
    hidden, seen, hidden_again, seen_again = states
    assert hidden == hidden_again
    assert seen != seen_again
    assert hidden != seen
