"""Every recipe is sound, is found by its name, and stands in the documents with its published number."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fidip.errors import RecipeError
from fidip.networks.domain import build_domain_classifier
from fidip.networks.pose import build_pose_net
from fidip.networks.published import PUBLISHED
from fidip.recipes import RECIPES, arxiv, fg2021, find_recipe, ours, study


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_sound_and_knows_its_name(name) -> None:
    recipe = RECIPES[name]
    recipe.validate()
    assert recipe.name == name
    assert recipe.source
    # From nothing, from weights of a published network, or from weights of a known kind:
    assert [recipe.network, recipe.starts_from, recipe.backbone].count(None) == 2


def test_no_name_hides_another() -> None:
    parts = (*ours.DEFAULTS, *ours.MENU, *ours.SMALL, *arxiv.RECIPES, *fg2021.RECIPES, *study.RECIPES)
    assert len(RECIPES) == len(parts) == 2 + 6 + 3 + 2 + 12 + 4 + 2 + 12 + 2


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.starts_from])
def test_what_a_recipe_freezes_and_trains_against_suits_its_network(name) -> None:
    recipe = RECIPES[name]
    card = PUBLISHED[recipe.starts_from]
    assert (recipe.input_size, recipe.sigma) == (card.input_size, card.heatmap_sigma)
    with torch.device("meta"):
        net = build_pose_net(card)
        net.freeze(recipe.frozen)
        if recipe.classifier:
            build_domain_classifier(recipe.classifier, net.backbone.channels, net.feature_size)
    assert any(p.requires_grad for p in net.backbone.parameters())
    assert all(p.requires_grad for p in net.head.parameters())


def test_fidip_and_fine_tuning_are_rows_by_another_name() -> None:
    assert RECIPES["fidip"] == replace(RECIPES["table2-j"], name="fidip")
    tuned = RECIPES["fine-tune"]
    assert tuned == replace(RECIPES["table2-g"], name=tuned.name, source=tuned.source)


def test_a_recipe_is_found_or_its_neighbours_are() -> None:
    assert find_recipe("fidip") is RECIPES["fidip"]
    with pytest.raises(RecipeError, match=r"no recipe 'table-2j'; did you mean table2-j or "):
        find_recipe("table-2j")
    with pytest.raises(RecipeError, match=r"no recipe 'zebra'; see: fidip recipes"):
        find_recipe("zebra")


def test_the_small_network_is_small() -> None:
    with torch.device("meta"):
        net = build_pose_net(RECIPES["adult-small"].network)
    assert sum(p.numel() for p in net.parameters()) < 6e6
    assert 2 * sum(t.numel() for t in net.state_dict().values()) < 4e6  # bytes at 16 bits


def test_the_documents_list_every_recipe_with_its_published_number() -> None:
    text = (Path(__file__).parents[1] / "docs" / "paper.md").read_text(encoding="utf-8")
    listed = text.partition("## Recipes and rows")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in listed.splitlines() if "| `" in line]
    assert [row[0].strip("`") for row in rows] == list(RECIPES)
    for (_, place, _, ap, here), recipe in zip(rows, RECIPES.values(), strict=True):
        published = recipe.published
        assert place == (published.place if published else "ours")
        assert ap == (f"{published.ap:.1f}" if published else "–")
        assert here == ("below" if recipe in (ours.ADULT_SMALL, ours.FIDIP_SMALL) else "not measured")


def test_every_point_of_disagreement_is_in_the_documents() -> None:
    text = (Path(__file__).parents[1] / "docs" / "paper.md").read_text(encoding="utf-8")
    table = text.partition("## Where paper and published code disagree")[2].partition("\n## ")[0]
    points = set(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    told = {point for recipe in RECIPES.values() if recipe.published for point in recipe.published.follows}
    assert told <= points, told - points
