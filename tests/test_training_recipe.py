"""Recipes that contradict themselves are refused; schedules against their formulas."""

import json
import math
from dataclasses import replace

import pytest

from fidip.data.augment import Augmentation
from fidip.errors import RecipeError
from fidip.networks.lora import LowRank
from fidip.training.recipe import Pretrain, Recipe
from fidip.training.teacher import MeanTeacher
from figures import RECIPE, SUPERVISED, TINY

PLAIN = Recipe(name="plain", source="tests", epochs=10, batch_size=8, learning_rate=1e-3, network=TINY)

CONTRADICTIONS = [
    (PLAIN, {"domain_weight": 0.1}, "domain_weight 0.1 without a classifier"),
    (PLAIN, {"pretrain": Pretrain(1, 8)}, "a pre-stage without a classifier"),
    (PLAIN, {"unlabelled": True}, "unlabelled people without a classifier, who teach method fine-tune nothing"),
    (PLAIN, {"unlabelled_share": 0.5}, "unlabelled people without a classifier"),
    (PLAIN, {"teacher": MeanTeacher(decay=0.9)}, "a teacher's settings with method fine-tune"),
    (
        PLAIN,
        {"method": "mean-teacher", "unlabelled_share": 0.5, "synthetic_share": 0.5, "batch_size": 2},
        "a batch of 2 for real, synthetic and unlabelled people",
    ),
    (PLAIN, {"lora": LowRank(), "frozen": ("res1",)}, "lora and frozen together"),
    (PLAIN, {"method": "fidip"}, "method fidip without a classifier"),
    (PLAIN, {"method": "dann", "domain_weight": 0.1}, "method dann without a classifier"),
    (PLAIN, {"method": "adabn", "domain_weight": 0.1}, "domain_weight 0.1"),
    (PLAIN, {"domain_share": 0.1}, "domain_share with a method that has no weight"),
    (RECIPE, {"domain_share": 0.1}, "domain_weight and domain_share together"),
    (RECIPE, {"method": "mmd"}, "a classifier, which method mmd has no use for"),
    (RECIPE, {"method": "fine-tune", "domain_weight": 0.0}, "a classifier, which method fine-tune has no use for"),
    (RECIPE, {"method": "dann", "domain_ramp": 1.0}, "domain_ramp with method dann"),
    (PLAIN, {"milestones": (3,), "cosine": True}, "milestones and cosine"),
    (PLAIN, {"milestones": (40, 200)}, "before the last"),
    (PLAIN, {"milestones": (5, 3)}, "ascending"),
    (PLAIN, {"frozen_batchnorm_drifts": True}, "nothing frozen"),
    (
        PLAIN,
        {"frozen": ("res1",), "frozen_batchnorm_drifts": True, "keep_statistics": True},
        "keep_statistics together",
    ),
    (PLAIN, {"backbone": "resnet-50"}, "different backbones, resnet-18 and resnet-50"),
    (PLAIN, {"starts_from": "dark-hrnet-w48-384x288"}, "different backbones, resnet-18 and hrnet"),
    (PLAIN, {"alternation": "epoch"}, "alternation by epoch with method fine-tune, which has no stage I"),
    (PLAIN, {"stop_at_accuracy": 0.6}, "without a pre-stage: a classifier that has learnt nothing"),
    (PLAIN, {"real_images": "unlabelled"}, "real_images 'unlabelled', who would teach nothing"),
    (PLAIN, {"real_images": "none", "synthetic_share": 0.5}, "synthetic_share without real images"),
]
OUT_OF_RANGE = [
    {"epochs": 0}, {"batch_size": 1}, {"learning_rate": 0.0}, {"learning_rate": math.nan}, {"steps_per_epoch": 0},
    {"warmup_steps": -1}, {"classifier": "best"}, {"domain_weight": -1.0}, {"domain_weight": math.inf},
    {"domain_ramp": -1.0}, {"synthetic_share": 1.0}, {"synthetic_share": 0.0}, {"sigma": 0.0}, {"seed": -1},
    {"save_every": 0}, {"alternation": "day"}, {"not_finite": "hope"},
    {"stop_at_accuracy": 1.0}, {"stop_at_accuracy": 0.0},
    {"real_images": "some"}, {"starts_from": "yolo"}, {"augmentation": Augmentation(scale=1.0)},
    {"augmentation": Augmentation(rotation=-1.0)}, {"augmentation": Augmentation(flip_probability=1.1)},
    {"augmentation": Augmentation(contrast=math.nan)},
    {"method": "magic"}, {"domain_share": -0.1}, {"domain_share": math.nan},
    {"lora": LowRank(rank=0)}, {"lora": LowRank(alpha=0.0)},
    {"unlabelled_share": 1.0}, {"teacher": MeanTeacher(decay=1.0)}, {"teacher": MeanTeacher(confidence=-0.1)},
]  # fmt: skip


