"""What a reading process may end with, and what the one that asked for it then says."""

import tempfile
from io import BytesIO

import pytest

from fidip.apart import read_apart

MODULES = {
    "echo": "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1] + sys.argv[1].encode())",
    "refusing": "import sys; from fidip.apart import refuse; print('noise', file=sys.stderr);"
    "sys.exit(refuse('no such thing', 'line 3'))",
    "failing": "raise KeyError('ours')",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "endless": "import time; time.sleep(60)",
}


@pytest.fixture
def ask(tmp_path, monkeypatch):
    for name, code in MODULES.items():
        (tmp_path / f"apart_{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "file").write_bytes(b"abc")

    def ask(name):
        answer = BytesIO()
        with (tmp_path / "file").open("rb") as source, tempfile.TemporaryFile() as stream:
            refusal = read_apart(f"apart_{name}", ("!",), source, stream, 1 if name == "endless" else 30)
            stream.seek(0)
            answer.write(stream.read())
        return refusal, answer.getvalue()

    return ask


def test_the_answer_is_what_the_process_wrote(ask) -> None:
    assert ask("echo") == (None, b"cba!")


def test_refusals_stops_and_defects_are_told_apart(ask) -> None:
    assert ask("refusing")[0] == ("line 3", "no such thing")
    assert ask("killed")[0] == ("", "reading it took more memory or time than such a file may take, and was stopped")
    assert ask("endless")[0] == ("", "reading it took more than 2 s and was stopped")
    with pytest.raises(RuntimeError, match=r"(?s)the process of apart_failing failed: .*KeyError: 'ours'"):
        ask("failing")
