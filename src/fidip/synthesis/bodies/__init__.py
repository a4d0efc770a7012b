"""Parametric bodies behind one protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fidip.errors import DataError, RecipeError
from fidip.files import sha256_of
from fidip.synthesis.bodies.anny import BUNDLE, AnnyBody
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.bodies.smpl import SmplBody

BODY_MODELS: dict[str, Callable[..., BodyModel]] = {
    "anny": AnnyBody.load,  # bundled
    "smpl": SmplBody.load,  # of a file that the user has converted
}
"""How a body is loaded: without a file, or from one."""

OF_A_FILE = ("smpl",)
"""Bodies that are nothing without a file."""


def load_body(name: str, file: Path | None = None) -> BodyModel:
    """A body by its name, from ``file`` where it is of one.

    Raises:
        RecipeError: there is no such body, its file is missing, or it takes none.
        DataError: the file is no converted body.
    """
    check_body(name, file)
    return BODY_MODELS[name]() if file is None else BODY_MODELS[name](file)


def check_body(name: str, file: Path | None) -> None:
    """Raise ``RecipeError`` where there is no such body, its file is missing, or it takes none."""
    if name not in BODY_MODELS:
        raise RecipeError(f"no body '{name}'; choose one of {', '.join(BODY_MODELS)}")
    if name in OF_A_FILE and file is None:
        raise RecipeError(f"the body {name} needs a file: convert yours with fidip convert-body and name the result")
    if name not in OF_A_FILE and file is not None:
        raise RecipeError(f"the body {name} is bundled and takes no file ({file}); leave it out")


@dataclass(frozen=True, slots=True)
class BodyChoice:
    """A body by name and file, as it was when a run began; travels to other processes, where it is loaded."""

    name: str = "anny"  # of BODY_MODELS
    file: Path | None = None
    sha256: str = ""  # of the user's file

    @classmethod
    def open(cls, name: str, file: Path | None = None) -> BodyChoice:
        """Choose a body. Raises as :func:`load_body`."""
        check_body(name, file)
        choice = cls(name, file, "" if file is None else sha256_of(file))
        choice.load()
        return choice

    def load(self) -> BodyModel:
        """The body, read once per process. Raises ``DataError`` where the file has changed, or is none."""
        return _load(self)

    def hashes(self) -> dict[str, str]:
        """The hash of the file that the body comes from, by its name."""
        return {BUNDLE.name: sha256_of(BUNDLE)} if self.file is None else {self.file.name: self.sha256}


@lru_cache(maxsize=1)
def _load(choice: BodyChoice) -> BodyModel:
    if choice.file is not None and sha256_of(choice.file) != choice.sha256:
        raise DataError(choice.file, "", "has changed since the run began; start a new one")
    return load_body(choice.name, choice.file)


def check_texture_layout(body: BodyModel, textures: Path) -> None:
    """Refuse textures drawn for SMPL's layout on a body that is unwrapped in another way.

    Raises:
        RecipeError: the body is not unwrapped as SMPL is; the message says why that matters and what to do.
    """
    if body.uv_layout != "smpl":
        remedy = {
            "plain": "convert the body anew with --uv-template OBJ",
            "makehuman": "they fit a body of a converted SMPL or SMIL file, not the bundled one",
        }[body.uv_layout]
        raise RecipeError(f"{textures}: textures in SMPL's layout would put the face elsewhere on this body: {remedy}")
