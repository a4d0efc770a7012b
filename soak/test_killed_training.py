"""Fifty runs killed at random moments and resumed: the weights are those of a run that nobody disturbed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch

from fidip.training.run import train
from figures import RECIPE
from training_worker import draw_figures, inputs_in, train_and_kill

KILLS = 50


def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    draw_figures(tmp_path)
    train(RECIPE, inputs_in(tmp_path), tmp_path / "whole")
    train_and_kill(tmp_path, tmp_path / "killed", KILLS, random.Random(1))
    for name in ("best.safetensors", "history.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
