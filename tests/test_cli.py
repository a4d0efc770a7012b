from __future__ import annotations

import errno
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fidip import __version__
from fidip.cli import COMMANDS, Command, main
from fidip.errors import DataError, DataWarning

RUN = "import sys; from fidip.cli import main; sys.exit(main(sys.argv[1:]))"
HEAVY = ("torch", "cv2", "scipy", "sklearn", "matplotlib", "warp", "faster_coco_eval")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Installs a function as the command ``act``."""

    def install(function: Callable[..., None]) -> None:
        monkeypatch.setattr(sys.modules[__name__], "act", function, raising=False)
        monkeypatch.setitem(COMMANDS, "act", Command(f"{__name__}:act", "Act."))

    return install


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("truth.json", "images[3]", "no id"), 2, "fidip: truth.json: images[3]: no id\n"),
        (DataError("a.json", "", "two\nlines"), 2, "fidip: a.json: two lines\n"),
        (KeyboardInterrupt(), 130, "fidip: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.png"), 2, "fidip: x.png: No such file; check the path"),
        (PermissionError(errno.EACCES, "Permission denied", "d"), 2, "fidip: d: Permission denied; check the path"),
        (OSError(errno.ENOSPC, "No space left", "run/x"), 2, "fidip: run/x: cannot be written: the disk is full"),
        (OSError(errno.ENOSPC, "No space left"), 2, "fidip: the output: cannot be written: the disk is full"),
        (MemoryError(), 2, "fidip: out of memory"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_mistake_is_one_line_and_an_exit_code(error, code, line, command, capsys) -> None:
    command(raising(error))
    assert main(["act"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == (1 if line else 0)


def test_a_defect_keeps_its_traceback_and_asks_for_a_report(command, capsys) -> None:
    command(raising(ZeroDivisionError("no")))
    assert main(["act"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "ZeroDivisionError: no" in error
    assert error.splitlines()[-1].startswith("fidip: this is a defect of fidip; please report")


def test_data_warnings_are_one_line_and_other_warnings_are_left_alone(command, capsys) -> None:
    def act() -> None:
        warnings.warn("truth.json: 3 areas are impossible", DataWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="of a library"):
            warnings.warn("of a library", UserWarning, stacklevel=1)

    before = warnings.showwarning
    command(act)
    assert main(["act"]) == 0
    assert capsys.readouterr().err == "fidip: warning: truth.json: 3 areas are impossible\n"
    assert warnings.showwarning is before


def test_a_function_becomes_options(command, capsys) -> None:
    seen: list[object] = []

    def act(*, count: int, pair: tuple[Path, Path] | None = None, quick: bool = False) -> None:
        """Act on things.

        Args:
            count: How many.
            pair: Two files.
            quick: Be quick.
        """
        seen.append((count, pair, quick))

    command(act)
    assert main(["act", "--count", "3", "--pair", "a", "b", "--quick"]) == 0
    assert main(["act", "--count", "3"]) == 0
    assert seen == [(3, (Path("a"), Path("b")), True), (3, None, False)]
    assert main(["act", "--help"]) == 0
    assert "How many." in capsys.readouterr().out
    for wrong in ([], ["--count", "x"], ["--count", "3", "--no-quick"], ["--count", "3", "extra"]):
        assert main(["act", *wrong]) == 2
        assert "fidip act --help" in capsys.readouterr().err


def test_help_names_every_command(capsys) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and command.summary in text for name, command in COMMANDS.items())
    assert main([]) == 2
    assert capsys.readouterr() == ("", text)


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fidip {__version__}\n"


def test_an_unknown_command_is_answered_with_the_nearest(capsys) -> None:
    assert main(["docter"]) == 2
    assert capsys.readouterr().err == "fidip: no command 'docter'; did you mean 'doctor'?\n"
    assert main(["zzz"]) == 2
    assert "choose one of" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(arguments) -> None:
    script = f"""
import sys
from fidip.cli import main
code = main({arguments!r})
print(*sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr, end="")
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that Linux has")
def test_standard_output_on_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("fidip: the output: cannot be written: the disk is full")
    assert done.stderr.count("\n") == 1
