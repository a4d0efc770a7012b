"""The recipes of the tables of FG 2021 against these tables, typed from the authors' README."""

import pytest

from fidip.recipes import RECIPES

THREE = ("res1", "res2", "res3")

# Network, data, images (None: not said), AP AP50 AP75 AR AR50 AR75.
TUNED = [
    ("resnet-50", "mini-rgbd", 0, None, 69.2, 95.8, 78.0, 72.4, 97.0, 81.0),
    ("resnet-50", "syrip-syn", 0, 1000, 85.3, 97.1, 91.8, 87.4, 98.0, 93.0),
    ("resnet-50", "syrip", 200, 1000, 90.1, 98.5, 97.2, 91.6, 99.0, 98.0),
    ("hrnet-w48", "mini-rgbd", 0, None, 85.2, 98.6, 95.3, 87.0, 99.0, 96.0),
    ("hrnet-w48", "syrip-syn", 0, 1000, 91.4, 98.5, 98.5, 92.7, 99.0, 99.0),
    ("hrnet-w48", "syrip", 200, 1000, 92.7, 98.5, 98.5, 93.9, 99.0, 99.0),
    ("mobilenet-v2", "mini-rgbd", 0, None, 12.3, 38.1, 3.8, 21.6, 52.0, 14.0),
    ("mobilenet-v2", "syrip-syn", 0, 1000, 60.3, 91.1, 62.7, 68.4, 95.0, 72.0),
    ("mobilenet-v2", "syrip", 200, 1000, 78.9, 97.2, 90.6, 84.2, 98.0, 94.0),
]
FIDIP = [
    ("resnet-50", "fidip", 200, 1000, 91.1, 98.5, 98.5, 92.6, 99.0, 99.0),
    ("hrnet-w48", "fidip", 200, 1000, 93.6, 98.5, 98.5, 94.6, 99.0, 99.0),
    ("mobilenet-v2", "fidip", 200, 1000, 79.2, 99.0, 89.4, 84.1, 99.0, 92.0),
]
# Network: weights it starts from, input (W, H), classifier, frozen, scale, rotation, half body, balanced batches.
NETWORKS = {
    "resnet-50": ("pose-resnet-50-384x288", (288, 384), "flat", THREE, 0.3, 40.0, 0.0, None),
    "hrnet-w48": ("dark-hrnet-w48-384x288", (288, 384), "hrnet", THREE, 0.35, 45.0, 0.3, 0.5),
    "mobilenet-v2": ("mobilenet-v2-224x224", (224, 224), "mobilenet", (), 0.3, 40.0, 0.0, 0.5),
}


@pytest.mark.parametrize("row", [*TUNED, *FIDIP], ids=lambda row: "-".join(row[:2]))
def test_a_row(row) -> None:
    network, data, real, synthetic, *figures = row
    recipe = RECIPES[f"fg-{network}-{data}"]
    start, size, classifier, frozen, scale, rotation, half, share = NETWORKS[network]
    published, adapts = recipe.published, data == "fidip"
    assert published.row.lower() == data
    assert published.table == ("FG2021 generality" if adapts else "FG2021 tuned on")
    assert (published.real, published.synthetic) == (real, synthetic)
    assert [published.ap, *published.others.values()] == figures
    assert list(published.others) == ["AP50", "AP75", "AR", "AR50", "AR75"]
    assert (recipe.starts_from, recipe.input_size, recipe.frozen) == (start, size, frozen)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (100, 64, 0.001)
    assert recipe.domain_weight == (0.0005 if adapts else 0.0)
    assert recipe.classifier == (classifier if adapts else None)
    if adapts:
        assert (recipe.pretrain.epochs, recipe.pretrain.batch_size) == (1, 128)
    else:
        assert recipe.pretrain is None
    assert recipe.real_images == ("labelled" if real else "none")
    assert recipe.synthetic_share == (share if real else None)
    a = recipe.augmentation
    assert (a.scale, a.rotation, a.half_body_probability) == (scale, rotation, half)


def test_the_tables_are_whole() -> None:
    assert sum(name.startswith("fg-") for name in RECIPES) == len(TUNED) + len(FIDIP)


@pytest.mark.parametrize("network", NETWORKS)
def test_adaptation_adds_less_than_a_point_to_fine_tuning_in_print(network) -> None:
    gain = RECIPES[f"fg-{network}-fidip"].published.ap - RECIPES[f"fg-{network}-syrip"].published.ap
    assert 0.25 < gain < 1.05
