"""The command line: parse, call, print. One small file a command, imported only when it is chosen.

A command is one function with typed parameters; tyro makes its options from them and its help from the docstring. Heavy
modules are imported inside the function, so that help and mistakes in the options answer at once.
"""

from __future__ import annotations

import difflib
import errno
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType
from typing import NamedTuple, TextIO

from fidip import __version__
from fidip.errors import DataWarning, FidipError
from fidip.files import storage_error


class Command(NamedTuple):
    """Where a command lives, as ``module:function``, and what it does in one line."""

    target: str
    summary: str


COMMANDS = {
    "demo": Command("fidip.cli.demo:demo", "Show the whole idea on rendered images, with a report."),
    "study": Command("fidip.cli.study:study", "Compare methods of adaptation with exact controls, on rendered images."),
    "doctor": Command("fidip.cli.doctor:doctor", "Say what is installed, what is missing and how to get it."),
    "recipes": Command("fidip.cli.recipes:recipes", "List the experiments that train knows, with their numbers."),
    "synth": Command("fidip.cli.synth:synth", "Make labelled images of synthetic infants or adults."),
    "gallery": Command("fidip.cli.gallery:gallery", "Show labelled images in a page; reject synthetic ones by hand."),
    "convert-body": Command("fidip.cli.convert_body:convert_body", "Convert your SMPL or SMIL file for synthesis."),
    "fit": Command("fidip.cli.fit:fit", "Fit infant bodies to 2-D poses."),
    "prior": Command("fidip.cli.prior:prior", "Learn a pose prior from fitted bodies."),
    "train": Command("fidip.cli.train:train", "Train a pose network by a recipe."),
    "convert coco": Command("fidip.cli.convert:coco", "Convert the people of COCO."),
    "convert mini-rgbd": Command("fidip.cli.convert:mini_rgbd", "Convert MINI-RGBD, rendered infants."),
    "convert prestage": Command("fidip.cli.convert:prestage", "Draw the adults of the pre-stage from two data sets."),
    "convert surreal": Command("fidip.cli.convert:surreal", "Convert frames of SURREAL, rendered adults."),
    "convert syrip": Command("fidip.cli.convert:syrip", "Convert SyRIP, labelled photos of infants."),
    "check": Command("fidip.cli.check:check", "Say what data sets share that should be strangers to each other."),
    "merge": Command("fidip.cli.merge:merge", "Merge labelled folders into one."),
    "evaluate": Command("fidip.cli.evaluate:evaluate", "Measure predicted poses by COCO's keypoint AP and AR."),
    "plot": Command("fidip.cli.plot:plot", "Draw the poses of data sets over each other; say how varied they are."),
    "predict": Command("fidip.cli.predict:predict", "Estimate the poses of the people in photos."),
    "weights list": Command("fidip.cli.weights:list_", "List the published weights that fidip can read."),
    "weights fetch": Command("fidip.cli.weights:fetch", "Fetch published weights into the cache, verified."),
    "weights import": Command("fidip.cli.weights:import_", "Turn a published weights file into one of fidip's."),
    "weights inspect": Command("fidip.cli.weights:inspect", "Say what a weights file holds."),
    "weights export": Command("fidip.cli.weights:export", "Write a network as other programs name its tensors."),
}

SUCCESS, DEFECT, MISTAKE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141
"""Exit codes: done, a defect of fidip, something the user can put right, Ctrl-C, and a reader that went away."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. ``argv`` defaults to the process's own arguments."""
    _never_fail_to_print()
    with warnings.catch_warnings():
        warnings.simplefilter("default", DataWarning)
        warnings.showwarning = _one_line_for_ours(warnings.showwarning)
        try:
            code = _dispatch(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
        except SystemExit as end:  # tyro has shown its help (0) or a mistake in the options (2)
            code = end.code if isinstance(end.code, int) else SUCCESS
        except KeyboardInterrupt:
            code = _complain("interrupted", INTERRUPTED)
        except BrokenPipeError:
            _forget_stdout()
            code = BROKEN_PIPE
        except FidipError as error:
            code = _complain(str(error), MISTAKE)
        except OSError as error:
            if error.filename is None:
                _forget_stdout()
            code = _complain(_storage_problem(error), MISTAKE)
        except MemoryError:
            code = _complain("out of memory; use smaller images or fewer workers", MISTAKE)
        except Exception:
            traceback.print_exc()
            code = _complain("this is a defect of fidip; please report the lines above, without any photograph", DEFECT)
    return code


def _dispatch(arguments: list[str]) -> int:
    name, *rest = arguments or [""]
    if rest and f"{name} {rest[0]}" in COMMANDS:
        name, *rest = f"{name} {rest[0]}", *rest[1:]
    if name in COMMANDS:
        return _run(name, rest)
    members = {member: command for member, command in COMMANDS.items() if member.startswith(f"{name} ")}
    if members and rest[:1] in (["-h"], ["--help"]):
        print(_help(members))
        return SUCCESS
    if members:
        asked = f"no '{name} {rest[0]}'" if rest else f"'{name}' needs one more word"
        return _complain(f"{asked}; choose one of {', '.join(members)}", MISTAKE)
    if name in ("-h", "--help"):
        print(_help())
        return SUCCESS
    if name == "--version":
        print(f"fidip {__version__}")
        return SUCCESS
    if not name:
        print(_help(), file=sys.stderr)
        return MISTAKE
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    remedy = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(COMMANDS)}"
    return _complain(f"no command '{name}'; {remedy}", MISTAKE)


def _run(name: str, arguments: list[str]) -> int:
    import tyro

    module, function = COMMANDS[name].target.split(":")
    command: Callable[..., int | None] = getattr(import_module(module), function)
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
    return tyro.cli(command, prog=f"fidip {name}", args=arguments, config=config) or SUCCESS


def _help(commands: Mapping[str, Command] = MappingProxyType(COMMANDS)) -> str:
    width = max(map(len, commands)) + 2
    lines = [f"  {name:<{width}}{command.summary}" for name, command in commands.items()]
    return "\n".join(
        [
            "usage: fidip COMMAND [OPTIONS]",
            "",
            "Infant pose estimation from small data: synthesise, adapt, evaluate, predict.",
            "",
            "commands:",
            *lines,
            "",
            "options of a command: fidip COMMAND --help",
            "version: fidip --version",
        ]
    )


def _complain(message: str, code: int) -> int:
    line = " ".join(message.splitlines())
    with suppress(BrokenPipeError):
        print(f"fidip: {line}", file=sys.stderr)
    return code


def _storage_problem(error: OSError) -> str:
    """One line for an error of the system that no room has put into words."""
    if error.errno in DISK_ERRORS or error.filename is None:
        return str(storage_error(error.filename or "the output", error))
    return f"{error.filename}: {error.strerror}; check the path and its permissions"


def _one_line_for_ours(show: Callable[..., None]) -> Callable[..., None]:
    def show_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        if issubclass(category, DataWarning):
            print(f"fidip: warning: {message}", file=sys.stderr)
        else:
            show(message, category, filename, lineno, file, line)

    return show_warning


def _never_fail_to_print() -> None:
    """Let a terminal that lacks a character show ``?`` in its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _forget_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not complain either."""
    with suppress(OSError, ValueError):  # standard output may be no real file
        descriptor = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
