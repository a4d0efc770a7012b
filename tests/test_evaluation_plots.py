"""Figures are readable pictures of the size asked for, and the same each time."""

import io

import numpy as np
from PIL import Image

from fidip.evaluation.plots import PALETTE, plot_curves, plot_groups, plot_pictures


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def colour_share(image: np.ndarray, colour: str) -> float:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return float((np.abs(image.astype(int) - wanted).max(axis=2) < 12).mean())


def test_every_curve_and_panel_is_drawn():
    panels = {"loss": {"one": ([0, 1, 2], [3.0, 2.0, 1.0]), "two": ([0, 1, 2], [2.0, float("nan"), 0.5])}, "AP": {}}
    data = plot_curves(panels, "epoch")
    image = pixels(data)
    assert image.shape[1] > 1.5 * image.shape[0]
    assert colour_share(image, PALETTE[0]) > 1e-3
    assert colour_share(image, PALETTE[1]) > 1e-4
    assert plot_curves(panels, "epoch") == data


def test_every_group_is_drawn_in_its_colour():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(60, 2))
    image = pixels(plot_groups({"source": (points, ["real"] * 30 + ["synthetic"] * 30)}))
    assert colour_share(image, PALETTE[2]) == 0
    assert image.shape[0] > 300


def test_pictures_stand_in_their_rows_and_columns():
    plain = [np.full((40, 40, 3), level, np.uint8) for level in (60, 120, 180, 240)]
    image = pixels(plot_pictures([plain[:2], plain[2:]], ["truth", "predicted"], ["a", "b"]))
    height, width = image.shape[:2]
    quarters = [image[int(height * y), int(width * x)].mean() for y in (0.3, 0.75) for x in (0.3, 0.75)]
    np.testing.assert_allclose(quarters, [60, 120, 180, 240], atol=3)
