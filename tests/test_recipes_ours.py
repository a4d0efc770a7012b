"""Our own recipes stand apart from the papers' and claim no published number."""

import pytest

from fidip.recipes import RECIPES, arxiv, fg2021, ours


def test_the_papers_recipes_vary_geometry_only() -> None:
    for recipe in (*arxiv.RECIPES, *fg2021.RECIPES):
        a = recipe.augmentation
        assert (a.brightness, a.contrast, a.saturation, a.occlusion_probability) == (0, 0, 0, 0)
        assert recipe.published is not None


@pytest.mark.parametrize("recipe", ours.SMALL, ids=lambda recipe: recipe.name)
def test_the_small_ones_claim_no_row(recipe) -> None:
    assert recipe.published is None
    assert RECIPES[recipe.name] is recipe
    assert recipe.synthetic_share == 0.5


def test_the_demo_adapts_what_the_demo_trains() -> None:
    adults, infants = ours.SMALL
    assert infants.backbone == adults.network.backbone
    assert infants.domain_weight == 0.0005
