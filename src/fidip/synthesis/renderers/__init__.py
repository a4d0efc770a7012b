"""Two renderers behind one protocol: a flat z-buffer and a ray caster with light and shadow."""

from __future__ import annotations

from collections.abc import Callable

from fidip.synthesis.renderers.flat import render_flat
from fidip.synthesis.world import Renderer


def _raycast() -> Renderer:
    from fidip.synthesis.renderers.raycast import RaycastRenderer  # the package warp is optional

    return RaycastRenderer()


RENDERERS: dict[str, Callable[[], Renderer]] = {
    "flat": lambda: render_flat,
    "raycast": _raycast,
}
"""Makers of renderers by name. Raises ``MissingExtra`` where a renderer's package is not installed."""
