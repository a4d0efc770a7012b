"""Procedures of ``fidip synth`` by name: the paper's, each number with its source.

*paper* is Huang et al., "Infant Pose Learning with Small Data" (arXiv 2010.06100 v1); *code* is what its authors
published with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fidip.errors import RecipeError
from fidip.synthesis.pictures import BODY_KINDS, EVERYTHING


@dataclass(frozen=True, slots=True)
class Preset:
    """Numbers of a procedure that shows fitted bodies; the command's own options come before them."""

    name: str
    renderer: Literal["flat", "raycast"]
    size: str  # pixels, as the option has it
    select: int | None  # fits
    rotations: int  # turns of each
    keep: int | None  # images of all that this makes
    take: Mapping[str, int]  # of the user's pictures, by kind
    only_theirs: bool  # no background but the user's


PLAIN = Preset("", "raycast", "256", None, 10, None, EVERYTHING, only_theirs=False)
"""What holds where no procedure is named."""

PAPER = Preset(
    "paper",
    renderer="flat",  # code: a renderer without light
    size="640x480",  # code
    select=100,  # paper §4.2, "randomly select 100 various poses"
    rotations=10,  # paper §4.2, "for each initial pose ... 10 synthetic images with different global rotations"
    keep=504,  # paper §4.2, "finally retain 504"; of plausible fits, as the authors sorted out by hand
    take=MappingProxyType({
        "infant": 12,  # paper §4.2, "naked only with diaper", from MINI-RGBD
        "clothing": 478,  # paper §4.2, men's clothing from SURREAL
        "backgrounds": 600,  # paper §4.2, from LSUN
    }),
    only_theirs=True,
)  # fmt: skip

PRESETS: dict[str, Preset] = {PAPER.name: PAPER}

KINDS = (*BODY_KINDS, "backgrounds")
"""What the user's pictures can be counted by."""


def parse_take(items: tuple[str, ...]) -> dict[str, int]:
    """How many pictures of a kind are chosen, from ``kind=number``. Raises ``RecipeError``."""
    found = {}
    for item in items:
        kind, _, number = item.partition("=")
        if kind not in KINDS or not number.isdecimal() or not 1 <= int(number) <= 10**6:
            raise RecipeError(
                f"--take {item}: give a kind and a number, such as {KINDS[0]}=12; kinds: {', '.join(KINDS)}"
            )
        found[kind] = int(number)
    return found
