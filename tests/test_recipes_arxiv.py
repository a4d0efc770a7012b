"""The recipes of Tables 1 and 2 against what the paper prints, typed from it and not from the recipes."""

from dataclasses import replace

import pytest

from fidip.recipes import RECIPES

THREE, FOUR = ("res1", "res2", "res3"), ("res1", "res2", "res3", "res4")

# Table 2 of version 1: row, AP, labelled real and synthetic images, adaptation, classifier pre-trained, frozen.
TABLE2 = [
    ("a", 86.3, 0, 504, False, None, THREE),
    ("b", 85.9, 0, 504, False, None, FOUR),
    ("c", 86.9, 0, 504, True, False, THREE),
    ("d", 87.0, 0, 504, True, True, THREE),
    ("e", 86.0, 0, 504, True, False, FOUR),
    ("f", 86.5, 0, 504, True, True, FOUR),
    ("g", 91.8, 400, 504, False, None, THREE),
    ("h", 90.8, 400, 504, False, None, FOUR),
    ("i", 91.3, 400, 504, True, False, THREE),
    ("j", 92.2, 400, 504, True, True, THREE),
    ("k", 89.9, 400, 504, True, False, FOUR),
    ("l", 90.8, 400, 504, True, True, FOUR),
]


@pytest.mark.parametrize(("row", "ap", "real", "synthetic", "adapts", "pretrained", "frozen"), TABLE2)
def test_a_row_of_table_2(row, ap, real, synthetic, adapts, pretrained, frozen) -> None:
    recipe = RECIPES[f"table2-{row}"]
    published = recipe.published
    assert (published.table, published.row) == ("arXiv v1 Table 2", row)
    assert (published.ap, published.real, published.synthetic) == (ap, real, synthetic)
    assert recipe.starts_from == "pose-resnet-50-384x288"
    assert recipe.input_size == (288, 384)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (80, 85, 0.001)
    assert {recipe.learning_rate_at(epoch, 0, 11) for epoch in range(80)} == {0.001}
    assert recipe.frozen == frozen
    assert not recipe.frozen_batchnorm_drifts
    assert recipe.domain_weight == (0.0005 if adapts else 0.0)
    assert recipe.classifier == ("flat" if adapts else None)
    assert recipe.synthetic_share is None
    assert (recipe.alternation, recipe.stop_at_accuracy) == ("iteration", None)
    if pretrained:
        assert (recipe.pretrain.epochs, recipe.pretrain.batch_size) == (10, 128)
    else:
        assert recipe.pretrain is None
    if real:
        assert recipe.real_images == "labelled"
    else:
        assert recipe.real_images == ("unlabelled" if adapts else "none")
    a = recipe.augmentation
    assert (a.scale, a.rotation, a.rotation_probability, a.flip_probability) == (0.3, 40.0, 0.6, 0.5)
    assert (a.half_body_probability, a.occlusion_probability, a.brightness, a.contrast, a.saturation) == (0, 0, 0, 0, 0)


def test_table_2_is_whole() -> None:
    rows = [name for name in RECIPES if name.startswith("table2-") and len(name) == len("table2-a")]
    assert rows == [f"table2-{letter}" for letter in "abcdefghijkl"]


@pytest.mark.parametrize("row", "cdef")
def test_rows_of_synthetic_images_have_a_variant_without_real_ones(row) -> None:
    recipe, variant = RECIPES[f"table2-{row}"], RECIPES[f"table2-{row}-without-real"]
    assert variant == replace(recipe, name=variant.name, source=variant.source, real_images="none")


def test_table_1() -> None:
    first, second = RECIPES["table1-v1"], RECIPES["table1-v2"]
    assert (first.published.ap, first.published.others) == (92.2, {"AP on COCO val2017": 59.1})
    assert (first.published.real, first.published.synthetic) == (400, 504)
    assert replace(first, name="", published=None) == replace(RECIPES["table2-j"], name="", published=None)
    assert (second.published.table, second.published.row) == ("arXiv v2 README", "FiDIP")
    assert (second.published.ap, second.published.real, second.published.synthetic) == (90.1, 200, 1000)
    assert sorted(second.published.others.values()) == [59.1, 98.2]
    assert (second.epochs, second.batch_size) == (40, 64)
    assert (second.pretrain.epochs, second.pretrain.batch_size) == (10, 128)
    assert second.domain_weight == 0.0005


def test_variants_differ_in_what_they_are_named_for() -> None:
    row, by_epoch, drifting = (RECIPES[f"table2-j{suffix}"] for suffix in ("", "-by-epoch", "-drifting"))
    named = {"name": "", "source": "", "published": None}
    changes = {"alternation": "epoch", "stop_at_accuracy": by_epoch.stop_at_accuracy}
    assert replace(by_epoch, **named) == replace(row, **named, **changes)
    assert by_epoch.stop_at_accuracy == pytest.approx(504 / 904, abs=0.01)
    assert replace(drifting, **named) == replace(row, **named, frozen_batchnorm_drifts=True)


@pytest.mark.parametrize("row", "abcdefghijkl")
def test_a_row_says_whom_it_follows(row) -> None:
    follows = RECIPES[f"table2-{row}"].published.follows
    assert follows["alternation"].startswith("code")
    assert follows["frozen stages"].startswith("paper")
    assert ("updated" in follows) == (row in "befhkl")
