"""``fidip recipes``: the experiments by name, in a table or with every number that is not the default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidip.training.published import Published
    from fidip.training.recipe import Recipe

COLUMNS = (
    "recipe", "published as", "AP", "images", "real", "network", "classifier", "λ", "frozen", "epochs x batch", "rate"
)  # fmt: skip


def recipes(
    names: tyro.conf.Positional[tuple[str, ...]] = (),
    *,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """List the experiments that ``fidip train`` knows, or say everything about some of them.

    The table shows the AP that the authors published, the real and synthetic images with keypoints that they had for
    it, and what a recipe does with real images: their keypoints are learnt, not looked at, or there are none.

    Args:
        names: Recipes to say everything about.
        json: Also write all numbers to this file.
    """
    from fidip.cli.output import write_report
    from fidip.recipes import RECIPES, find_recipe

    chosen = [find_recipe(name) for name in names] or list(RECIPES.values())
    if names:
        print("\n\n".join("\n".join(_description(recipe)) for recipe in chosen))
    else:
        rows = [COLUMNS, *(_row(recipe) for recipe in chosen)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    write_report(json, {recipe.name: recipe.to_json() for recipe in chosen})


def _row(recipe: Recipe) -> tuple[str, ...]:
    published, pretrain = recipe.published, recipe.pretrain
    before = f"{pretrain.epochs} x {pretrain.batch_size} + " if pretrain else ""
    return (
        recipe.name,
        published.place if published else "ours",
        f"{published.ap:.1f}" if published else "",
        _images(published) if published else "",
        recipe.real_images,
        recipe.starts_from or recipe.backbone or (recipe.network.backbone if recipe.network else ""),
        recipe.classifier or "",
        _weight(recipe),
        f"{recipe.frozen[0]}-{recipe.frozen[-1][-1]}" if recipe.frozen else "",
        f"{before}{recipe.epochs} x {recipe.batch_size}",
        f"{recipe.learning_rate:g}",
    )


def _weight(recipe: Recipe) -> str:
    """λ, or the share of the pose gradient that stands for it."""
    if recipe.domain_share is not None:
        return f"{recipe.domain_share:.0%}"
    return f"{recipe.domain_weight:g}" if recipe.classifier or recipe.domain_weight else ""


def _images(published: Published) -> str:
    return f"{published.real} + {'?' if published.synthetic is None else published.synthetic}"


def _description(recipe: Recipe) -> Iterator[str]:
    """Every number that is not the default, and what was published."""
    yield f"{recipe.name}: {recipe.source}"
    yield from (f"    {path:<36}{value}" for path, value in _numbers(recipe, ""))
    if recipe.published is not None:
        published = recipe.published
        images = f"{_images(published)} real and synthetic images"
        yield f"  published in {published.place}, on 100 test images: AP {published.ap:.1f} with {images}"
        yield from (f"    {name:<36}{value:.1f}" for name, value in published.others.items())
        yield "  where paper and code disagree, it follows the"
        yield from (f"    {point:<36}{whom}" for point, whom in published.follows.items())


def _numbers(part: Any, prefix: str) -> Iterator[tuple[str, object]]:
    """Paths, as ``fidip train --set`` takes them, and values; of a part within a recipe all that is not nothing."""
    from dataclasses import fields, is_dataclass

    for entry in fields(part):
        value, path = getattr(part, entry.name), prefix + entry.name
        if path in ("name", "source", "published"):
            continue
        if is_dataclass(value):
            yield from _numbers(value, f"{path}.")
        elif value if prefix else value != entry.default:
            yield path, ", ".join(map(str, value)) if isinstance(value, tuple) else value
