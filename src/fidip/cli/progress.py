"""Progress on standard error: a bar on a terminal, nothing in a file or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

T = TypeVar("T")


@contextmanager
def bar(description: str, total: int | None, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar for work that says how many steps are done in all.

    Yields ``show(done)``. ``total=None`` shows a bar without an end. Of several processes one has it ``shown``.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.update(task, completed=done)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Pass items on and show how many have been used. ``total`` defaults to their length where they have one."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(description, total) as show:
        for done, item in enumerate(items, start=1):
            yield item
            show(done)


@contextmanager
def phases() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each part of a longer piece of work.

    Yields ``show(part, done, total)``; a part gets its bar when it is first spoken of.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def show(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = progress.add_task(part, total=total)
            progress.update(tasks[part], completed=done, total=total)

        yield show
