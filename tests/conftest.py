"""Every test computes on one thread, starts from the same seeds, draws without a screen and reaches no network."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

from fidip.platform import single_thread_environment

os.environ |= single_thread_environment() | {"MPLBACKEND": "Agg"}  # before NumPy and torch are imported

import cv2
import hypothesis
import numpy as np
import pytest

cv2.setNumThreads(1)
hypothesis.settings.register_profile("fidip", deadline=None, derandomize=True)
hypothesis.settings.load_profile("fidip")


@pytest.fixture(autouse=True)
def _same_seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # for libraries that draw from the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def _refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if host not in ("::1", "localhost") and not host.startswith("127."):
            raise RuntimeError(f"a test reaches for the network: {arguments[1]}")


sys.addaudithook(_refuse_the_network)
