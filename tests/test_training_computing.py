"""How a run computes: what is float32 and what is not, and that nothing else of a run changes."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from fidip.annotations import Domain
from fidip.errors import RecipeError, WeightsError
from fidip.files import read_json
from fidip.training.computing import PLAIN, Computing, Group
from fidip.training.inputs import Inputs
from fidip.training.loop import take_steps
from fidip.training.parts import Pass
from fidip.training.run import train
from fidip.training.stages import StepRecord, adapt
from fidip.training.start import _adam, start_learners, start_network
from figures import RECIPE, SUPERVISED, figure_set
from learners import batch, bits, changed, learners, turns

CPU = torch.device("cpu")
HALF = Computing(precision="bf16")


def test_float32_is_the_plain_pass() -> None:
    ours, theirs = learners(), learners()
    list(take_steps(adapt, replace(ours, forward=Pass(Group.start(PLAIN, "cpu"))), turns(3)))
    list(take_steps(adapt, theirs, turns(3)))
    assert changed(ours.pose_net, bits(theirs.pose_net)) == set()
    assert changed(ours.classifier, bits(theirs.classifier)) == set()


def test_bfloat16_is_of_the_networks_layers_and_of_nothing_else() -> None:
    ours = replace(learners(), forward=Pass(Group.start(HALF, "cpu")))
    seen = {}
    ours.pose_net.head.final_layer.register_forward_hook(lambda _m, _i, out: seen.update(layer=out.dtype))
    ours.classifier.register_forward_hook(lambda _m, given, out: seen.update(given=given[0].dtype, logits=out.dtype))
    (record,) = take_steps(adapt, ours, turns(1))
    assert seen == {"layer": torch.bfloat16, "given": torch.float32, "logits": torch.float32}
    tensors = [*ours.pose_net.state_dict().values(), *ours.classifier.state_dict().values()]
    tensors += [moment for state in ours.pose_optimizer.state.values() for moment in state.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32, torch.int64}
    (exact,) = take_steps(adapt, learners(), turns(1))
    assert record.pose_loss == pytest.approx(exact.pose_loss, rel=0.02)
    assert record.domain_loss == pytest.approx(exact.domain_loss, rel=0.02)
    assert record.pose_loss != exact.pose_loss


def test_bfloat16_goes_down_nearly_the_same_gradient() -> None:
    exact, half = (
        learners(classifier=False),
        replace(learners(classifier=False), forward=Pass(Group.start(HALF, "cpu"))),
    )
    found = []
    for ours in (exact, half):
        ours.pose_net.train()
        heatmaps, _ = ours.forward(ours.pose_net, batch())
        gradients = torch.autograd.grad(heatmaps.square().mean(), list(ours.pose_net.parameters()))
        found.append(torch.cat([gradient.flatten() for gradient in gradients]))
    assert torch.cosine_similarity(*found, dim=0) > 0.99


@pytest.mark.parametrize(
    ("computing", "device", "message"),
    [
        (Computing(precision="fp16"), "cpu", "precision 'fp16': choose from 32, bf16"),
        (HALF, "mps", "precision bf16 on mps"),
    ],
)
def test_what_cannot_be_computed_is_refused(computing, device, message) -> None:
    with pytest.raises(RecipeError, match=message):
        computing.validate(torch.device(device))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    folder = tmp_path_factory.mktemp("figures")
    return Inputs(figure_set(folder / "r", 4, Domain.REAL), figure_set(folder / "s", 4, Domain.SYNTHETIC))


class StoppedError(Exception):
    pass


def test_a_run_in_bfloat16_goes_on_to_the_same_bytes_and_in_nothing_else(inputs, tmp_path) -> None:
    recipe, taken = replace(RECIPE, pretrain=None, save_every=1), []

    def stop(event):
        if isinstance(event, StepRecord):
            taken.append(event)
            if len(taken) == 3:
                raise StoppedError

    train(recipe, inputs, tmp_path / "whole", computing=HALF)
    with pytest.raises(StoppedError):
        train(recipe, inputs, tmp_path / "run", watch=stop, computing=HALF)
    with pytest.raises(WeightsError, match=r"another run: computing\.precision was 'bf16', is '32'"):
        train(recipe, inputs, tmp_path / "run", resume=True)
    train(recipe, inputs, tmp_path / "run", resume=True, computing=HALF)
    for file in ("best.safetensors", "best.json", "history.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    summary = read_json(tmp_path / "run" / "best.json")
    assert summary["computing"]["precision"] == "bf16"
    assert summary["versions"]["lightning-fabric"]


def test_adam_has_one_kernel_on_cuda_alone() -> None:
    """Its state goes through a checkpoint as any other does (tested with the checkpoint)."""
    net = start_network(SUPERVISED, None)
    assert start_learners(SUPERVISED, net, CPU).pose_optimizer.defaults["fused"] is None
    assert _adam(SUPERVISED, net, torch.device("cuda")).defaults["fused"] is True


def test_fabric_is_loaded_for_those_who_need_it() -> None:
    script = "import sys, fidip.training.run; print('lightning_fabric' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
