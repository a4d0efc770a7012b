"""A file that may be hostile is read by a process of its own, which says what it found or why it refuses.

The process is a module of this package run by its name: it reads the file from standard input, writes its answer to
standard output, limits itself before it looks at a byte, and ends by ``refuse`` where the file is at fault.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from fidip.platform import single_thread_environment

REFUSED = 3
"""The process's exit code when the file, not the process, is at fault."""


def read_apart(
    module: str, arguments: tuple[str, ...], source: IO[bytes], answer: IO[bytes], seconds: int
) -> tuple[str, str] | None:
    """Let a module read ``source`` and write ``answer``; where in the file a fault is, and which, or ``None``.

    ``seconds`` of processor time are what the module gives itself; twice as many on the clock end the process.

    Raises:
        RuntimeError: the process failed though the file is not at fault: a defect of ours.
    """
    home = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=source,
            stdout=answer,
            stderr=subprocess.PIPE,
            env={**os.environ, **single_thread_environment(), "PYTHONPATH": paths},
            timeout=2 * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"reading it took more than {2 * seconds} s and was stopped"
    if done.returncode == REFUSED:
        where, problem = json.loads(done.stderr.splitlines()[-1])
        return where, problem
    if done.returncode > 0:
        raise RuntimeError(f"the process of {module} failed: {done.stderr.decode(errors='replace')}")
    if done.returncode:  # a signal
        return "", "reading it took more memory or time than such a file may take, and was stopped"
    return None


def refuse(problem: str, where: str = "") -> int:
    """In the reading process: say why, and return the exit code to end with."""
    print(json.dumps([where, problem]), file=sys.stderr)
    return REFUSED
