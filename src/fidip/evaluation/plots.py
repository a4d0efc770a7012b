"""Figures from numbers, in a palette that colour-blind readers can tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fidip.platform import cache_dir

os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))  # one cache for everything, as promised

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fidip.annotations import FloatArray

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


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(10)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()
