"""Two hundred writers killed at random moments: the file is always one that was wanted, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from fidip.files import read_json, remove_stale_temporaries

KILLS = 200
WRITER = """
import itertools, sys
from fidip.files import write_json
for number in itertools.count(int(sys.argv[2])):
    write_json(sys.argv[1], {"number": number, "payload": [number] * 20_000})
    print(number, flush=True)
"""


def test_no_kill_leaves_an_unreadable_or_older_file(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    moments = random.Random(0)
    left_behind = newest = 0
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(file), str(newest + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            writer.stdout.readline()  # the first file stands
            time.sleep(moments.uniform(0, 0.05))
            writer.kill()
            acknowledged = [int(line) for line in writer.stdout.read().split()]
        left_behind += remove_stale_temporaries(tmp_path)
        state = read_json(file)
        assert state["payload"] == [state["number"]] * 20_000
        assert state["number"] >= max(acknowledged, default=newest + 1)
        newest = state["number"]
        assert list(tmp_path.iterdir()) == [file]
    assert left_behind > 0, "no kill met a write; the test proves nothing on this machine"
