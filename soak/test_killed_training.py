"""Fifty runs killed at random moments and resumed: the weights are those of a run that nobody disturbed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch

from fidip.training.recipe import Recipe
from fidip.training.run import train
from figures import RECIPE
from test_training_adaptation_runs import RECIPES
from training_worker import draw_figures, inputs_in, taught_inputs_in, train_and_kill

KILLS = 50


@pytest.mark.parametrize("recipe", [RECIPE, RECIPES["mean-teacher by share"]], ids=["fidip", "mean-teacher"])
def test_fifty_kills_change_nothing(tmp_path: Path, recipe: Recipe) -> None:
    torch.set_num_threads(1)
    draw_figures(tmp_path)
    inputs = taught_inputs_in(tmp_path) if recipe.learning == "mean-teacher" else inputs_in(tmp_path)
    train(recipe, inputs, tmp_path / "whole")
    train_and_kill(tmp_path, tmp_path / "killed", KILLS, random.Random(1), recipe)
    for name in ("best.safetensors", "history.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
