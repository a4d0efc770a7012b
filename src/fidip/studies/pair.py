"""The pair of domains of the study of adaptation, and who of them has labels.

*Synthetic* infants are rendered flat, as the published images were made. *Simulated real* ones are filmed as a baby
monitor films them: ray-cast light and shadow by day, infrared by night (two of three). No synthetic image shows a
night, which is what makes the gap real: a network that has seen synthetic infants only is far from one that has seen
labelled ones of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fidip.studies.sets import RenderedSet
from fidip.training.inputs import LabelledSet
from fidip.training.loading import without_keypoints

SEED = 9_100_000
"""The pair is the same for every seed of the study: seeds change who has labels, and all that is random in learning."""


@dataclass(frozen=True, slots=True)
class StudySize:
    """How much is rendered and learnt."""

    synthetic: int
    labelled: int  # real images that may have labels; the largest budget
    unlabelled: int  # real images that never have
    validation: int
    test: int
    held_out: int  # synthetic infants whose features are looked at
    adults: int  # of each domain, for the pre-stage
    source_epochs: int
    epochs: int
    steps_per_epoch: int


FULL = StudySize(
    synthetic=1000, labelled=200, unlabelled=400, validation=300, test=1000, held_out=150, adults=100,
    source_epochs=40, epochs=5, steps_per_epoch=60,
)  # fmt: skip
QUICK = StudySize(
    synthetic=32, labelled=12, unlabelled=12, validation=8, test=20, held_out=8, adults=12, source_epochs=1, epochs=2,
    steps_per_epoch=4,
)  # fmt: skip


def sets(size: StudySize) -> dict[str, RenderedSet]:
    """What is rendered."""
    return {
        "real": RenderedSet("infant-monitor", size.labelled + size.unlabelled, SEED + 1),
        "validation": RenderedSet("infant-monitor", size.validation, SEED + 2),
        "synthetic": RenderedSet("infant-flat", size.synthetic, SEED + 3),
        "held-out": RenderedSet("infant-flat", size.held_out, SEED + 4),
        "adults-real": RenderedSet("adult-photo", size.adults, SEED + 5),
        "adults-synthetic": RenderedSet("adult-flat", size.adults, SEED + 6),
        "test": RenderedSet("infant-monitor", size.test, SEED + 7),
    }


def labelled(real: LabelledSet, size: StudySize, budget: int, seed: int) -> LabelledSet:
    """The real images that have labels; those of a smaller budget are among those of a larger one."""
    order = np.random.default_rng([seed, 0x1ABE1]).permutation(size.labelled)
    return _some(real, sorted(order[:budget].tolist()))


def unlabelled(real: LabelledSet, size: StudySize) -> LabelledSet:
    """The real images that never have labels: boxes are kept, keypoints taken away."""
    chosen = _some(real, range(size.labelled, size.labelled + size.unlabelled))
    images = [without_keypoints(image) for image in chosen.images]
    return LabelledSet(chosen.file, images, chosen.paths)


def _some(whole: LabelledSet, chosen: Iterable[int]) -> LabelledSet:
    indices = list(chosen)
    return LabelledSet(whole.file, [whole.images[i] for i in indices], [whole.paths[i] for i in indices])
