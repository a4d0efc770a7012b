"""What a run costs those whom the initial weights knew: AP on adults before and after, and how sure the difference is.

Nothing is learnt from these people and no epoch is chosen by them. They are looked at once, when the run is over, by
the weights that it started from and by those that it keeps, each at the size that its card says.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fidip.errors import DataError, DataWarning
from fidip.evaluation.average_precision import EvaluationResult
from fidip.evaluation.bootstrap import RESAMPLES
from fidip.evaluation.statistics import paired_difference
from fidip.files import read_json, sha256_of, write_json
from fidip.networks.card import NetworkCard
from fidip.networks.pose import PoseNet
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.training.events import Retaining, Watch
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.validation import judge, load_validation, policy_of

KEY = "retained"
"""Under which the figures stand in the summary and in the card's ``training``."""


def check_retained(labelled: LabelledSet) -> None:
    """See that AP can be measured on a set, before hours are spent on the run.

    Raises:
        DataError: nobody is labelled, or somebody has no area.
    """
    policy_of(labelled)
    if not any(person.labelled.any() and not person.crowd for image in labelled.images for person in image.people):
        raise DataError(labelled.file, "annotations", "nobody has a labelled keypoint; no retention can be measured")


def warn_of_memories(card: NetworkCard, inputs: Inputs, prints: Mapping[str, Any]) -> None:
    """Warn by a ``DataWarning`` where initial weights learnt from the very pictures or labels that are to judge them.

    ``card`` is that of the initial weights, ``prints`` the fingerprints of this run's sets.
    """
    learnt = card.training.get("data")
    for option, labelled in inputs.judging.items():
        own = prints[option.removeprefix("--")]
        for name, other in learnt.items() if isinstance(learnt, dict) else ():
            same = isinstance(other, dict) and any(
                own[key] is not None and own[key] == other.get(key) for key in ("images_sha256", "annotations_sha256")
            )
            if same and name not in ("validation", "retain"):
                problem = f"the initial weights learnt from this very set, as {name}: what it says of them is too good"
                warnings.warn(f"{option} {labelled.file}: {problem}", DataWarning, stacklevel=3)


def retained(weights: Path, summary: Path, inputs: Inputs, device: torch.device, watch: Watch) -> dict[str, Any] | None:
    """Measure what is retained and write it to a finished run's weights and summary, unless it stands there already.

    Killed in between and called again, it leaves the same bytes.

    Raises:
        DataError, ImageError: an image cannot be read.
        WeightsError: weights cannot be read. StorageError: a file cannot be written.
    """
    if inputs.retain is None:
        return None
    told: dict[str, Any] = read_json(summary)
    if KEY not in told:
        net = load_pose_net(weights)
        before = None if inputs.init is None else load_pose_net(inputs.init)
        total, done = len(inputs.retain.paths) * (1 if before is None else 2), count(1)
        figures = measure(inputs.retain, before, net, device, lambda: watch(Retaining(next(done), total)))
        net.card = replace(net.card, training={**net.card.training, KEY: figures})
        save_pose_net(net, weights)
        told |= {KEY: figures, "network": json.loads(net.card.to_json()), "weights_sha256": sha256_of(weights)}
        write_json(summary, told, indent=2)
    return dict(told[KEY])


def measure(
    labelled: LabelledSet, before: PoseNet | None, after: PoseNet, device: torch.device, tick: Callable[[], None]
) -> dict[str, Any]:
    """AP of two networks on a set and the paired difference after − before, in the types of JSON.

    Without ``before`` there is nothing to retain, and the figures of ``after`` stand alone. ``tick`` counts the images
    of each network.
    """
    last = _judged(after, labelled, device, tick)
    first = None if before is None else _judged(before, labelled, device, tick)
    rng = np.random.default_rng(0)  # the same resamples at every call
    difference = None if first is None else paired_difference(last, first, rng)
    return {
        "file": labelled.file.name,
        "area": last.area,
        "images": last.images,
        "people": last.people,
        "before": None if first is None else _figures(first),
        "after": _figures(last),
        "difference": None if difference is None else asdict(difference),
    }


def _judged(net: PoseNet, labelled: LabelledSet, device: torch.device, tick: Callable[[], None]) -> EvaluationResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the areas' defects were told at the start
        crops = load_validation(labelled, net.card, lambda _: tick())
    return judge(net.to(device), crops, device, RESAMPLES)


def _figures(result: EvaluationResult) -> dict[str, Any]:
    return {"AP": result.AP, "AR": result.AR, "ci95": None if result.ci95 is None else list(result.ci95)}
