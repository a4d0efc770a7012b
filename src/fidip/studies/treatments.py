"""What is compared in the study of adaptation: methods, label budgets and seeds, and a recipe for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from fidip.recipes.study import STUDY
from fidip.training.adaptation import JUDGED, WEIGHED, Method
from fidip.training.recipe import Pretrain, Recipe
from fidip.training.teacher import MeanTeacher

Budget = int
"""How many real images have labels."""

LABELLED_PER_STEP = 16
"""The same in every arm, whoever else is in the batch."""

UNLABELLED_PER_STEP = 8

REAL_SHARE = 0.25
"""Of the labelled people of a batch, where both domains have labels. With half, ten images are learnt by heart."""

ALL_REAL_SHARE = 0.5
"""Where all real images have labels."""

RAMP = 1.0
"""Epochs over which a weight grows from nothing; DANN has the ramp of its publication."""

PRETRAIN = Pretrain(epochs=4, batch_size=64)
"""The pre-stage of FiDIP, on adults."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """A way to make use of the images, and the one that it is compared with.

    ``weighed`` ones have a share of the pose gradient that is chosen on the validation images. ``unlabelled`` says
    whether real images without labels are in the batches; ``labels`` are those of the budget, all there are, or none.
    """

    name: str
    title: str
    method: Method
    control: str | None = None
    synthetic: bool = True
    unlabelled: bool = True
    labels: Literal["budget", "all"] = "budget"
    weighed: bool = False
    tuned_as: str | None = None  # whose share it takes
    colours: float = 0.0  # share of synthetic images that take the colours of a real one
    teacher: MeanTeacher = field(default_factory=MeanTeacher)

    @property
    def exact(self) -> bool:
        """Whether it differs from its control in nothing but what it is about."""
        return self.control in EXACT_CONTROLS

    def possible(self, budget: Budget) -> bool:
        """Whether there is anything to learn from with so many labels."""
        return self.synthetic or self.labels == "all" or budget > 0


CONTROL = Treatment("control", "both, λ = 0", "mmd", control="fine-tune")
"""All methods' exact control: with λ = 0 each leaves the pose network as this one does, to the bit. It sees the real
images without labels in its batches, but nothing of them reaches it except through batch normalisation."""

TEACHER = MeanTeacher(decay=0.99, confidence=0.3)
"""A run of some hundred steps is over before a mean with the usual memory of a thousand has caught up."""

EXACT_CONTROLS = ("control", "colours")

BORROWED = 0.5
"""Half of the synthetic images keep their own colours."""

TREATMENTS: dict[str, Treatment] = {
    one.name: one
    for one in (
        Treatment("real-only", "labelled real only", "fine-tune", "fine-tune", synthetic=False, unlabelled=False),
        Treatment("fine-tune", "fine-tuning on both", "fine-tune", unlabelled=False),
        CONTROL,
        Treatment("adabn", "AdaBN", "adabn", "control"),
        Treatment("fidip", "FiDIP", "fidip", "control", weighed=True),
        Treatment("dann", "DANN", "dann", "control", weighed=True),
        Treatment("mmd", "MMD", "mmd", "control", weighed=True),
        Treatment("regda", "RegDA", "regda", "control", weighed=True),
        Treatment("mean-teacher", "mean teacher", "mean-teacher", "control", weighed=True, teacher=TEACHER),
        Treatment("colours", "colours of real images", "fine-tune", "control", colours=BORROWED),
        Treatment(
            "colours-fidip", "FiDIP, colours of real images", "fidip", "colours", tuned_as="fidip", colours=BORROWED
        ),
        Treatment(
            "colours-teacher",
            "mean teacher, colours of real images",
            "mean-teacher",
            "colours",
            tuned_as="mean-teacher",
            colours=BORROWED,
            teacher=TEACHER,
        ),
        Treatment("oracle", "oracle: all real images labelled", "fine-tune", unlabelled=False, labels="all"),
    )
}
"""The menu of ``docs/training.md``, and what frames it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One network of the study."""

    treatment: str  # a key of TREATMENTS
    budget: Budget
    seed: int
    share: float | None = None  # of the pose gradient, for weighed treatments
    tuning: bool = False  # measured on the validation images, to choose the share

    @property
    def name(self) -> str:
        """Of its file."""
        share = f"-{self.share:g}" if self.tuning else ""
        return f"{'tuning-' * self.tuning}{self.treatment}{share}-{self.budget}-{self.seed}"


def recipe_of(cell: Cell, epochs: int, steps_per_epoch: int) -> Recipe:
    """What a cell learns by. Within a seed everything that is random is shared by all that are compared."""
    one = TREATMENTS[cell.treatment]
    judged, weighed = one.method in JUDGED, one.method in WEIGHED
    unlabelled = UNLABELLED_PER_STEP if one.unlabelled else 0
    real = cell.budget > 0 or one.labels == "all"
    batch_size = LABELLED_PER_STEP + unlabelled
    share = ALL_REAL_SHARE if one.labels == "all" else REAL_SHARE
    return replace(
        STUDY,
        name=f"study-{cell.name}",
        method=one.method,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        batch_size=batch_size,
        classifier="pooled" if judged else None,
        pretrain=PRETRAIN if judged else None,
        domain_share=(cell.share or 0.0) if weighed else None,
        domain_ramp=RAMP if weighed and one.method != "dann" else 0.0,
        synthetic_share=1 - share if real and one.synthetic else None,
        unlabelled_share=unlabelled / batch_size if unlabelled else None,
        real_images="labelled" if real or unlabelled else "none",
        augmentation=replace(STUDY.augmentation, borrowed_colours=one.colours),
        teacher=one.teacher,
        seed=cell.seed,
    )
