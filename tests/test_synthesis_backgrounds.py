from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.backgrounds import PICTURES, background


@pytest.mark.parametrize("kind", PICTURES)
def test_backgrounds_are_pictures_that_a_seed_decides(kind: str) -> None:
    first, again, other = (background(np.random.default_rng(seed), 96, kind) for seed in (1, 1, 2))
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert np.abs(first.astype(int) - other).mean() > 5


def test_most_backgrounds_are_cluttered() -> None:
    for kind in ("room", "cloth", "clutter"):
        picture = background(np.random.default_rng(0), 192, kind).astype(float).mean(2)
        edges = np.abs(np.diff(picture, axis=1)) > 8
        assert edges.mean() > 0.01, kind
