"""The paper's numbers, copied from its text, and every recipe sound."""

from dataclasses import replace

import pytest
import torch

from fidip.networks.pose import build_pose_net
from fidip.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_sound_and_knows_its_name(name) -> None:
    recipe = RECIPES[name]
    recipe.validate()
    assert recipe.name == name
    assert recipe.source
    assert (recipe.network is None) != (recipe.backbone is None)  # from nothing, or from weights of a known kind


def test_the_papers_recipe_has_the_papers_numbers() -> None:
    recipe = RECIPES["fidip"]
    assert recipe.backbone == "resnet-50"
    assert recipe.input_size == (288, 384)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (80, 85, 1e-3)
    assert (recipe.pretrain.epochs, recipe.pretrain.batch_size) == (10, 128)
    assert recipe.domain_weight == 0.0005
    assert recipe.frozen == ("res1", "res2", "res3")
    assert not recipe.frozen_batchnorm_drifts
    a = recipe.augmentation
    assert (a.scale, a.rotation, a.rotation_probability, a.flip_probability) == (0.3, 40.0, 0.6, 0.5)
    assert (a.brightness, a.contrast, a.saturation, a.occlusion_probability) == (0, 0, 0, 0)
    assert {recipe.learning_rate_at(epoch, 0, 11) for epoch in range(80)} == {1e-3}


def test_fine_tuning_is_fidip_without_domains() -> None:
    fidip, tuned = RECIPES["fidip"], RECIPES["fine-tune"]
    domains = {"classifier": None, "domain_weight": 0.0, "pretrain": None}
    assert tuned == replace(fidip, name=tuned.name, source=tuned.source, **domains)


def test_the_small_network_is_small() -> None:
    with torch.device("meta"):
        net = build_pose_net(RECIPES["adult-small"].network)
    assert sum(p.numel() for p in net.parameters()) < 6e6
    assert 2 * sum(t.numel() for t in net.state_dict().values()) < 4e6  # bytes at 16 bits
