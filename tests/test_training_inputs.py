"""What may enter a run by which option, and what may not."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from fidip.annotations import Domain
from fidip.errors import DataError, DataWarning, ImageError, RecipeError
from fidip.files import read_json, write_json
from fidip.images import read_image, write_image
from fidip.training.inputs import Inputs, LabelledSet, check_inputs, fingerprints
from figures import RECIPE, SUPERVISED, figure_set


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {
        "real": figure_set(folder / "r", 2, Domain.REAL, subject="a"),
        "synthetic": figure_set(folder / "s", 2, Domain.SYNTHETIC, subject="b"),
        "validation": figure_set(folder / "v", 2, Domain.REAL, seed=1, subject="c"),
        "adults": (
            figure_set(folder / "ar", 2, Domain.REAL, seed=2, subject="d"),
            figure_set(folder / "as", 2, Domain.SYNTHETIC, seed=2, subject="e"),
        ),
    }


def test_a_full_set_of_files_passes_without_a_warning(sets) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_inputs(RECIPE, Inputs(**sets))


@pytest.mark.parametrize("missing", ["real", "synthetic", "adults"])
def test_a_recipe_with_domains_needs_all_of_them(sets, missing) -> None:
    with pytest.raises(RecipeError, match=f"recipe tiny needs --{missing}"):
        check_inputs(RECIPE, Inputs(**{**sets, missing: None}))


@pytest.mark.parametrize("missing", ["real", "synthetic"])
def test_without_a_classifier_one_domain_is_enough(sets, missing) -> None:
    check_inputs(SUPERVISED, Inputs(**{**sets, missing: None, "adults": None}))
    with pytest.raises(RecipeError, match=f"needs --{missing}"):
        check_inputs(replace(SUPERVISED, synthetic_share=0.5), Inputs(**{**sets, missing: None, "adults": None}))


def test_a_recipe_of_synthetic_images_takes_no_real_ones(sets) -> None:
    for recipe in (replace(SUPERVISED, real_images="none"), replace(RECIPE, pretrain=None, real_images="none")):
        check_inputs(recipe, Inputs(synthetic=sets["synthetic"]))
        with pytest.raises(
            RecipeError, match="learns from synthetic images alone and does not use --real: leave it out"
        ):
            check_inputs(recipe, Inputs(sets["real"], sets["synthetic"]))
        with pytest.raises(RecipeError, match="needs --synthetic: it learns from synthetic images alone"):
            check_inputs(recipe, Inputs())


@pytest.mark.parametrize("missing", ["real", "synthetic"])
def test_unlabelled_real_images_need_both_domains_even_without_a_weight(sets, missing) -> None:
    recipe = replace(RECIPE, real_images="unlabelled", domain_weight=0.0)
    check_inputs(recipe, Inputs(**sets))
    with pytest.raises(RecipeError, match=f"needs --{missing}"):
        check_inputs(recipe, Inputs(**{**sets, missing: None}))


def test_the_weights_that_a_recipe_starts_from_are_named(sets) -> None:
    recipe = replace(SUPERVISED, network=None, starts_from="dark-hrnet-w48-384x288")
    with pytest.raises(RecipeError, match="needs --init: it starts from dark-hrnet-w48-384x288"):
        check_inputs(recipe, Inputs(sets["real"]))


def test_something_must_be_learnt_from(sets) -> None:
    with pytest.raises(RecipeError, match="needs --real"):
        check_inputs(SUPERVISED, Inputs(validation=sets["validation"]))


def test_adults_that_would_not_be_used_are_refused(sets) -> None:
    with pytest.raises(RecipeError, match="does not use --adults"):
        check_inputs(SUPERVISED, Inputs(**sets))


def test_a_recipe_without_a_network_needs_weights(sets) -> None:
    with pytest.raises(RecipeError, match="needs --init"):
        check_inputs(replace(RECIPE, network=None), Inputs(**sets))


@pytest.mark.parametrize("role", ["real", "synthetic", "adults"])
def test_a_validation_file_that_shares_a_subject_is_refused(sets, tmp_path, role) -> None:
    shared = figure_set(tmp_path, 1, Domain.REAL, seed=7, subject={"real": "a", "synthetic": "b", "adults": "e"}[role])
    with pytest.raises(DataError, match=rf"annotations\.json: images: shares the subject .0 with --{role}"):
        check_inputs(RECIPE, Inputs(**{**sets, "validation": shared}))


@pytest.mark.parametrize("kind", ["image_source", "body_seed"])
def test_sources_and_bodies_count_as_origins(tmp_path, kind) -> None:
    value = {"image_source": "https://example.org/film", "body_seed": 12}[kind]
    sides = []
    for side in ("a", "b"):
        figure_set(tmp_path / side, 1, Domain.REAL, seed=ord(side))
        document = read_json(tmp_path / side / "annotations.json")
        document["images"][0][kind] = value
        write_json(tmp_path / side / "annotations.json", document)
        sides.append(LabelledSet.read(tmp_path / side / "annotations.json"))
    with pytest.raises(DataError, match=rf"shares the .* {value} with --real"):
        check_inputs(SUPERVISED, Inputs(real=sides[0], validation=sides[1]))


def test_the_same_image_file_on_both_sides_is_refused(tmp_path) -> None:
    one = figure_set(tmp_path, 2, Domain.REAL)
    with pytest.raises(DataError, match=r"holds the image 000\.png, which --real annotations\.json trains on"):
        check_inputs(SUPERVISED, Inputs(real=one, validation=one))


def test_a_copy_of_an_image_on_both_sides_is_refused(tmp_path) -> None:
    inputs = Inputs(
        real=figure_set(tmp_path / "a", 2, Domain.REAL), validation=figure_set(tmp_path / "b", 2, Domain.REAL)
    )
    check_inputs(SUPERVISED, inputs)
    with pytest.raises(DataError, match=r"000\.png: the same picture as 000\.png of --real"):
        fingerprints(inputs, lambda: None)


def test_a_copy_that_was_encoded_anew_is_warned_of(tmp_path) -> None:
    real = figure_set(tmp_path / "r", 4, Domain.REAL)
    validation = figure_set(tmp_path / "v", 3, Domain.REAL, seed=1)
    inputs = Inputs(real=real, validation=validation)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fingerprints(inputs, lambda: None)
    write_image(validation.paths[1], np.clip(read_image(real.paths[2]) * 0.9 + 5, 0, 255).astype(np.uint8))
    message = r"1 of 3 pictures look like some that are learnt from, such as 001\.png like 002\.png of --real \("
    with pytest.warns(DataWarning, match=message):
        fingerprints(inputs, lambda: None)


def test_nothing_is_decoded_where_nothing_judges(tmp_path) -> None:
    broken = figure_set(tmp_path, 2, Domain.REAL)
    broken.paths[1].write_bytes(b"no picture")
    assert fingerprints(Inputs(real=broken), lambda: None)["real"]["images"] == 2
    judge = figure_set(tmp_path / "v", 1, Domain.REAL, seed=1)
    with pytest.raises(ImageError, match=r"001\.png: not a JPEG"):
        fingerprints(Inputs(real=broken, validation=judge), lambda: None)


@pytest.mark.parametrize("option", ["real", "validation"])
def test_adults_to_be_retained_share_nothing_with_what_teaches_or_chooses(sets, tmp_path, option) -> None:
    shared = figure_set(tmp_path, 1, Domain.REAL, seed=7, subject={"real": "a", "validation": "c"}[option])
    with pytest.raises(DataError, match=rf"shares the subject .0 with --{option} .*; measure retention on others than"):
        check_inputs(SUPERVISED, Inputs(real=sets["real"], validation=sets["validation"], retain=shared))
    copy = figure_set(tmp_path / "copy", 1, Domain.REAL, seed={"real": 0, "validation": 1}[option])
    inputs = Inputs(real=sets["real"], validation=sets["validation"], retain=copy)
    check_inputs(SUPERVISED, inputs)
    with pytest.raises(DataError, match=rf"000\.png: the same picture as 000\.png of --{option}"):
        fingerprints(inputs, lambda: None)
    with pytest.raises(DataError, match=rf"holds the image 000\.png, which --{option}"):
        check_inputs(SUPERVISED, replace(inputs, retain=getattr(inputs, option)))


def test_the_option_decides_the_domain_and_the_file_only_warns(tmp_path) -> None:
    swapped = figure_set(tmp_path, 3, Domain.SYNTHETIC)
    with pytest.warns(DataWarning, match="3 images say they are synthetic; they enter as real because --real decides"):
        check_inputs(SUPERVISED, Inputs(real=swapped))
    (part,) = Inputs(real=swapped).training
    assert part.domain is Domain.REAL


def test_fingerprints_are_of_content_not_of_place(sets, tmp_path) -> None:
    ticks = []
    here = fingerprints(Inputs(**sets), lambda: ticks.append(1))
    assert len(ticks) == Inputs(**sets).image_count == 10
    assert set(here) == {"real", "synthetic", "adults (real)", "adults (synthetic)", "validation"}
    moved = figure_set(tmp_path / "elsewhere", 2, Domain.REAL, subject="a")
    assert fingerprints(Inputs(real=moved), lambda: None)["real"] == here["real"]
    other = figure_set(tmp_path / "other", 2, Domain.REAL, seed=5, subject="a")
    changed = fingerprints(Inputs(real=other), lambda: None)["real"]
    assert changed["images_sha256"] != here["real"]["images_sha256"]
    assert changed["annotations_sha256"] != here["real"]["annotations_sha256"]


def test_another_skeleton_is_refused(tmp_path) -> None:
    figure_set(tmp_path, 1, Domain.REAL)
    document = read_json(tmp_path / "annotations.json")
    document["categories"][0]["keypoints"] = ["head", "tail"]
    write_json(tmp_path / "annotations.json", document)
    with pytest.raises(DataError, match="another skeleton"):
        LabelledSet.read(tmp_path / "annotations.json")
