"""The benchmarks of training do what they say they time: against closed forms, and against training itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fidip.data.augment import Augmentation, TargetFormat, make_batch
from fidip.heatmaps import decode_heatmaps
from fidip.networks.card import IMAGENET_MEAN, IMAGENET_STD
from fidip.networks.complexity import complexity
from fidip.training.losses import heatmap_loss
from fidip.training.schedule import turns
from figures import TINY

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import training_gpu
        import training_samples
        import training_step

        yield training_samples, training_step, training_gpu


@pytest.fixture(scope="module")
def people(scripts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    images = scripts[0].photos(folder, 6, np.random.default_rng(0))
    return images, [folder / image.file_name for image in images]


@pytest.fixture(scope="module")
def recipe(scripts):
    recipes = scripts[1].recipes(replace(TINY, width=8, input_size=(64, 64)), 4)
    return replace(recipes["Pose-ResNet-50 256x192, everything learns"], steps_per_epoch=30)


def test_whole_and_bare_steps_do_the_same(scripts, people, recipe) -> None:
    """So that the difference in time is that of the samples and of what surrounds the network."""
    _, script, _ = scripts
    samples = script.on_device(recipe, people, CPU)
    learners, stage = script.whole_steps(recipe, samples, CPU)
    bare, _ = script.whole_steps(recipe, samples, CPU)
    records = script.records_of(learners, stage, recipe, CPU)
    feed = turns(stage, recipe, learners.pose_net.card, CPU, (0, 0))
    for _ in range(3):
        next(records)
        batch = next(feed).batch
        assert len(batch.files) == 4
        script.bare_step(bare.pose_net, bare.pose_optimizer, batch.images, batch.heatmaps, batch.weights)
    for name, tensor in learners.pose_net.state_dict().items():
        assert torch.allclose(tensor, bare.pose_net.state_dict()[name], rtol=1e-5, atol=1e-7), name


def test_the_frozen_recipe_is_that_of_the_table(scripts) -> None:
    recipes = scripts[1].recipes(scripts[1].published_card(), 16)
    assert recipes["Pose-ResNet-50 256x192, Res1 to Res3 frozen"].frozen == ("res1", "res2", "res3")
    assert recipes["Pose-ResNet-50 256x192, Res1 to Res3 frozen"].network.input_size == (192, 256)
    for recipe in recipes.values():
        recipe.validate()


def test_ratios_follow_from_times(scripts, people, recipe) -> None:
    found = scripts[1].compare(recipe, people, repeats=1, warmup=0)
    for kind in ("cpu", "wall"):
        seconds = found[f"{kind}_seconds"]
        assert 0 < seconds["samples"] < seconds["whole"]
        assert found[f"{kind}_ratio_whole_to_bare"] == pytest.approx(seconds["whole"] / seconds["bare"], rel=0.05)


def test_operations_of_a_step_are_those_of_its_layers(scripts, people, recipe) -> None:
    """Forward, the gradient of the weights, and that of what flows in: of all layers but the first."""
    _, script, gpu = scripts
    samples = script.on_device(recipe, people, CPU)
    net = script.whole_steps(recipe, samples, CPU)[0].pose_net
    first = net.backbone.conv1.weight.numel() * 32 * 32
    expected = 2 * 4 * (3 * complexity(net).multiply_adds - first)
    assert gpu.operations_of_a_step(recipe, samples, CPU) == expected


def test_the_published_loop_goes_down_the_same_loss(scripts, people, recipe, monkeypatch) -> None:
    """Its first loss against the package's loss of the same network on the samples that it loaded."""
    _, script, gpu = scripts
    small = replace(recipe, network=replace(recipe.network, input_size=(192, 256)), batch_size=2, frozen=("res1",))
    load, loaded = gpu.PublishedSamples.__getitem__, []
    monkeypatch.setattr(gpu.PublishedSamples, "__getitem__", lambda self, n: loaded.append(load(self, n)) or loaded[-1])
    losses = gpu.published_steps(small, people, CPU, workers=0)
    first = next(losses)
    images, target, weights = (torch.stack(part) for part in zip(*loaded, strict=True))
    net = script.whole_steps(small, script.on_device(small, people, CPU), CPU)[0].pose_net
    net.freeze(small.frozen, drifting_statistics=True)
    heatmaps = net.train().head(net.backbone(images))
    assert first == pytest.approx(float(heatmap_loss(heatmaps, target, weights[..., 0]).detach()), rel=1e-5)
    assert next(losses) != first  # other samples, and another network


def test_published_and_resident_samples_show_the_same_windows(scripts, people, recipe) -> None:
    """Without variation both cut the same picture and draw the same targets."""
    samples_script, script, _ = scripts

    class Still:
        def normal(self, mean, _):
            return mean

        def random(self):
            return 1.0

    format = TargetFormat((192, 256), (48, 64), 2.0, "simple-baseline", "quantised")
    card = replace(recipe.network, input_size=(192, 256), affine="simple-baseline")
    resident = script.on_device(replace(recipe, network=card), people, CPU)
    ours = make_batch(resident, np.arange(6), format, Augmentation.none(), np.random.default_rng(0))
    for n, (image, path) in enumerate(zip(*people, strict=True)):
        tensor, target, weights = samples_script.reference_sample(path, image.people[0], Still())
        picture = tensor * torch.tensor(IMAGENET_STD).view(3, 1, 1) + torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        assert (picture.flip(0) - ours.images[n]).abs().mean() < 0.02  # OpenCV reads BGR
        apart = decode_heatmaps(target[None], "argmax") - decode_heatmaps(ours.heatmaps[n : n + 1], "argmax")
        assert apart.abs().max() <= 1  # training cleans the box first, which makes it a pixel smaller
        assert torch.equal(weights[:, 0], ours.weights[n])


def test_the_comparison_on_a_gpu_runs_as_a_trial_on_the_cpu(scripts, people, recipe) -> None:
    gpu = scripts[2]
    small = replace(recipe, network=replace(recipe.network, input_size=(192, 256)), batch_size=2)
    precisions = {"fp32, TF32 off": gpu.Precision(), "bf16": gpu.Precision(bf16=True)}
    before = torch.backends.cudnn.benchmark
    found = gpu.compare(small, people, CPU, precisions, repeats=1, steps=1, workers=0, peak_side=64)
    assert torch.backends.cudnn.benchmark == before
    rates = found["images_a_second"]
    assert rates["bf16"].keys() == {"ours", "ours_share_of_bf16_peak", "most_mib"}
    expected = rates["bf16"]["ours"] / rates["fp32, TF32 off"]["published"]
    assert found["ratios"]["bf16 to published fp32, TF32 off"] == pytest.approx(expected, abs=0.01)
