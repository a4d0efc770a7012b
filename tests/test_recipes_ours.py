"""Our own recipes stand apart from the papers' and claim no published number."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from fidip.annotations import Domain
from fidip.recipes import RECIPES, arxiv, fg2021, ours
from fidip.training.adaptation import METHODS, WEIGHED
from fidip.training.inputs import Inputs, check_inputs
from fidip.training.run import train
from fidip.training.settings import with_settings
from fidip.training.unlabelled import read_unlabelled
from figures import TINY, figure_set

TRAINING = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
PUT = {"--set augmentation.borrowed_colours=0.5", "--set real_images=unlabelled"}
"""The changes that its table of advice names."""


def test_the_papers_recipes_vary_geometry_only() -> None:
    for recipe in (*arxiv.RECIPES, *fg2021.RECIPES):
        a = recipe.augmentation
        assert (a.brightness, a.contrast, a.saturation, a.occlusion_probability) == (0, 0, 0, 0)
        assert recipe.published is not None


@pytest.mark.parametrize("recipe", ours.SMALL, ids=lambda recipe: recipe.name)
def test_the_small_ones_claim_no_row(recipe) -> None:
    assert recipe.published is None
    assert RECIPES[recipe.name] is recipe
    assert recipe.synthetic_share in (0.25, 0.5)


@pytest.mark.parametrize("recipe", ours.MENU, ids=lambda recipe: recipe.name)
def test_the_menu_has_the_budget_of_fine_tuning(recipe) -> None:
    """Whatever a method does, it takes as many steps on as many people, of the same network at the same rate."""
    recipe.validate()
    assert RECIPES[recipe.name] is recipe
    assert recipe.published is None
    assert recipe.name in (recipe.method, "colours")
    own = {"name", "source", "published", "method", "classifier", "teacher", "unlabelled_share"}
    own |= {"augmentation"} if recipe is ours.COLOURS else set()
    assert replace(recipe.augmentation, borrowed_colours=0.0) == ours.FINE_TUNE.augmentation
    own |= {"domain_weight", "domain_share", "domain_ramp"}
    same = {field.name for field in fields(recipe)} - own
    assert {name: getattr(recipe, name) for name in same} == {name: getattr(ours.FINE_TUNE, name) for name in same}
    assert (recipe.learning in WEIGHED) == bool(recipe.domain_share or recipe.domain_weight)


def test_there_is_a_recipe_for_every_method() -> None:
    assert {recipe.learning for recipe in (*ours.DEFAULTS, *ours.MENU)} == set(METHODS)


@pytest.mark.parametrize("recipe", ours.MENU, ids=lambda recipe: recipe.name)
def test_a_small_run_of_every_recipe_of_the_menu(tmp_path, recipe) -> None:
    """The same settings with a network, a batch and a length that a test can afford."""
    small = replace(
        recipe, network=TINY, starts_from=None, input_size=None, sigma=None, frozen=(), epochs=2, batch_size=6
    )
    inputs = Inputs(
        real=figure_set(tmp_path / "r", 4, Domain.REAL),
        synthetic=figure_set(tmp_path / "s", 6, Domain.SYNTHETIC),
        unlabelled=read_unlabelled(figure_set(tmp_path / "u", 4, Domain.REAL, seed=5).file.parent / "images"),
    )
    if recipe.learning in ("adabn", "mean-teacher"):
        inputs = replace(inputs, real=None) if recipe.learning == "mean-teacher" else replace(inputs, unlabelled=None)
    result = train(small, inputs, tmp_path / "run")
    assert len(result.history) == 2
    assert all(line["pose_loss"] > 0 for line in result.history)
    assert (result.history[-1]["domain_weight"] is not None) == (recipe.learning in WEIGHED)


def test_the_demo_adapts_what_the_demo_trains() -> None:
    adults, infants = ours.ADULT_SMALL, ours.FIDIP_SMALL
    assert infants.backbone == adults.network.backbone
    assert infants.domain_weight == 0.0005


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return {domain: figure_set(folder / domain.name, 2, domain) for domain in Domain}


def test_the_method_that_is_put_into_another_recipe_fits() -> None:
    assert "`fidip train table2-h --method mmd --domain-share 0.1 …`" in TRAINING
    with_settings(RECIPES["table2-h"], ["method=mmd", "domain_share=0.1", "domain_weight=0"]).validate()


@pytest.mark.parametrize("row", range(5))
def test_what_the_table_of_advice_names_can_be_trained(row, sets) -> None:
    """Every recipe of a row with the options of its cell and those before, on the files that the row speaks of."""
    table = TRAINING.partition("| you have | begin with | then try |\n|---|---|---|\n")[2].partition("\n\n")[0]
    lines = table.splitlines()
    assert len(lines) == 5
    have, *advice = (cell.strip() for cell in lines[row].strip("|").split(" | "))
    assert len(advice) == 2
    named, settings, unlabelled = 0, [], "nobody labelled" in have
    for cell in advice:
        spans = re.findall("`([^`]+)`", cell)
        unlabelled = unlabelled or "nobody labelled" in cell
        assert {span for span in spans if span.startswith("-")} <= {"--unlabelled", *PUT}
        settings += [span.removeprefix("--set ") for span in spans if span in PUT]
        for name in (span for span in spans if not span.startswith("-")):
            recipe = with_settings(RECIPES[name], settings)
            recipe.validate()
            only = unlabelled and "labelled real" not in have
            adults = (sets[Domain.REAL], sets[Domain.SYNTHETIC]) if recipe.pretrain else None
            takes = unlabelled and not recipe.learns_from_labels_only
            assert takes or not only
            reals = None if only else sets[Domain.REAL]
            photos = sets[Domain.REAL] if takes else None
            check_inputs(recipe, Inputs(reals, sets[Domain.SYNTHETIC], None, adults, "weights", photos))
            named += 1
    assert named
