"""A compiled pose network learns what the plain one does: losses to 1e-5. Compiling takes a minute."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch

from fidip.training.computing import Computing, Group, prepare
from fidip.training.loop import take_steps
from fidip.training.stages import adapt, adapt_by_epoch
from figures import TINY
from learners import bits, learners, turns


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own modules, as it loads its compiler
@pytest.mark.parametrize("by_epoch", [False, True])
def test_compiled_is_plain(by_epoch: bool) -> None:
    torch.set_num_threads(1)
    plain, compiled = (learners(card=replace(TINY, width=8)) for _ in range(2))
    chosen = Computing(compile=True)
    prepare(compiled.pose_net, chosen, Group.start(chosen, "cpu"))
    told = []
    for ours in (plain, compiled):
        seen = turns(3)
        first = [replace(turn, first_pass=True) for turn in seen] if by_epoch else []
        told.append(list(take_steps(adapt_by_epoch if by_epoch else adapt, ours, [*first, *seen])))
    for ours, theirs in zip(*told, strict=True):
        assert (ours.pose_loss or 0) == pytest.approx(theirs.pose_loss or 0, abs=1e-5)
        assert (ours.domain_loss or 0) == pytest.approx(theirs.domain_loss or 0, abs=1e-5)
    there = bits(plain.pose_net)
    for name, tensor in compiled.pose_net.state_dict().items():  # the same names; Adam magnifies last bits
        assert torch.allclose(tensor, there[name], rtol=1e-3, atol=1e-3), name
