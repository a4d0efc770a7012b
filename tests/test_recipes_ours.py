"""Our own recipes stand apart from the papers' and claim no published number."""

from dataclasses import fields, replace

import pytest

from fidip.annotations import Domain
from fidip.recipes import RECIPES, arxiv, fg2021, ours
from fidip.training.adaptation import METHODS, WEIGHED
from fidip.training.inputs import Inputs
from fidip.training.run import train
from fidip.training.unlabelled import read_unlabelled
from figures import TINY, figure_set


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
