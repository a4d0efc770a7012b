"""The adults of the pre-stage: real ones from COCO, rendered ones from SURREAL, drawn by one seed.

The paper takes 1904 people of COCO val2017 and 2000 of SURREAL. Which, and how they were chosen, was never released:
the numbers are the paper's, the draw is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fidip.data.folder import Picture
from fidip.data.sources.coco import Coco
from fidip.data.sources.conversion import Progress
from fidip.data.sources.surreal import Surreal
from fidip.data.tally import Tally

REAL, SYNTHETIC = 1904, 2000
"""People of each domain in the paper's pre-stage set."""


@dataclass(frozen=True, slots=True)
class Prestage:
    """The two folders and the numbers of people to draw."""

    coco: Path
    surreal: Path
    seed: int = 0
    real: int = REAL
    synthetic: int = SYNTHETIC

    @property
    def folder(self) -> Path:
        """The first of the two."""
        return self.coco

    def pictures(self, tally: Tally, progress: Progress) -> Iterator[Picture]:
        """See :class:`~fidip.data.sources.conversion.Source`. A unit is a person.

        Raises:
            DataError: one of the two folders has too few people.
        """
        total = self.real + self.synthetic
        real = Coco(self.coco, count=self.real, seed=self.seed)
        synthetic = Surreal(self.surreal, count=self.synthetic, seed=self.seed)
        synthetic.clips(Tally())  # too few of them are told before anything else is done
        yield from real.pictures(tally, lambda done, _total: progress(done, total))
        yield from synthetic.pictures(tally, lambda done, _total: progress(self.real + done, total))
