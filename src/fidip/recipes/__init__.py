"""The experiments by name: the papers', each number with its source, and the small ones behind the demo.

An experiment is an object, an ablation is one ``replace``. Ours stand apart from those of the papers.
"""

from __future__ import annotations

import difflib

from fidip.errors import RecipeError
from fidip.recipes import arxiv, fg2021, ours, study
from fidip.training.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (*ours.DEFAULTS, *ours.MENU, *arxiv.RECIPES, *fg2021.RECIPES, *ours.SMALL, *study.RECIPES)
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises ``RecipeError`` with the nearest names if there is none."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3)
        remedy = f"did you mean {' or '.join(near)}?" if near else "see: fidip recipes"
        raise RecipeError(f"no recipe {name!r}; {remedy}")
    return RECIPES[name]
