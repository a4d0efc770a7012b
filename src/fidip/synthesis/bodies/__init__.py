"""Parametric bodies behind one protocol."""

from __future__ import annotations

from collections.abc import Callable

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import BodyModel

BODY_MODELS: dict[str, Callable[[], BodyModel]] = {
    "anny": AnnyBody.load,
}
