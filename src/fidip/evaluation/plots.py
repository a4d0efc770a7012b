"""Figures from numbers, in a palette that colour-blind readers can tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.platform import cache_dir

os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))  # one cache for everything, as promised

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fidip.annotations import FloatArray
from fidip.evaluation.pose_distribution import limb_groups, limb_lines

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
RESOLUTION = 144  # dots per inch: sharp on a laptop, small in a report

Line = tuple[Sequence[float], Sequence[float]]
"""x and y of a curve."""


def plot_curves(panels: Mapping[str, Mapping[str, Line]], xlabel: str) -> bytes:
    """Curves in panels side by side, as PNG: panel title → curve name → (x, y). Undefined values leave a gap."""
    figure = Figure(figsize=(4.6 * len(panels), 3.4), layout="constrained")
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, (x, y) in lines.items():
            i = names.index(name)
            axes.plot(
                x, y, label=name, color=PALETTE[i % 7], marker=MARKERS[i % 7], markersize=3.5, linewidth=1.6
            )  # fmt: skip
        axes.set(title=title, xlabel=xlabel)
        _tidy(axes)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return _png(figure)


Band = tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]]
"""x, middle, lower and upper end of a curve with its uncertainty."""


def plot_bands(bands: Mapping[str, Band], levels: Mapping[str, float], xlabel: str, ylabel: str) -> bytes:
    """Curves with error bars over counts, and horizontal levels, as PNG. The x axis is linear in log(1 + x)."""
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    axes = figure.subplots()
    for i, (name, (x, middle, low, high)) in enumerate(bands.items()):
        place = np.log1p(np.asarray(x, np.float64)) + 0.03 * (i - len(bands) / 2)  # side by side, not on each other
        reach = np.abs(np.array([low, high], np.float64) - np.array(middle, np.float64))
        axes.errorbar(
            place, middle, reach, label=name, color=PALETTE[i % 7], marker=MARKERS[i % 7], markersize=4.5,
            linewidth=1.4, elinewidth=1.0, capsize=2.0, linestyle="-" if i < len(PALETTE) else "--",
        )  # fmt: skip
    for name, level in levels.items():
        axes.axhline(level, color="#444444", linewidth=1.0, linestyle=":", label=name)
    ticks = sorted({value for x, *_ in bands.values() for value in x})
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xticks(np.log1p(ticks), [f"{tick:g}" for tick in ticks])
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _tidy(axes)
    return _png(figure)


def plot_groups(panels: Mapping[str, tuple[FloatArray, Sequence[str]]]) -> bytes:
    """Points (N, 2) coloured by the group that each belongs to, in panels side by side, as PNG."""
    figure = Figure(figsize=(4.0 * len(panels), 3.9), layout="constrained")
    groups = list(dict.fromkeys(group for _, labels in panels.values() for group in labels))
    for axes, (title, (points, labels)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for i, group in enumerate(groups):
            chosen = points[[label == group for label in labels]]
            axes.scatter(*chosen.T, s=13, alpha=0.75, color=PALETTE[i], marker=MARKERS[i], linewidths=0, label=group)
        axes.set(title=title, xticks=[], yticks=[])
        _tidy(axes)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return _png(figure)


def plot_pictures(rows: Sequence[Sequence[NDArray[np.uint8]]], columns: Sequence[str], notes: Sequence[str]) -> bytes:
    """Pictures (H, W, 3) in rows, as JPEG: a title over each column, a note beside each row."""
    figure = Figure(figsize=(2.3 * len(columns), 2.3 * len(rows) + 0.3), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, (axes_row, pictures) in enumerate(zip(grid, rows, strict=True)):
        for axes, picture, title in zip(axes_row, pictures, columns, strict=True):
            axes.imshow(picture, interpolation="antialiased")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if i == 0:
                axes.set_title(title, fontsize=10)
        axes_row[0].set_ylabel(notes[i], fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=RESOLUTION, pil_kwargs={"quality": 85})
    return buffer.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class PosePanel:
    """What the picture of a pose distribution shows of one data set."""

    title: str
    points: FloatArray  # (N, K, 2) aligned skeletons
    sample: FloatArray  # (K, 2) one of them as it stands in its image, NaN where unlabelled
    picture: NDArray[np.uint8] | None  # (H, W, 3) that image, if it may be shown


def plot_poses(panels: Sequence[PosePanel]) -> bytes:
    """Skeletons laid over each other, one data set a row with a sample on the left, as PNG; a colour for each limb."""
    figure = Figure(figsize=(7.4, 3.9 * len(panels)), layout="constrained")
    reach = 1.05 * max(float(np.nanmax(np.abs(panel.points))) for panel in panels)  # one scale for all
    for (left, right), panel in zip(figure.subplots(len(panels), 2, squeeze=False), panels, strict=True):
        middle, half = _around(panel.sample)
        if panel.picture is not None:
            left.imshow(panel.picture)
        _draw_limbs(left, panel.sample[None], width=3.0, alpha=1.0)
        left.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))
        _draw_limbs(right, panel.points, width=1.0, alpha=max(0.12, min(1.0, 30 / len(panel.points))))
        right.set(xlim=(-reach, reach), ylim=(reach, -reach))
        right.set_title(panel.title, fontsize=10)
        left.set_title("one of them", fontsize=10)
        for axes in (left, right):
            axes.set(aspect="equal", xticks=[], yticks=[])
            axes.spines[:].set_color("#cccccc")
    handles = [Line2D([], [], color=PALETTE[i], linewidth=3, label=name) for i, name in enumerate(limb_groups())]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return _png(figure)


def _around(points: FloatArray) -> tuple[FloatArray, float]:  # (K, 2) -> (2,)
    """The middle of a square around a skeleton, and half its side."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    return (low + high) / 2, 0.65 * float((high - low).max())


def _draw_limbs(axes: Axes, points: FloatArray, width: float, alpha: float) -> None:  # (N, K, 2)
    for i, limbs in enumerate(limb_groups().values()):
        axes.add_collection(
            LineCollection(
                list(limb_lines(points, limbs)), colors=PALETTE[i], linewidths=width, alpha=alpha, capstyle="round"
            )
        )


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(10)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()
