"""The pre-stage set from two miniature folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fidip.annotations import Domain
from fidip.data.sources.conversion import convert
from fidip.data.sources.prestage import REAL, SYNTHETIC, Prestage
from fidip.errors import DataError
from fidip.training.inputs import LabelledSet
from source_folders import coco_folder, standing_joints, surreal_clip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("prestage")
    coco = coco_folder(root / "coco", {11: 3, 12: 1, 13: 4})
    for n in range(5):
        surreal_clip(root / f"surreal/{n:02d}_01_c0001", np.repeat(standing_joints()[None], 2, 0))
    return coco, root / "surreal"


def test_the_numbers_are_the_papers() -> None:
    assert (REAL, SYNTHETIC, REAL + SYNTHETIC) == (1904, 2000, 3904)
    assert Prestage(Path("a"), Path("b")) == Prestage(Path("a"), Path("b"), 0, 1904, 2000)


def test_both_domains_are_drawn_and_written_apart(folders: tuple[Path, Path], tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    source = Prestage(*folders, seed=1, real=6, synthetic=4)
    made = convert(source, tmp_path / "out", progress=lambda done, total: steps.append((done, total))).made
    assert made["people"] == 10
    real, synthetic = (LabelledSet.read(tmp_path / f"out/{name}.json") for name in ("real", "synthetic"))
    assert sum(len(image.people) for image in real.images) == 6
    assert sum(len(image.people) for image in synthetic.images) == 4
    assert {image.domain for image in real.images} == {Domain.REAL}
    assert {image.domain for image in synthetic.images} == {Domain.SYNTHETIC}
    everything = LabelledSet.read(tmp_path / "out/annotations.json")
    assert [image.id for image in everything.images] == list(range(1, made["images"] + 1))
    assert (steps[0], steps[-1]) == ((1, 10), (10, 10))
    assert steps == sorted(steps)
    convert(source, tmp_path / "again")
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / out).rglob("*") if path.is_file()}
        for out in ("out", "again")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("real", "synthetic", "message"),
    [(9, 4, "9 people wanted, 8 can be used"), (8, 6, "6 pictures wanted, but only 5 clips are here")],
)
def test_too_few_are_an_error_and_leave_nothing(
    folders: tuple[Path, Path], tmp_path: Path, real: int, synthetic: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        convert(Prestage(*folders, real=real, synthetic=synthetic), tmp_path / "out")
    assert not (tmp_path / "out").exists()
