from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.clothing import garment_score
from fidip.synthesis.surface import surface_of
from fidip.synthesis.wardrobe import draw_garments


@pytest.mark.parametrize("seed", range(60))
def test_every_infant_wears_a_diaper_that_covers(seed: int) -> None:
    garments = draw_garments(np.random.default_rng(seed), "infant")
    assert garments[0].name == "diaper"
    surface = surface_of(AnnyBody.load())
    reference = surface.references["infant"]
    hips, knee = reference.keypoints[11:13].mean(0), reference.keypoints[13]
    near = np.linalg.norm(reference.vertices - hips, axis=1) < 0.4 * np.linalg.norm(knee - reference.keypoints[11])
    near &= surface.vertex_parts == PARTS.index("torso")
    assert (garment_score(garments[0], surface, reference)[near] > 0).all()


@pytest.mark.parametrize("seed", range(60))
def test_every_adult_is_dressed_from_the_neck_to_the_thighs_without_a_gap(seed: int) -> None:
    garments = draw_garments(np.random.default_rng(seed), "adult")
    assert {"trousers", "top"} <= {garment.name for garment in garments}
    surface = surface_of(AnnyBody.load())
    reference = surface.references["adult"]
    covered = np.maximum.reduce([garment_score(garment, surface, reference) for garment in garments]) > 0
    torso = surface.vertex_parts == PARTS.index("torso")
    below_neck = reference.vertices[:, 2] < reference.keypoints[5:7, 2].mean() - 0.05
    assert covered[torso & below_neck].all()
    assert covered[(reference.limb["leg"] > 0) & (reference.limb["leg"] < 0.4)].all()


def test_outfits_vary() -> None:
    for population in ("infant", "adult"):
        worn = {tuple(g.name for g in draw_garments(np.random.default_rng(seed), population)) for seed in range(80)}  # type: ignore[arg-type]
        assert len(worn) >= 2
