"""An experiment as an object: every number of a training run, checked against the others before anything starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import cos, exp, isfinite, pi
from typing import Any, Literal, get_args

from fidip.data.augment import Augmentation
from fidip.data.sampling import SMALLEST_BATCH, Order
from fidip.errors import RecipeError
from fidip.geometry import Size
from fidip.networks.card import NetworkCard
from fidip.networks.domain import DOMAIN_CLASSIFIERS
from fidip.networks.lora import LowRank
from fidip.networks.published import PUBLISHED
from fidip.training.adaptation import JUDGED, METHODS, WEIGHED, Method
from fidip.training.finite import NotFinite
from fidip.training.published import Published
from fidip.training.teacher import MeanTeacher

Alternation = Literal["iteration", "epoch"]
RealImages = Literal["labelled", "unlabelled", "none"]

DECAY = 0.1
"""Factor of the learning rate at a milestone, in every published configuration."""


@dataclass(frozen=True, slots=True)
class Pretrain:
    """The pre-stage: the classifier learns real against synthetic on adults, the pose network stands still."""

    epochs: int
    batch_size: int
    steps_per_epoch: int | None = None  # None: every adult once


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result of a run, besides its files. An ablation is one ``dataclasses.replace``."""

    name: str
    source: str  # where the numbers come from
    epochs: int  # of stages I and II
    batch_size: int
    learning_rate: float  # Adam's, of the pose network and of the classifier, each with an optimiser of its own

    # The network: built anew from a card, or given as weights, or either.
    network: NetworkCard | None = None  # built when no weights are given; None: weights are needed
    starts_from: str | None = None  # a key of PUBLISHED, whose architecture given weights must have
    backbone: str | None = None  # what given weights must be of; None: any
    input_size: Size | None = None  # W, H; None: as the network's card says
    sigma: float | None = None  # of the heatmaps, in heatmap pixels; None: as the card says

    # The schedule.
    steps_per_epoch: int | None = None  # None: every sample once
    milestones: tuple[int, ...] = ()  # epochs before which the learning rate falls to a tenth
    cosine: bool = False  # the learning rate falls to zero along half a cosine, step by step
    warmup_steps: int = 0  # over which the learning rate grows linearly from nothing

    # The domains (paper §3).
    method: Method | None = None  # a key of METHODS; None: fidip with a classifier, else fine-tune
    classifier: str | None = None  # a key of DOMAIN_CLASSIFIERS; None: no stage I
    domain_weight: float = 0.0  # λ; 0 with a classifier is the exact control: the same code and random stream
    domain_share: float | None = None  # λ as a share of the pose gradient at the features, in place of domain_weight
    domain_ramp: float = 0.0  # epochs over which λ or the share grows linearly from 0; dann's grows as published
    pretrain: Pretrain | None = None
    alternation: Alternation = "iteration"  # stages I and II take turns on every batch, or in passes over an epoch
    stop_at_accuracy: float | None = None  # an epoch whose mean accuracy of stage I is no higher is the last one
    real_images: RealImages = "labelled"  # "unlabelled": they teach the domain, their keypoints are not looked at
    synthetic_share: float | None = None  # of every batch; None: all samples shuffled together
    unlabelled_share: float | None = None  # of every batch; then synthetic_share is of the rest
    unlabelled: bool = False  # people without keypoints are kept, for what a method learns without labels

    teacher: MeanTeacher = field(default_factory=MeanTeacher)  # of method mean-teacher

    # What stands still: names of the backbone's stages (the paper's Res1 to Res5).
    frozen: tuple[str, ...] = ()
    lora: LowRank | None = None  # adapters and the head alone learn; for a ViT
    frozen_batchnorm_drifts: bool = False  # as in the published code: frozen layers go on recording statistics
    keep_statistics: bool = False  # all batch norm of the pose network uses and keeps the statistics it starts with

    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    not_finite: NotFinite = "stop"  # at a loss, gradient, feature or image that is not finite; or "skip" that step
    save_every: int = 200  # steps between checkpoints within an epoch; one is written after every epoch anyway

    published: Published | None = None  # the row of a table that it stands for, with all its numbers

    def validate(self) -> None:
        """Check the numbers against each other.

        Raises:
            RecipeError: a number is out of range, or two settings contradict each other.
        """
        self._check_ranges()
        contradictions = self._contradictions_of_the_method() | {
            "a pre-stage without a classifier": self.pretrain and not self.classifier,
            "real_images 'unlabelled', who would teach nothing": (
                self.real_images == "unlabelled" and self.learns_from_labels_only
            ),
            "a synthetic_share without real images": self.synthetic_share and self.real_images == "none",
            "augmentation.borrowed_colours without real images": (
                self.augmentation.borrowed_colours and self.real_images == "none"
            ),
            f"alternation by epoch with method {self.learning}, which has no stage I": (
                self.alternation == "epoch" and self.learning != "fidip"
            ),
            "stop_at_accuracy without a pre-stage: a classifier that has learnt nothing is at chance too": (
                self.stop_at_accuracy is not None and not self.pretrain
            ),
            f"different backbones, {' and '.join(self._backbones())}": len(self._backbones()) > 1,
            "milestones and cosine together": self.milestones and self.cosine,
            f"milestones {self.milestones} that are not ascending epochs before the last ({self.epochs})": (
                list(self.milestones) != sorted({m for m in self.milestones if 0 < m < self.epochs})
            ),
            "lora and frozen together: with adapters the whole backbone stands still": self.lora and self.frozen,
            "frozen_batchnorm_drifts and keep_statistics together": (
                self.frozen_batchnorm_drifts and self.keep_statistics
            ),
            "frozen_batchnorm_drifts with nothing frozen": self.frozen_batchnorm_drifts and not self.frozen,
        }
        for problem, present in contradictions.items():
            if present:
                raise RecipeError(f"recipe {self.name}: {problem}; change one of them")

    def _contradictions_of_the_method(self) -> dict[str, Any]:
        method, weight, share = self.learning, self.domain_weight, self.domain_share
        unweighed = method not in WEIGHED
        return {
            f"method {method} without a classifier": method in JUDGED and not self.classifier,
            f"a classifier, which method {method} has no use for": self.classifier and method not in JUDGED,
            f"domain_weight {weight:g} without a classifier, or another method that has such a weight": (
                weight and unweighed
            ),
            "domain_share with a method that has no weight": share is not None and unweighed,
            "domain_weight and domain_share together": weight and share is not None,
            f"domain_ramp with method {method}, whose ramp is the published one": self.domain_ramp and method == "dann",
            f"a batch of {self.batch_size} for real, synthetic and unlabelled people": (
                self.unlabelled_share and self.synthetic_share and self.batch_size < 3
            ),
            f"a teacher's settings with method {method}": self.teacher != MeanTeacher() and method != "mean-teacher",
            f"unlabelled people without a classifier, who teach method {method} nothing": (
                (self.unlabelled or self.unlabelled_share) and self.learns_from_labels_only
            ),
        }

    def _check_ranges(self) -> None:
        pretrain = self.pretrain or Pretrain(1, SMALLEST_BATCH)
        share, steps = self.synthetic_share, (self.steps_per_epoch, pretrain.steps_per_epoch)
        ranges = {
            "starts_from": self.starts_from is None or self.starts_from in PUBLISHED,
            "epochs": min(self.epochs, pretrain.epochs) >= 1,
            "batch_size": min(self.batch_size, pretrain.batch_size) >= SMALLEST_BATCH,
            "learning_rate": isfinite(self.learning_rate) and self.learning_rate > 0,
            "steps_per_epoch": all(count is None or count >= 1 for count in steps),
            "warmup_steps": self.warmup_steps >= 0,
            "classifier": self.classifier is None or self.classifier in DOMAIN_CLASSIFIERS,
            "domain_weight": isfinite(self.domain_weight) and self.domain_weight >= 0,
            "method": self.method is None or self.method in METHODS,
            "domain_share": self.domain_share is None or (isfinite(self.domain_share) and self.domain_share >= 0),
            "domain_ramp": isfinite(self.domain_ramp) and self.domain_ramp >= 0,
            "alternation": self.alternation in get_args(Alternation),
            "stop_at_accuracy": self.stop_at_accuracy is None or 0 < self.stop_at_accuracy < 1,
            "real_images": self.real_images in get_args(RealImages),
            "synthetic_share": share is None or 0 < share < 1,
            "unlabelled_share": self.unlabelled_share is None or 0 < self.unlabelled_share < 1,
            "teacher": (
                0 <= self.teacher.decay < 1
                and 0 <= self.teacher.confidence < 1
                and self.teacher.keep in ("student", "teacher")
            ),
            "lora": self.lora is None or (self.lora.rank >= 1 and isfinite(self.lora.alpha) and self.lora.alpha > 0),
            "sigma": self.sigma is None or (isfinite(self.sigma) and self.sigma > 0),
            "seed": self.seed >= 0,
            "not_finite": self.not_finite in get_args(NotFinite),
            "save_every": self.save_every >= 1,
            "augmentation": _can_vary(self.augmentation),
        }
        for name, right in ranges.items():
            if not right:
                raise RecipeError(f"recipe {self.name}: {name}: {EXPECTED[name]}, found {getattr(self, name)!r:.80}")

    def _backbones(self) -> list[str]:
        """The backbones that are asked for, each once."""
        named = PUBLISHED.get(self.starts_from or "")
        asked = (self.network and self.network.backbone, named and named.backbone, self.backbone)
        return list(dict.fromkeys(backbone for backbone in asked if backbone))

    def order(self) -> Order:
        """How stages I and II put infants in batches."""
        return Order(self.batch_size, self.synthetic_share, self.steps_per_epoch, self.unlabelled_share)

    def pretrain_order(self) -> Order:
        """How the pre-stage puts adults in batches."""
        assert self.pretrain is not None
        return Order(self.pretrain.batch_size, self.synthetic_share, self.pretrain.steps_per_epoch)

    def learning_rate_at(self, epoch: int, step: int, steps: int) -> float:
        """The learning rate of a step of stages I and II; ``steps`` is their number in an epoch."""
        done = epoch * steps + step
        rate = self.learning_rate * DECAY ** sum(epoch >= milestone for milestone in self.milestones)
        if self.cosine:
            rate *= (1 + cos(pi * done / (self.epochs * steps))) / 2
        return rate * min(1.0, (done + 1) / (self.warmup_steps + 1))

    @property
    def learns_from_labels_only(self) -> bool:
        """Whether real people without labels are of no use to it."""
        return self.learning == "fine-tune" and not self.augmentation.borrowed_colours

    @property
    def learning(self) -> Method:
        """The method, told or not."""
        return self.method or ("fidip" if self.classifier else "fine-tune")

    def domain_weight_at(self, epoch: int, step: int, steps: int) -> float:
        """λ at a step of stage II, or the share of the pose gradient where the recipe gives that.

        The ramp of DANN (Ganin and Lempitsky 2015) is 2 / (1 + exp(−10 p)) − 1 with the progress p from 0 to 1.
        """
        full = self.domain_weight if self.domain_share is None else self.domain_share
        done = epoch + step / steps
        if self.learning == "dann":
            return full * (2 / (1 + exp(-10 * done / self.epochs)) - 1)
        return full * min(1.0, done / self.domain_ramp if self.domain_ramp else 1.0)

    def to_json(self) -> dict[str, Any]:
        """The recipe in the types of JSON."""
        return asdict(self)


