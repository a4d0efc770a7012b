from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.textures import FABRICS, Palette, draw_colour, fabric, hair, noise

ANY = Palette((0.0, 1.0), (0.1, 0.8), (0.3, 0.9))


def seam_step(picture: np.ndarray, axis: int) -> tuple[float, float]:
    """Mean change across the seam between the last and the first line, and between neighbours elsewhere."""
    lines = np.moveaxis(picture[..., :3].astype(float), axis, 0)
    steps = np.abs(np.diff(lines, axis=0)).mean(axis=tuple(range(1, lines.ndim)))
    return float(np.abs(lines[0] - lines[-1]).mean()), float(np.quantile(steps, 0.95))


@pytest.mark.parametrize("falloff", [0.0, 1.0, 2.0])
def test_noise_is_normalised_repeats_and_is_smoother_with_a_steeper_spectrum(falloff: float) -> None:
    field = noise(np.random.default_rng(0), 128, falloff)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 1e-4
    assert field.std() == pytest.approx(1, abs=1e-3)
    for axis in (0, 1):
        across, within = seam_step(field[..., None], axis)
        assert across < 1.5 * within


def test_noise_is_drawn_out_across_the_stretched_axis() -> None:
    field = noise(np.random.default_rng(0), 128, 1.0, stretch=(1.0, 8.0))
    assert np.abs(np.diff(field, axis=1)).mean() < 0.5 * np.abs(np.diff(field, axis=0)).mean()


@pytest.mark.parametrize("pattern", FABRICS)
def test_fabrics_are_opaque_repeatable_and_seamless(pattern: str) -> None:
    first, again, other = (fabric(np.random.default_rng(seed), 128, pattern, ANY) for seed in (3, 3, 4))
    assert first.shape == (128, 128, 4)
    assert first.dtype == np.uint8
    assert (first[..., 3] == 255).all()
    assert (first == again).all()
    assert (first != other).any()
    for axis in (0, 1):
        across, within = seam_step(first, axis)
        assert across < 3 * within + 2


def test_denser_hair_has_fewer_holes_and_none_at_the_hairline_is_straight() -> None:
    share = [
        (hair(np.random.default_rng(0), 128, np.array([60.0, 40, 30]), d)[..., 3] == 255).mean() for d in (0.3, 0.6, 1)
    ]
    assert share[0] < share[1] < share[2]
    assert share[2] > 0.85
    edge = hair(np.random.default_rng(0), 128, np.array([60.0, 40, 30]), 1.0)[..., 3] == 255
    assert not edge[-1].all()  # v = 0, the lowest row, is bare somewhere: the hairline is ragged


def test_colours_keep_to_their_palette() -> None:
    rng = np.random.default_rng(0)
    blues = np.stack([draw_colour(rng, Palette((0.6, 0.65), (0.5, 0.9), (0.5, 0.9))) for _ in range(50)])
    assert (blues.argmax(1) == 2).all()
    assert blues.max() <= 0.9 * 255 + 1e-3
