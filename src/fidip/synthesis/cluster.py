"""Rendering on many machines through Ray: actors make samples, the machine that asked for them writes the files.

The n-th image depends on the settings and n only, so the bytes are those of one machine of the same kind. This is the
one place that imports the package ray.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from fidip.errors import FidipError, MissingExtra, RecipeError
from fidip.synthesis.renderers import RENDERERS
from fidip.synthesis.sample import Encoded, Settings, encode_sample
from fidip.synthesis.scene import SCENE_STYLES

try:
    import ray
except ImportError as error:
    raise MissingExtra("ray", "cluster", "--ray") from error

SECONDS_TO_ANSWER = 5.0

WAITING = 2
"""Samples that wait for each actor, so that none is idle and Ctrl-C ends the run at once."""


class RayCrew:
    """The cores of a running Ray cluster; ``close`` lets go of them. fidip must be installed on its machines."""

    def __init__(self, address: str) -> None:
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            problem = " ".join(str(error).split()) or type(error).__name__
            raise RecipeError(
                f"--ray {address}: no Ray cluster answers there ({problem[:120]}); start one with 'ray start --head'"
            ) from error

    def __call__(self, settings: Settings, numbers: list[int]) -> Iterator[Encoded]:
        """Make the samples of these numbers, in the order in which they are done.

        Raises:
            FidipError: what a sample raises, or an actor was lost.
        """
        makers: Any = ray.remote(num_cpus=1)(_Maker)
        actors = [makers.remote(settings) for _ in range(min(int(ray.cluster_resources()["CPU"]), len(numbers)))]
        waiting = iter(numbers)
        running: dict[Any, Any] = {}

        def send(actor: Any) -> None:
            if (number := next(waiting, None)) is not None:
                running[actor.make.remote(number)] = actor

        try:
            for _ in range(WAITING):
                for actor in actors:
                    send(actor)
            while running:
                (done,), _ = ray.wait(list(running))
                actor = running.pop(done)
                result = ray.get(done)
                if isinstance(result, FidipError):
                    raise result
                send(actor)
                yield result
        except ray.exceptions.RayError as error:
            problem = " ".join(str(error).split())[:160]
            raise FidipError(f"--ray: a machine of the cluster failed ({problem}); run the command again") from error
        finally:
            for actor in actors:
                ray.kill(actor)

    def close(self) -> None:
        """Leave the cluster."""
        ray.shutdown()


def _knock(address: str) -> None:
    """Ask whether anything listens at ``host:port``; Ray itself would ask for minutes. Raises ``OSError``."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


class _Maker:
    """One core of the cluster."""

    def __init__(self, settings: Settings) -> None:
        import cv2
        import torch

        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._settings, self._body = settings, settings.body.load()
        self._renderer = RENDERERS[SCENE_STYLES[settings.style].renderer]()

    def make(self, number: int) -> Encoded | FidipError:
        """A sample, or the user's mistake as a value: not every error survives the way."""
        try:
            return encode_sample(self._settings, number, self._body, self._renderer)
        except FidipError as error:
            return FidipError(str(error))
