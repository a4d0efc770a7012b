"""Imports point downward only, and a heavy optional package is known to one file."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "fidip"

LAYERS = (
    {"synthesis", "data", "networks", "evaluation", "formats", "gallery"},
    {"training", "inference", "labelling"},
    {"recipes"},
    {"studies"},
    {"cli"},
    {"__main__"},
)
"""From layer 1 upward; every other module at the top of the package is layer 0, words that everyone speaks."""

OPTIONAL = {"warp", "transformers", "anny", "onnxruntime", "openvino", "ray", "sleap_io", "pynwb", "av"}

COMPILED = {"warp": "synthesis/renderers"}
"""Warp compiles a module of kernels whole: kernels stand beside what launches them, and their folder is one place."""


def layer(room: str) -> int:
    return next((number for number, rooms in enumerate(LAYERS, start=1) if room in rooms), 0)


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = sorted(file for file in SOURCE.rglob("*.py") if file != SOURCE / "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_imports_point_downward(file: Path) -> None:
    own = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imports(file):
        package, _, rest = name.partition(".")
        if package == "fidip":
            room = rest.partition(".")[0]
            version = own == "cli" and room in ("", "__version__")  # the command line may ask for the version
            at_home = room == own or layer(room) == layer(own) == 0
            assert version or at_home or layer(room) < layer(own), f"{own} must not import {name}"


def test_each_optional_package_is_imported_in_one_place() -> None:
    homes = defaultdict(set)
    for file in FILES:
        for name in imports(file):
            if (package := name.partition(".")[0]) in OPTIONAL:
                path = file.relative_to(SOURCE).as_posix()
                home = COMPILED.get(package, path)
                homes[package].add(home if path.startswith(home) else path)
    assert {package: files for package, files in homes.items() if len(files) > 1} == {}


def test_every_room_has_a_layer() -> None:
    rooms = {folder.name for folder in SOURCE.iterdir() if folder.is_dir() and any(folder.glob("*.py"))}
    assert rooms <= set().union(*LAYERS)