def _can_vary(a: Augmentation) -> bool:
    shares = (
        a.rotation_probability, a.flip_probability, a.half_body_probability, a.occlusion_probability, a.occlusion_size,
        a.brightness, a.contrast, a.saturation, a.borrowed_colours,
    )  # fmt: skip
    return 0 <= a.scale < 1 and 0 <= a.rotation <= 180 and all(0 <= share <= 1 for share in shares)


EXPECTED = {
    "starts_from": "the name of a published network (docs/networks.md), or None",
    "epochs": "at least 1, in the pre-stage too",
    "batch_size": f"at least {SMALLEST_BATCH}, in the pre-stage too",
    "learning_rate": "a positive number",
    "steps_per_epoch": "at least 1, or None for every sample once",
    "warmup_steps": "0 or more",
    "classifier": f"one of {', '.join(DOMAIN_CLASSIFIERS)}, or None",
    "domain_weight": "0 or more",
    "domain_ramp": "0 or more epochs",
    "alternation": f"one of {', '.join(get_args(Alternation))}",
    "stop_at_accuracy": "a share between 0 and 1, or None",
    "real_images": f"one of {', '.join(get_args(RealImages))}",
    "domain_share": "0 or more of the pose gradient, or None",
    "method": f"one of {', '.join(METHODS)}, or None",
    "synthetic_share": "a share between 0 and 1, or None to shuffle all together",
    "unlabelled_share": "a share between 0 and 1, or None",
    "teacher": "decay and confidence from 0 to less than 1, and student or teacher to keep",
    "lora": "a rank of at least 1 and a positive alpha, or None",
    "sigma": "a positive number of heatmap pixels, or None",
    "seed": "0 or more",
    "not_finite": f"one of {', '.join(get_args(NotFinite))}",
    "save_every": "at least 1 step",
    "augmentation": "a scale from 0 to below 1, a rotation from 0 to 180 degrees, all others from 0 to 1",
}
