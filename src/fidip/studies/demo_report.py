"""The demo's table and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import LabelledImage, Person
from fidip.coco import image_paths, read_coco, read_results
from fidip.evaluation.embedding import domain_probe, tsne
from fidip.evaluation.keypoint_errors import KeypointErrors, keypoint_errors
from fidip.evaluation.plots import Line, plot_curves, plot_groups, plot_pictures
from fidip.evaluation.report import Picture, Section, Table, to_html
from fidip.evaluation.statistics import PairedDifference
from fidip.images import read_image
from fidip.studies.demo import AREA, DemoResult
from fidip.studies.pictures import domain_pictures, enlarged

SHOWN = ("source", "both", "fidip")
"""The networks whose features and poses are shown."""

DOMAINS = {
    "real": "simulated real",
    "synthetic": "synthetic",
    "adults-real": "adults, sim. real",
    "adults-synthetic": "adults, synthetic",
}


def demo_table(result: DemoResult) -> Table:
    """AP of every network with its interval, and the paired difference to its control; the best row stands out."""
    errors = _errors(result)
    titles = {arm.name: arm.title for arm in result.arms}
    rows = []
    for arm in result.arms:
        found = result.evaluated[arm.name]
        difference = result.differences.get(arm.name)
        rows.append(
            (
                arm.title,
                _percent(found.AP),
                "–" if found.ci95 is None else f"{_percent(found.ci95[0])} to {_percent(found.ci95[1])}",
                _percent(found.AP50),
                _percent(found.AR),
                _percent(errors[arm.name].pck[0.2]),
                _difference(difference),
                "" if arm.control is None else titles[arm.control],
            )
        )
    best = max(range(len(rows)), key=lambda i: result.evaluated[result.arms[i].name].AP)
    first = result.evaluated[result.arms[0].name]
    caption = (
        f"{first.people} simulated-real infants in {first.images} images that no network has seen, boxes of the truth, "
        f"flip test. COCO keypoint AP in percent; OKS divides by the area policy «{AREA}»; intervals of 95 % by a "
        "bootstrap over images; PCK within 0.2 torso lengths. One seed: the noise of training is not in the intervals."
    )
    header = ("network", "AP", "95 % interval", "AP50", "AR", "PCK", "difference (95 %)", "to")
    return Table(header, tuple(rows), caption, frozenset({best}))


def demo_report(result: DemoResult, footer: Mapping[str, str]) -> str:
    """The report as one HTML page."""
    truth = read_coco(result.data["test"])
    paths = image_paths(result.data["test"], truth)
    predictions = {arm.name: read_results(result.measured[arm.name].results, truth) for arm in result.arms}
    oks = keypoint_errors(truth, predictions["fidip"], area=AREA).oks
    ranked = sorted((value, i) for i, image in enumerate(truth) if (value := oks[image.id]) is not None)
    typical = [ranked[round(share * (len(ranked) - 1))][1] for share in (0.95, 0.75, 0.5, 0.35)]
    failures = [i for _, i in ranked[:4]]
    show = _Shown(truth, [str(path) for path in paths], predictions, oks)
    sections = [
        Section("What was compared", [_domains_text(result), domain_pictures(result.data, DOMAINS)]),
        Section("The result", [demo_table(result), *demo_findings(result)]),
        Section("How the training went", [_curves(result)]),
        Section("Do the features still tell the domains apart?", _features(result)),
        Section("Poses", ["From good to middling, by the similarity (OKS) of FiDIP's pose.", _poses(show, typical)]),
        Section("Failures", ["The four worst of FiDIP.", _poses(show, failures)]),
        Section("Keypoint by keypoint", [_keypoint_table(result)]),
    ]
    lead = (
        "A pose network that knows adults is adapted to infants with a few simulated-real and many synthetic images, "
        "by the three stages of FiDIP (Huang, Fu, Liu, Ostadabbas: Infant Pose Learning with Small Data)."
    )
    return to_html("fidip: the demo's report", lead, sections, footer)


class _Shown:
    """The test images with what every network saw in them."""

    def __init__(
        self,
        truth: Sequence[LabelledImage],
        paths: Sequence[str],
        predictions: Mapping[str, Mapping[int, Sequence[Person]]],
        oks: Mapping[int, float | None],
    ) -> None:
        self.truth, self.paths, self.predictions, self.oks = truth, paths, predictions, oks

    def row(self, i: int) -> list[NDArray[np.uint8]]:
        image, pixels = self.truth[i], read_image(self.paths[i])
        people = [image.people, *(self.predictions[name].get(image.id, ()) for name in SHOWN)]
        return [enlarged(pixels, group) for group in people]


def _poses(show: _Shown, chosen: Sequence[int]) -> Picture:
    data = plot_pictures(
        [show.row(i) for i in chosen],
        ("truth", "source", "both, λ = 0", "FiDIP"),
        [f"OKS {show.oks[show.truth[i].id]:.2f}" for i in chosen],
    )
    alt = f"{len(chosen)} test images with the true pose and those of the source network, the control and FiDIP"
    caption = "The subject's left is blue, the right orange; rings are occluded keypoints, faint lines uncertain ones."
    return Picture(data, alt, caption, "image/jpeg")


def _domains_text(result: DemoResult) -> str:
    size = result.size
    return (
        "No photograph of a real infant is used. Two infant domains stand for those of the paper: synthetic (unlit, as "
        f"the published images were made; {size.synthetic} images) and simulated real (ray-cast light and shadow, "
        f"other textures and cameras, sensor noise, blur and JPEG; {size.real} labelled images, as few as real ones "
        f"are in life, and {size.validation} more to choose the epoch). The source network was trained on rendered "
        f"adults; the pre-stage of FiDIP takes {size.adults} adults of each kind."
    )


def demo_findings(result: DemoResult) -> tuple[str, str]:
    """The table in words, whatever it says, and the ratio of the two gradients."""
    return _finding(result), _ratio_text(result)


def _finding(result: DemoResult) -> str:
    source, both, fidip = (result.evaluated[name].AP for name in ("source", "both", "fidip"))
    gain = (
        f"Adapting the source network to infants moves its AP from {_percent(source)} to {_percent(both)} with both "
        f"kinds of images, and to {_percent(fidip)} with FiDIP."
    )
    difference = result.differences["fidip"]
    if difference is None:
        return gain
    if difference.low > 0:
        verdict = "FiDIP's domain classifier helps beyond the interval of this one run."
    elif difference.high < 0:
        verdict = "FiDIP's domain classifier does harm beyond the interval of this one run."
    else:
        verdict = "FiDIP is not distinguishable from its exact control, the same code and random numbers with λ = 0."
    return f"{gain} {verdict} {_NOISE}"


_NOISE = "The interval knows the noise of the test images only, not that of the training: a claim needs several seeds."


def _ratio_text(result: DemoResult) -> str:
    ratios = [line["gradient_ratio"] for line in result.histories["fidip"] if line["gradient_ratio"]]
    if not ratios:
        return "The ratio of the two gradients was not recorded."
    first, last = ratios[0], ratios[-1]
    return (
        f"At the features, the gradient of λ times the domain loss was {first:.2f} of that of the pose loss when λ set "
        f"in and {last:.2f} in the last epoch. λ by itself has no meaning: this ratio is what the network feels."
    )


def _curves(result: DemoResult) -> Picture:
    adapted = {
        arm.title: [line for line in result.histories[arm.name] if line["stage"] == "adapt"]
        for arm in result.arms
        if arm.recipe
    }

    def lines(key: str) -> dict[str, Line]:
        return {
            title: ([line["epoch"] for line in history], [line[key] for line in history])
            for title, history in adapted.items()
            if history[0][key] is not None
        }

    judged: dict[str, Line] = {
        title: ([line["epoch"] for line in history], [100 * line["validation"]["AP"] for line in history])
        for title, history in adapted.items()
    }
    panels = {
        "pose loss": lines("pose_loss"),
        f"AP on validation (%), area {next(iter(adapted.values()))[0]['validation']['area']}": judged,
        "domain accuracy": lines("domain_accuracy"),
    }
    data = plot_curves(panels, "epoch")
    caption = "A domain accuracy near one half says that the classifier is confused; below it, that it oscillates."
    return Picture(data, "curves of pose loss, validation AP and domain accuracy over the epochs", caption)


def _features(result: DemoResult) -> list[str | Table | Picture]:
    panels, rows = {}, []
    for name in SHOWN:
        with np.load(result.measured[name].features, allow_pickle=False) as stored:
            real, synthetic = stored["real"], stored["synthetic"]
        features = np.concatenate([real, synthetic])
        is_synthetic = np.arange(len(features)) >= len(real)
        accuracy = domain_probe(features, is_synthetic, result.seed)
        labels = ["synthetic" if value else "simulated real" for value in is_synthetic]
        title = {arm.name: arm.title for arm in result.arms}[name]
        panels[title] = (tsne(features, result.seed), labels)
        rows.append((title, f"{100 * accuracy:.0f} %", f"{2 * (2 * accuracy - 1):.2f}"))
    caption = (
        "t-SNE of the last features of the backbone, averaged over the map, of infants that no network has learnt from."
    )
    table = Table(
        ("network", "linear probe", "proxy A-distance"),
        tuple(rows),
        "How often a linear classifier tells the domains apart (50 % is chance; 5 folds). Invariance is not accuracy.",
    )
    return [Picture(plot_groups(panels), "t-SNE of features, one panel a network, coloured by domain", caption), table]


def _keypoint_table(result: DemoResult) -> Table:
    errors = _errors(result)
    names = errors["fidip"].keypoints
    rows = tuple(
        (name.replace("_", " "), *(_percent(errors[arm.name].keypoint_pck[-1, k]) for arm in result.arms))
        for k, name in enumerate(names)
    )
    header = ("keypoint", *(arm.name for arm in result.arms))
    return Table(header, rows, "PCK: keypoints within 0.2 torso lengths of the truth, in percent.")


def _errors(result: DemoResult) -> dict[str, KeypointErrors]:
    truth = read_coco(result.data["test"])
    return {
        arm.name: keypoint_errors(truth, read_results(result.measured[arm.name].results, truth), area=AREA)
        for arm in result.arms
    }


def _percent(value: Any) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{100 * value:.1f}"


def _difference(difference: PairedDifference | None) -> str:
    if difference is None:
        return "–"
    return f"{100 * difference.observed:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