def test_sound_recipes_pass() -> None:
    for recipe in (PLAIN, RECIPE, SUPERVISED, replace(RECIPE, domain_weight=0.0)):
        recipe.validate()


@pytest.mark.parametrize(("recipe", "change", "message"), CONTRADICTIONS)
def test_contradictions_are_refused(recipe, change, message) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(recipe, **change).validate()


@pytest.mark.parametrize("change", OUT_OF_RANGE)
def test_numbers_out_of_range_are_named(change) -> None:
    with pytest.raises(RecipeError, match=rf"recipe plain: {next(iter(change))}: .*found"):
        replace(PLAIN, **change).validate()


def test_the_pre_stage_is_checked_too() -> None:
    with pytest.raises(RecipeError, match="batch_size: at least 2, in the pre-stage too"):
        replace(RECIPE, pretrain=Pretrain(epochs=1, batch_size=1)).validate()


def test_the_learning_rate_falls_at_milestones() -> None:
    recipe = replace(PLAIN, milestones=(4, 8))
    rates = [recipe.learning_rate_at(epoch, 3, 5) for epoch in range(10)]
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 4 + [1e-5] * 2)


def test_the_learning_rate_follows_half_a_cosine() -> None:
    recipe = replace(PLAIN, cosine=True)
    rates = [recipe.learning_rate_at(epoch, step, 5) for epoch in range(10) for step in range(5)]
    assert rates == pytest.approx([1e-3 * math.cos(math.pi * n / 100) ** 2 for n in range(50)])  # half-angle formula


def test_the_learning_rate_warms_up() -> None:
    recipe = replace(PLAIN, warmup_steps=4)
    rates = [recipe.learning_rate_at(epoch, step, 3) for epoch in range(2) for step in range(3)]
    assert rates == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3])


def test_the_domain_weight_is_constant_or_ramped() -> None:
    constant = replace(RECIPE, domain_weight=0.5)
    assert {constant.domain_weight_at(epoch, step, 4) for epoch in range(3) for step in range(4)} == {0.5}
    ramped = replace(constant, domain_ramp=2.0)
    weights = [ramped.domain_weight_at(epoch, step, 4) for epoch in range(3) for step in range(4)]
    assert weights == pytest.approx([min(0.5, 0.5 * n / 8) for n in range(12)])


def test_a_share_is_ramped_like_a_weight() -> None:
    recipe = replace(RECIPE, domain_weight=0.0, domain_share=0.2, domain_ramp=1.0)
    recipe.validate()
    weights = [recipe.domain_weight_at(epoch, step, 2) for epoch in range(2) for step in range(2)]
    assert weights == pytest.approx([0.0, 0.1, 0.2, 0.2])


def test_the_ramp_of_dann_is_the_published_one() -> None:
    """2 / (1 + exp(−10 p)) − 1 is tanh(5 p)."""
    recipe = replace(RECIPE, method="dann", domain_weight=0.5, epochs=4)
    recipe.validate()
    weights = [recipe.domain_weight_at(epoch, step, 3) for epoch in range(4) for step in range(3)]
    assert weights == pytest.approx([0.5 * math.tanh(5 * n / 12) for n in range(12)])
    assert weights[0] == 0.0


def test_the_method_follows_from_the_classifier_unless_it_is_told() -> None:
    assert PLAIN.learning == "fine-tune"
    assert RECIPE.learning == "fidip"
    assert replace(PLAIN, method="mmd").learning == "mmd"


def test_a_recipe_is_json() -> None:
    values = json.loads(json.dumps(RECIPE.to_json(), allow_nan=False))
    assert values["pretrain"]["batch_size"] == RECIPE.pretrain.batch_size
    assert values["augmentation"]["rotation"] == 20.0
    assert values["network"]["backbone"] == "resnet-18"
