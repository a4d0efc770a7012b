"""Devices by name."""

import pytest
import torch

from fidip.errors import RecipeError
from fidip.networks.devices import find_device


def test_the_processor_is_always_there():
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RecipeError, match=f"the device {name} is not available here: choose cpu"):
        find_device(name)


def test_a_word_that_names_no_device_is_refused():
    with pytest.raises(RecipeError, match="choose cpu, cuda or mps"):
        find_device("toaster")
