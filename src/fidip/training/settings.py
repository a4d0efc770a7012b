"""Numbers of a recipe changed by text such as ``pretrain.epochs=2``."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fidip.errors import RecipeError
from fidip.training.recipe import Recipe

FIXED = {
    "name",
    "source",
    "published",
    "network.name",
    "network.description",
    "network.licence",
    "network.training",
    "network.parameters",
}
"""What says where a recipe comes from is no setting."""

BESIDES = {"seed", "save_every", "not_finite"}
"""Settings with which a recipe still is the row of its table. Its source does not speak of them: a run that is resumed
with another ``not_finite`` has to be the same run."""

SHOWN = 60
"""So many characters of a setting are shown in a message."""

WORDS = {"true": True, "false": False}
NUMBERS: dict[Any, tuple[str, str]] = {
    int: (r"[+-]?\d{1,18}", "a whole number"),
    float: (r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", "a number such as 0.001 or 1e-3"),
}


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with ``PATH=VALUE`` settings applied.

    Where they change a number, its source says which, and it no longer is the published row (but for the seed and what
    else stands beside the method). The same settings in
    another order, or written otherwise, give the same recipe.

    A path is a field, or a field of a part: ``epochs``, ``pretrain.batch_size``, ``augmentation.rotation``. Values are
    numbers, ``true``, ``false``, words, ``none`` where a field may be None, and lists with commas (``frozen=res1``,
    ``input_size=288,384`` or ``288x384``); an empty list is empty text.

    Raises:
        RecipeError: no such field, a value of another type, a part that the recipe lacks, or one path twice.
    """
    paths: list[str] = []
    changed = recipe
    for setting in settings:
        path, equals, text = (part.strip() for part in setting.partition("="))
        shown = f"--set {' '.join(setting.split())[:SHOWN]}"
        if not equals or not path:
            raise RecipeError(f"{shown}: expected PATH=VALUE, such as pretrain.epochs=2")
        if path in paths:
            raise RecipeError(f"{shown}: {path} is set twice; leave one of them out")
        _check(path, shown, recipe.name)
        paths.append(path)
        changed = _set(changed, path.split("."), text, shown, recipe.name)
    different = [path for path in sorted(set(paths) - BESIDES) if _at(changed, path) != _at(recipe, path)]
    if not different:
        return changed
    told = ", ".join(f"{path}={_text(_at(changed, path))}" for path in different)
    return replace(changed, source=f"{recipe.source}; changed: {told}", published=None)


def setting_names(kind: type = Recipe, prefix: str = "") -> list[str]:
    """Every path that can be set."""
    names, hints = [], get_type_hints(kind)
    for entry in fields(kind):
        path = prefix + entry.name
        if path not in FIXED:
            part = _part(hints[entry.name])
            names += [path] if part is None else [path, *setting_names(part, f"{path}.")]
    return names


def _at(recipe: Recipe, path: str) -> Any:
    value: Any = recipe
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _text(value: Any) -> str:
    """A value as it would be set."""
    if isinstance(value, bool | NoneType):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check(path: str, shown: str, recipe: str) -> None:
    names = setting_names()
    if path in FIXED:
        raise RecipeError(f"{shown}: {path} of recipe {recipe} says where it comes from and cannot be set")
    if path in names:
        return
    near = difflib.get_close_matches(path, names, n=3)
    last = path.rpartition(".")[2]
    near += [name for name in names if name.rpartition(".")[2] == last and name not in near]
    remedy = f"did you mean {', '.join(near)}?" if near else f"choose from {', '.join(_tops(names))}"
    raise RecipeError(f"{shown}: no setting {path!r:.40}; {remedy}")


def _tops(names: list[str]) -> list[str]:
    return [name for name in names if "." not in name]


def _set(owner: Any, path: list[str], text: str, shown: str, recipe: str) -> Any:
    name, *rest = path
    if rest:
        part = getattr(owner, name)
        if part is None:
            raise RecipeError(f"{shown}: recipe {recipe} has no {name}; choose a recipe that has one")
        return replace(owner, **{name: _set(part, rest, text, shown, recipe)})
    try:
        value = _value(text, get_type_hints(type(owner))[name])
    except ValueError as error:
        raise RecipeError(f"{shown}: expected {error}, found {text!r:.40}") from error
    return replace(owner, **{name: value})


def _value(text: str, kind: Any) -> Any:
    """The value that a text means for a field of this type. Raises ``ValueError`` with what was expected."""
    if get_origin(kind) in (UnionType, Union):
        return _of_union(text, get_args(kind))
    if get_origin(kind) is Literal:
        return _one_of(text, get_args(kind))
    if get_origin(kind) is tuple:
        return _list(text, get_args(kind))
    if kind is bool:
        return WORDS[_one_of(text.lower(), tuple(WORDS))]
    if kind in NUMBERS:
        pattern, expected = NUMBERS[kind]
        number = kind(text) if re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE) else math.nan
        if not math.isfinite(number):
            raise ValueError(expected)
        return number
    if kind is str and text:
        return text
    raise ValueError("a word" if kind is str else "a setting of one of its parts")


def _of_union(text: str, kinds: tuple[Any, ...]) -> Any:
    if text.lower() == "none" and NoneType in kinds:
        return None
    (kind,) = (each for each in kinds if each is not NoneType)
    try:
        return _value(text, kind)
    except ValueError as error:
        raise ValueError(f"{error}, or none") from error


def _one_of(text: str, choices: tuple[Any, ...]) -> Any:
    if text not in choices:
        raise ValueError(f"one of {', '.join(choices)}")
    return text


def _list(text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """As many values as the type has, separated by commas or, in a size, by an x; ``(kind, ...)`` takes any number."""
    endless = kinds[-1] is Ellipsis
    parts = [part.strip() for part in re.split(r"," if endless else r"[,x]", text)] if text else []
    if not endless and len(parts) != len(kinds):
        raise ValueError(f"{len(kinds)} values with commas between them")
    return tuple(
        _value(part, kind) for part, kind in zip(parts, [kinds[0]] * len(parts) if endless else kinds, strict=True)
    )


def _part(kind: Any) -> type | None:
    """The dataclass that a field of this type may hold."""
    return next((each for each in (kind, *get_args(kind)) if isinstance(each, type) and is_dataclass(each)), None)
