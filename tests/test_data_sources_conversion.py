"""What holds for every source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fidip.annotations import LabelledImage, Person
from fidip.cli import COMMANDS
from fidip.data.folder import Picture
from fidip.data.sources import SOURCES
from fidip.data.sources.conversion import Progress, convert, reasons
from fidip.data.tally import EXAMPLES, Tally
from fidip.errors import DataError

DOCUMENT = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Listed:
    """A source of given pictures."""

    names: tuple[str, ...]
    folder: Path = Path("listed")

    def pictures(self, tally: Tally, progress: Progress) -> Iterator[Picture]:
        assert tally.unreadable == []
        for done, name in enumerate(self.names, start=1):
            progress(done, len(self.names))
            person = Person(np.ones((17, 3)), box=(0, 0, 4, 4), area=16.0)
            yield Picture(LabelledImage(0, name, 8, 8, (person,)), name.encode())


def test_every_source_is_a_command_and_a_paragraph() -> None:
    assert {name.removeprefix("convert ") for name in COMMANDS if name.startswith("convert ")} == set(SOURCES)
    for name in SOURCES:
        assert f"fidip convert {name}" in DOCUMENT


def test_names_that_come_twice_are_told(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    conversion = convert(Listed(("a.jpg", "A.jpg")), tmp_path / "out", progress=lambda *step: steps.append(step))
    assert conversion.to_json()["changed"] == {
        "renamed, since another image has the name": {"count": 1, "first": ["A.jpg: A-2.jpg"]}
    }
    assert steps == [(1, 2), (2, 2)]


def test_nothing_to_convert_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="listed: no image can be used: nothing is in it"):
        convert(Listed(()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_report_counts_all_and_shows_some() -> None:
    tally = Tally()
    for n in range(50):
        tally.leave_out("a crowd", f"annotation {n}")
    tally.unreadable.extend(("x.png: damaged", "y.png: damaged"))
    report = tally.to_json()
    assert report["left_out"]["a crowd"]["count"] == 50
    assert len(report["left_out"]["a crowd"]["first"]) == EXAMPLES
    assert reasons(tally) == "a crowd (50), 2 unreadable, the first x.png: damaged"
