from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.grounds import GROUNDS, ground
from fidip.synthesis.textures import Palette

ANY = Palette((0.0, 1.0), (0.1, 0.8), (0.3, 0.9))


@pytest.mark.parametrize("kind", GROUNDS)
def test_grounds_are_opaque_repeatable_and_not_flat(kind: str) -> None:
    first, again = (ground(np.random.default_rng(5), 128, kind, ANY) for _ in range(2))
    assert first.shape == (128, 128, 4)
    assert (first[..., 3] == 255).all()
    assert (first == again).all()
    assert first[..., :3].std(axis=(0, 1)).max() > 2
    assert GROUNDS[kind][1] > 0
