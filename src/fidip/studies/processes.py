"""Several trainings side by side, each in a process of its own with one numeric thread.

One thread a process uses two cores better than two threads in one, and makes the numbers independent of how many run at
a time.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, TypeVar

import torch

from fidip.errors import FidipError, TrainingError
from fidip.platform import single_threaded_children
from fidip.training.stages import StepRecord

T = TypeVar("T")

Tell = Callable[[object], None]
"""Told, inside a process, what a training tells its ``watch``; ends the training where it is no longer wanted."""


def side_by_side(
    jobs: Mapping[str, Callable[[Tell], T]], out: Path, workers: int, watch: Callable[[str, StepRecord], None]
) -> dict[str, T]:
    """Do every job, ``workers`` at a time in their order, and return what each found.

    Jobs travel to processes that are started anew: a ``functools.partial`` of a function of a module does. ``watch`` is
    told the job's name and the record of every step. ``out`` is where they write, for messages.

    Raises:
        FidipError: whatever a job raises, or a process was ended from outside. The others then stop at their next
            step.
    """
    context = get_context("spawn")
    steps: Queue[tuple[str, StepRecord]] = context.Queue()
    stop = context.Event()
    with (
        single_threaded_children(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(steps, stop)) as pool,
    ):
        futures = {name: pool.submit(_work, name, job) for name, job in jobs.items()}
        try:
            for name, record in _steps(steps, list(futures.values())):
                watch(name, record)
            return {name: future.result() for name, future in futures.items()}
        except BrokenProcessPool as error:
            problem = "a worker process was ended from outside, perhaps for want of memory"
            raise FidipError(f"{out}: {problem}; run the same command again to go on") from error
        finally:
            stop.set()
            for future in futures.values():
                future.cancel()


def _steps(steps: Queue[Any], jobs: Sequence[Future[Any]]) -> Iterator[tuple[str, StepRecord]]:
    while not all(job.done() for job in jobs):
        failed = next((job for job in jobs if job.done() and job.exception() is not None), None)
        if failed is not None:
            failed.result()
        with suppress(queue.Empty):
            yield steps.get(timeout=0.2)


_worker: list[tuple[Queue[tuple[str, StepRecord]], Event]] = []
"""How this process tells its steps and hears that it is to stop, once it is started."""


def _start(steps: Queue[tuple[str, StepRecord]], stop: Event) -> None:
    steps.cancel_join_thread()  # records that nobody reads any more must not keep the process from ending
    _worker.append((steps, stop))
    torch.set_num_threads(1)


def _work(name: str, job: Callable[[Tell], T]) -> T:
    ((steps, stop),) = _worker

    def tell(event: object) -> None:
        if stop.is_set():
            raise TrainingError(f"{name}: stopped, since another network could not be trained")
        if isinstance(event, StepRecord):
            steps.put((name, event))

    return job(tell)
