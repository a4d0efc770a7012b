"""A batch in parts is the batch: every method takes the same step, in less memory."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from fidip.annotations import Domain
from fidip.errors import TrainingError
from fidip.files import read_json
from fidip.networks.domain import batch_statistics_unrecorded
from fidip.training import run as run_module
from fidip.training.adaptation import METHODS, WEIGHED
from fidip.training.balance import Balance
from fidip.training.computing import PLAIN, Computing, Group
from fidip.training.inputs import Inputs
from fidip.training.loop import take_steps
from fidip.training.parts import Pass, deal
from fidip.training.run import train
from fidip.training.stages import StepRecord, adapt_by_epoch, pretrain_classifier
from figures import RECIPE, SUPERVISED, TINY, figure_set
from learners import RATE, batch, bits, changed, learners, turns
from test_training_adaptation import seen, start

GROUP = Group.start(PLAIN, "cpu")


def in_parts(ours, parts, keep=True, frozen=()):
    """With the statistics of a batch: those of a new network let nothing of the picture through."""
    norms = [module for module in ours.pose_net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        ours.pose_net.train()(batch(99, size=16, dtype=next(ours.pose_net.parameters()).dtype).images)
    for norm in norms:
        norm.momentum = 0.1
    ours.pose_net.freeze(frozen, keep_statistics=keep)
    return replace(ours, forward=Pass(GROUP, parts))


def downhill(ours):
    """With plain gradient descent: Adam makes steps of the same size of gradients that are nothing but rounding."""
    judge = ours.classifier and torch.optim.SGD(ours.classifier.parameters())
    learning = [p for p in ours.pose_net.parameters() if p.requires_grad]
    return replace(ours, pose_optimizer=torch.optim.SGD(learning), domain_optimizer=judge)


def of_size(count, size, weight=0.5):
    return [replace(turn, batch=batch(n, size=size)) for n, turn in enumerate(turns(count, weight))]


@pytest.mark.parametrize("size", [2, 3, 4, 7, 12, 85])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 100])
def test_every_row_is_dealt_once_and_the_domains_in_proportion(size, parts) -> None:
    synthetic = (torch.rand(size, generator=torch.Generator().manual_seed(size)) < 0.4).float()
    dealt = deal(synthetic, 1, parts)[0]
    assert sorted(torch.cat(dealt).tolist()) == list(range(size))
    assert len(dealt) == max(1, min(parts, size // 2))
    assert min(len(rows) for rows in dealt) >= 2
    for counts in ([len(rows) for rows in dealt], [int(synthetic[rows].sum()) for rows in dealt]):
        assert max(counts) - min(counts) <= 1


TOLERANCES = {"pose_loss": 1e-6, "domain_loss": 1e-6, "domain_weight": 1e-4, "gradient_ratio": 1e-4}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("method", [*METHODS])
def test_every_method_takes_the_same_step(method, shared) -> None:
    """With kept statistics, in single precision: losses, weights, ratios and what every network has become."""
    told, nets, judges = [], [], []
    for parts in (1, 2):
        ours = downhill(in_parts(start(method, balance=Balance() if shared and method in WEIGHED else None), parts))
        before = bits(ours.pose_net)
        told.append(list(take_steps(METHODS[method], ours, [replace(t, learning_rate=1e-3) for t in seen(3, 0.3)])))
        assert any(float((before[name] - tensor).abs().max()) > 1e-4 for name, tensor in bits(ours.pose_net).items())
        nets.append(bits(ours.pose_net))
        judges.append(bits(ours.classifier) if ours.classifier is not None else {})
    for whole, split in zip(*told, strict=True):
        for name, tolerance in TOLERANCES.items():
            one, other = getattr(whole, name), getattr(split, name)
            assert (one is None) == (other is None)
            assert one is None or other == pytest.approx(one, rel=tolerance, abs=1e-6), name
        assert (split.domain_accuracy, split.believed) == (whole.domain_accuracy, whole.believed)
    for a, b in (nets, judges):
        for name, tensor in a.items():
            assert torch.allclose(b[name], tensor, rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("parts", [2, 3, 6])
@pytest.mark.parametrize("judged", [False, True])
def test_the_gradient_is_that_of_the_whole_batch(parts, judged) -> None:
    """In double precision, of a loss that ties all heatmaps and features together, and with respect to the features."""
    found = []
    for number in (1, parts):
        ours = in_parts(learners(torch.float64), number)
        ours.pose_net.train()
        heatmaps, features = ours.forward(ours.pose_net, batch(dtype=torch.float64, size=12))
        loss = (heatmaps.mean(dim=0) * heatmaps.std(dim=0)).square().sum()
        if judged:
            loss = loss + ours.classifier.train()(features).square().std()
        learning = [p for p in ours.pose_net.parameters() if p.requires_grad]
        found.append([loss, *torch.autograd.grad(loss, [features, *learning], retain_graph=True)])
        again = torch.autograd.grad(loss, learning)  # a graph that is kept may be used again
        assert all(torch.equal(one, other) for one, other in zip(again, found[-1][2:], strict=True))
    for whole, split in zip(*found, strict=True):
        assert torch.allclose(whole, split, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("frozen", [("res1", "res2"), ("res1", "res2", "res3", "res4", "res5")])
def test_what_is_frozen_stays_out_of_it(frozen) -> None:
    nets = []
    for parts in (1, 3):
        ours = in_parts(learners(classifier=False, frozen=frozen), parts, frozen=frozen)
        before = bits(ours.pose_net)
        list(take_steps(METHODS["fine-tune"], ours, of_size(3, 6)))
        still = {n for n in before if n.startswith("backbone") and n not in dict(ours.pose_net.named_parameters())}
        still |= {n for n, p in ours.pose_net.named_parameters() if not p.requires_grad}
        assert changed(ours.pose_net, before).isdisjoint(still)
        nets.append(bits(ours.pose_net))
    assert all(torch.allclose(nets[0][name], nets[1][name], rtol=1e-4, atol=1e-6) for name in nets[0])


def test_stage_one_alone_and_the_pre_stage_go_through_in_parts_too() -> None:
    for learn, first in ((pretrain_classifier, False), (adapt_by_epoch, True)):
        judges = []
        for parts in (1, 2):
            ours = in_parts(learners(), parts)
            before = bits(ours.pose_net)
            list(take_steps(learn, ours, [replace(turn, first_pass=first) for turn in of_size(2, 8)]))
            assert changed(ours.pose_net, before) == set()
            judges.append(bits(ours.classifier))
        assert all(torch.allclose(judges[0][name], judges[1][name], rtol=1e-4, atol=1e-6) for name in judges[0])


def test_every_part_records_its_own_statistics_once() -> None:
    """In training mode the parts are what batch norm sees: against the parts, one after the other, by hand."""
    ours, theirs = in_parts(learners(), 3, keep=False), in_parts(learners(), 1, keep=False)
    turn = of_size(1, 12)[0]
    ours.pose_net.train()
    heatmaps, _ = ours.forward(ours.pose_net, turn.batch)
    after = bits(ours.pose_net)
    torch.autograd.grad(heatmaps.sum(), list(ours.pose_net.parameters()))  # the second pass records nothing
    assert changed(ours.pose_net, after) == set()
    theirs.pose_net.train()
    with torch.no_grad():
        for rows in deal(turn.batch.synthetic, 1, 3)[0]:
            expected = theirs.pose_net(turn.batch.images[rows]).heatmaps
            assert torch.allclose(heatmaps[rows], expected, atol=1e-6)
    for name, tensor in theirs.pose_net.state_dict().items():
        assert torch.allclose(after[name], tensor, atol=1e-6), name
    ours.pose_net.train()
    before = bits(ours.pose_net)
    with torch.no_grad(), batch_statistics_unrecorded(ours.pose_net):
        ours.forward(ours.pose_net, turn.batch)
    assert changed(ours.pose_net, before) == set()


def test_memory_is_that_of_a_part() -> None:
    """Bytes that autograd keeps for the way back, counted as they are packed; the peak is what is held at once."""

    def held(parts: int) -> int:
        ours, now, most = in_parts(learners(card=replace(TINY, width=8)), parts, keep=False), [0], [0]

        class Kept:
            def __init__(self, tensor):
                self.tensor = tensor
                now[0] += tensor.nbytes
                most[0] = max(most[0], now[0])

            def __del__(self):
                now[0] -= self.tensor.nbytes

        turn = of_size(1, 60)[0]
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            list(take_steps(METHODS["fidip"], ours, [turn]))
        return most[0]

    assert held(10) < held(1) / 3  # the weights are among them, and the losses of the whole batch


def test_small_rests_of_an_epoch_make_fewer_parts() -> None:
    ours = in_parts(learners(), 4, keep=False)
    (record,) = take_steps(METHODS["fidip"], ours, of_size(1, 3))
    assert record.pose_loss > 0


def test_parts_may_be_in_bfloat16() -> None:
    exact, half = in_parts(learners(), 2), in_parts(learners(), 2)
    half = replace(half, forward=Pass(Group.start(Computing(precision="bf16"), "cpu"), 2))
    (a,), (b,) = (take_steps(METHODS["fidip"], ours, of_size(1, 8)) for ours in (exact, half))
    assert b.pose_loss == pytest.approx(a.pose_loss, rel=0.02)
    assert b.pose_loss != a.pose_loss
    assert a.learning_rate == RATE


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    folder = tmp_path_factory.mktemp("figures")
    real, synthetic = figure_set(folder / "r", 4, Domain.REAL), figure_set(folder / "s", 8, Domain.SYNTHETIC)
    adults = figure_set(folder / "ar", 4, Domain.REAL, 2), figure_set(folder / "as", 4, Domain.SYNTHETIC, 2)
    return Inputs(real, synthetic, figure_set(folder / "v", 4, Domain.REAL, 1), adults)


class StoppedError(Exception):
    pass


def test_a_whole_run_in_parts_learns_the_same_and_goes_on_to_the_same_bytes(inputs, tmp_path) -> None:
    recipe, computing, taken = replace(RECIPE, keep_statistics=True, save_every=1), Computing(accumulate=2), []

    def stop(event):
        if isinstance(event, StepRecord):
            taken.append(event)
            if len(taken) == 4:
                raise StoppedError

    at_once = train(recipe, inputs, tmp_path / "at-once")
    whole = train(recipe, inputs, tmp_path / "whole", computing=computing)
    for one, other in zip(at_once.history, whole.history, strict=True):
        for name in ("pose_loss", "domain_loss", "gradient_ratio"):
            assert (one[name] or 0) == pytest.approx(other[name] or 0, rel=1e-4)
    with pytest.raises(StoppedError):
        train(recipe, inputs, tmp_path / "run", watch=stop, computing=computing)
    train(recipe, inputs, tmp_path / "run", resume=True, computing=computing)
    for file in ("best.safetensors", "best.json", "history.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert read_json(tmp_path / "run" / "best.json")["computing"]["accumulate"] == 2


ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory.\nTried"), RuntimeError(ALLOCATOR)])
def test_want_of_memory_says_which_numbers_to_change(inputs, tmp_path, monkeypatch, error) -> None:
    recipe, out = replace(SUPERVISED, save_every=1, batch_size=6, steps_per_epoch=2), tmp_path / "run"
    original = run_module.turns

    def starved(*arguments):
        for n, turn in enumerate(original(*arguments)):
            if n == 1:
                raise error
            yield turn

    monkeypatch.setattr(run_module, "turns", starved)
    data = replace(inputs, adults=None, validation=None)
    with pytest.raises(TrainingError) as told:
        train(recipe, data, out)
    assert str(told.value) == (
        "out of memory with batches of 6 at 32x32, precision 32; start again with --accumulate 2, --precision bf16, "
        "a smaller --set batch_size or --set input_size; what was saved is intact"
    )
    before = (out / "checkpoint").read_bytes()
    monkeypatch.setattr(run_module, "turns", original)
    train(recipe, data, out, resume=True)
    assert (out / "checkpoint").read_bytes() != before
    monkeypatch.setattr(run_module, "turns", starved)
    with pytest.raises(TrainingError, match=r"6 in 2 parts at 32x32, precision bf16; start again with a smaller --set"):
        train(recipe, data, tmp_path / "other", computing=Computing("bf16", 2))


def test_want_of_memory_for_those_retained_is_told_when_the_learners_are_gone(inputs, tmp_path, monkeypatch) -> None:
    start, held, out = run_module.start_learners, [], tmp_path / "run"

    def started(*arguments):
        ours = start(*arguments)
        held.extend(map(weakref.ref, (ours.pose_net, ours.classifier, ours.domain_optimizer)))
        return ours

    def starved(*_):
        gc.collect()
        assert [reference() for reference in held] == [None] * 3
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried")

    monkeypatch.setattr(run_module, "start_learners", started)
    monkeypatch.setattr(run_module, "retained", starved)
    recipe = replace(RECIPE, epochs=1, steps_per_epoch=2)
    for resume in (False, True):
        with pytest.raises(TrainingError) as told:
            train(recipe, inputs, out, resume=resume)
        assert str(told.value) == (
            "out of memory while networks look at --retain; the run is over and its weights are saved: free some "
            "memory and repeat the command with --resume"
        )
        assert len(held) == 3
    assert (out / "best.safetensors").is_file()


def test_other_errors_are_not_taken_for_want_of_memory(inputs, tmp_path, monkeypatch) -> None:
    def broken(*_):
        raise RuntimeError("shapes do not agree")
        yield

    monkeypatch.setattr(run_module, "turns", broken)
    with pytest.raises(RuntimeError, match="shapes do not agree"):
        train(SUPERVISED, replace(inputs, adults=None), tmp_path / "run")
