"""``fidip recipes``: the experiments by name, with every number that is not the default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def recipes(*, json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None) -> None:
    """List the experiments that ``fidip train`` knows, and what each of them does.

    Args:
        json: Also write all their numbers to this file.
    """
    from dataclasses import fields

    from fidip.cli.output import write_report
    from fidip.recipes import RECIPES
    from fidip.training.recipe import Recipe

    for name, recipe in RECIPES.items():
        print(f"{name}: {recipe.source}")
        for entry in fields(Recipe):
            value = getattr(recipe, entry.name)
            if entry.name not in ("name", "source") and value != entry.default:
                print(f"    {entry.name:<24}{value}")
        print()
    write_report(json, {name: recipe.to_json() for name, recipe in RECIPES.items()})
