"""The memory that a step is said to take, against sums over layers, against what a step holds, and between settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fidip.data.augment import Augmentation
from fidip.files import read_json
from fidip.networks.pose import build_pose_net
from fidip.recipes import RECIPES
from fidip.training import loop
from fidip.training.computing import Computing
from fidip.training.memory import step_memory
from fidip.training.stages import Learners
from fidip.training.start import start_learners, start_network
from figures import RECIPE, SUPERVISED, TINY
from learners import bits, changed, learners

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CPU = torch.device("cpu")
FLOAT, LONG = 4, 8
PARTS = Computing(accumulate=4)


def of_a_resnet_18(width: int, head: int, batch: int, pixels: int, keypoints: int) -> int:
    """Bytes that its layers leave in training, summed up by hand; ``pixels`` of the image."""
    numbers, indices = 3 * pixels, width * pixels // 16  # the normalised image; where the pooling took its maxima
    numbers += 2 * width * pixels // 4 + width * pixels // 16  # stem: convolution, norm with ReLU; pooling
    norms = [width]
    for stage in range(4):
        planes, size = width * 2**stage, pixels // 16 // 4**stage
        numbers += 2 * 4 * planes * size  # two blocks: convolution, norm with ReLU, convolution, sum with ReLU
        norms += [planes] * 4
        if stage:  # the shortcut's convolution
            numbers += planes * size
            norms += [planes]
    for doubling in range(3):
        numbers += 2 * head * pixels // 1024 * 4 ** (doubling + 1)  # deconvolution, norm with ReLU
        norms += [head]
    numbers += keypoints * pixels // 16
    return batch * (FLOAT * numbers + LONG * indices) + FLOAT * 2 * sum(norms)


def test_activations_are_the_sum_over_layers() -> None:
    card = replace(TINY, width=8, head_width=16, input_size=(64, 96))
    net = build_pose_net(card)
    ours = Learners(net, torch.optim.Adam(net.parameters()))
    assert step_memory(ours, 5).activations == of_a_resnet_18(8, 16, 5, 64 * 96, 17)


@pytest.mark.parametrize("recipe", [RECIPE, SUPERVISED, replace(SUPERVISED, frozen=("res1", "res2", "res3"))])
def test_what_is_held_is_that_of_the_tensors(recipe) -> None:
    ours = start_learners(recipe, start_network(recipe, None), CPU)
    found = step_memory(ours, 6)
    parts = [part for part in (ours.pose_net, ours.classifier) if part is not None]
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    learning = [p for part in parts for p in part.parameters() if p.requires_grad]
    assert found.networks == sum(tensor.nbytes for tensor in tensors)
    assert found.gradients == sum(p.nbytes for p in learning)
    assert found.moments == 2 * found.gradients
    assert found.batch == FLOAT * 6 * (3 * 32 * 32 + 17 * 8 * 8 + 17 + 1)
    held = found.networks + found.moments + found.copies + found.batch
    assert held + found.activations < found.peak < held + found.activations + 2 * found.gradients + found.activations


def test_learners_are_left_as_they_are() -> None:
    ours = learners(frozen=("res1",))
    before, modes = bits(ours.pose_net), [module.training for module in ours.pose_net.modules()]
    step_memory(ours, 4)
    step_memory(ours, 4, pretrain=True, computing=Computing("bf16"))
    assert changed(ours.pose_net, before) == set()
    assert [module.training for module in ours.pose_net.modules()] == modes
    assert all(p.grad is None for p in ours.pose_net.parameters())
    assert not ours.pose_optimizer.state
    assert ours.pose_net.frozen == ("res1",)


def test_memory_grows_with_the_batch_and_by_nothing_else() -> None:
    ours = learners()
    first, second, third = (step_memory(ours, size) for size in (32, 64, 128))
    assert third.activations - second.activations == 2 * (second.activations - first.activations)
    assert third.peak - second.peak == pytest.approx(2 * (second.peak - first.peak), rel=0.01)
    assert first.networks == third.networks


def test_the_pre_stage_keeps_the_features_alone() -> None:
    ours = learners()
    found = step_memory(ours, 8, pretrain=True)
    assert found.activations == FLOAT * 8 * 32 * 1 * 1  # eight times four channels, of one pixel
    assert found.peak < step_memory(ours, 8).peak


def test_parts_leave_what_a_part_leaves_and_the_whole_is_seen_twice() -> None:
    ours = learners(classifier=False)
    whole, part, divided = step_memory(ours, 64), step_memory(ours, 16), step_memory(ours, 64, computing=PARTS)
    assert divided.activations == part.activations
    assert divided.batch == whole.batch
    outcome = FLOAT * 64 * (17 * 8 * 8 + 32)  # heatmaps and features, which are there beside their slopes
    floor = whole.networks + whole.moments + whole.batch + whole.gradients + part.activations + 2 * outcome
    assert floor < divided.peak < whole.peak
    with_judge = learners()
    assert step_memory(with_judge, 64, computing=PARTS).peak < step_memory(with_judge, 64).peak
    assert (
        step_memory(with_judge, 64, computing=PARTS, pretrain=True).peak
        < step_memory(with_judge, 64, pretrain=True).peak
    )


@pytest.mark.parametrize("skips", [False, True])
def test_copies_are_those_that_the_loop_makes(skips) -> None:
    ours = learners()
    for optimizer in (ours.pose_optimizer, ours.domain_optimizer):  # Adam makes its moments at its first step
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    before = loop._Before(ours, whole=skips)
    counts = {id(state["step"]) for state in ours.domain_optimizer.state.values()}  # a number a tensor
    copies = [copy for original, copy in before.copies if id(original) not in counts] + list(before.statistics.values())
    plain, found = step_memory(ours, 4), step_memory(ours, 4, skips=skips)
    assert found.copies == sum(copy.nbytes for copy in copies)
    assert found.peak - plain.peak == found.copies - plain.copies
    judge = sum(p.nbytes for p in ours.classifier.parameters())
    assert found.copies - plain.copies == skips * (3 * judge + sum(b.nbytes for b in ours.classifier.buffers()))


@pytest.mark.parametrize("parts", [1, 2])
def test_each_process_has_the_whole_batch_and_leaves_what_its_share_leaves(parts) -> None:
    ours, computing = learners(classifier=False), Computing(accumulate=parts)
    whole, alone = step_memory(ours, 64), step_memory(ours, 16 // parts)
    shared = step_memory(ours, 64, computing=computing, processes=4)
    assert shared.activations == alone.activations
    assert shared.batch == whole.batch == 4 * parts * alone.batch
    outcome = FLOAT * 64 * (17 * 8 * 8 + 32)  # heatmaps and features of everybody, and the slopes at both
    held = whole.networks + whole.moments + whole.copies + whole.batch + 2 * outcome + 2 * whole.gradients
    passing = whole.gradients + alone.activations  # the way back makes a gradient for whatever was left
    assert held + alone.activations < shared.peak < held + alone.activations + passing
    assert shared.peak < whole.peak
    twice, fourfold = (step_memory(ours, 64 * n, computing=computing, processes=4 * n) for n in (2, 4))
    assert fourfold.peak - twice.peak == 2 * (twice.peak - shared.peak) >= 2 * (whole.batch + 2 * outcome)


def test_in_the_pre_stage_too() -> None:
    ours = learners()
    shared, whole = (step_memory(ours, 64, pretrain=True, processes=number) for number in (4, 1))
    assert shared.activations == FLOAT * 16 * 32  # features of a pixel
    assert shared.batch == whole.batch
    assert shared.peak < whole.peak


def test_batch_norm_that_processes_share_takes_what_any_takes(monkeypatch) -> None:
    """On GPUs alone it computes, so that the meta device would refuse it."""
    ours = learners()
    plain = step_memory(ours, 8, processes=2)
    net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(ours.pose_net)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    assert step_memory(replace(ours, pose_net=net), 8, processes=2) == plain
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in net.modules())


def test_bf16_is_of_the_pose_network_alone() -> None:
    ours = learners()
    plain, half = step_memory(ours, 64), step_memory(ours, 64, computing=Computing("bf16"))
    assert plain.activations / 2 < half.activations < 0.65 * plain.activations
    assert (half.networks, half.moments, half.batch) == (plain.networks, plain.moments, plain.batch)


def test_an_adam_that_is_not_fused_makes_copies() -> None:
    ours = learners(classifier=False)
    fused = torch.optim.Adam(ours.pose_net.parameters(), fused=True)
    few = step_memory(replace(ours, pose_optimizer=fused), 2)
    assert few.moments == step_memory(ours, 2).moments
    for each in (False, True):
        adam = torch.optim.Adam(ours.pose_net.parameters(), foreach=each)
        assert step_memory(replace(ours, pose_optimizer=adam), 2).peak > few.peak


def test_a_teacher_counts() -> None:
    recipe = replace(SUPERVISED, method="mean-teacher", domain_weight=0.1)
    taught = start_learners(recipe, start_network(recipe, None), CPU)
    alone = start_learners(SUPERVISED, start_network(SUPERVISED, None), CPU)
    more, plain = step_memory(taught, 4), step_memory(alone, 4)
    assert more.networks - plain.networks == sum(t.nbytes for t in taught.teacher.state_dict().values()) + 24
    assert more.peak > plain.peak


def test_the_second_head_of_regda_counts() -> None:
    recipe = replace(SUPERVISED, method="regda", domain_weight=0.1)
    ours = start_learners(recipe, start_network(recipe, None), CPU)
    alone = start_learners(SUPERVISED, start_network(SUPERVISED, None), CPU)
    assert step_memory(ours, 4).peak > step_memory(alone, 4).peak


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import training_memory

        yield training_memory


def test_the_recipe_of_the_paper_fits_in_24_gigabytes(script) -> None:
    """With the pieces of 904 infants, 1904 adults of at most 640x480 and 2000 of 320x240, and a GiB for CUDA."""
    recipe = RECIPES["table2-j"]
    width, height = recipe.input_size
    side = 1.5 * Augmentation().reach.scale * (width**2 + height**2) ** 0.5 + 6
    people = 904 * 3 * side**2 + 3 * (1904 * 640 * 480 + 2000 * 320 * 240)
    for adam in ({}, {"foreach": True}, {"fused": True}):
        ours = script.outlined(recipe, script.card_of(recipe), adam)
        assert sum(p.numel() for p in ours.classifier.parameters()) == pytest.approx(454e6, rel=0.01)
        for batch, pretrain in ((recipe.batch_size, False), (recipe.pretrain.batch_size, True)):
            assert step_memory(ours, batch, pretrain=pretrain).peak + people + 2**30 < 24 * 2**30


def test_the_documented_table_and_the_results_say_what_is_computed(script) -> None:
    """Of all recipes; what an Adam that is not fused takes stands in the results only, and is left out for its time."""
    kinds = ("fp32, fused Adam", "bf16, fused Adam")
    computed = script.all_recipes(kinds)
    assert {name for names in computed for name in names.split(", ")} == set(RECIPES)
    page = (BENCHMARKS.parent / "docs" / "training.md").read_text(encoding="utf-8")
    head, *rows = script.as_table(computed).splitlines()
    documented = page[page.index(head) :].partition("\n\n")[0].splitlines()[1:]
    assert documented == rows
    results = read_json(BENCHMARKS / "results" / "training_memory.json")["recipes"]
    assert {
        names: {stage: {key: found[key] for key in ("batch", *kinds)} for stage, found in stages.items()}
        for names, stages in results.items()
    } == computed


@pytest.mark.parametrize("method", ["regda", "mean-teacher", "dann", "fine-tune"])
def test_an_outline_holds_what_a_run_holds(script, method) -> None:
    recipe = replace(
        SUPERVISED, method=method, classifier="pooled" if method == "dann" else None,
        domain_weight=0.0 if method == "fine-tune" else 0.1,
    )  # fmt: skip
    ours = start_learners(recipe, start_network(recipe, None), CPU)
    assert step_memory(script.outlined(recipe, TINY, {}), 4) == step_memory(ours, 4)
