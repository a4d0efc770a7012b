"""Rendering through Ray, on a cluster that the test starts on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
COUNT = "9"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "fidip", "synth", *arguments, "--count", COUNT, "--renderer", "flat", "--size", "64", "--seed", "3"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def cluster() -> Iterator[str]:
    """A head with two cores, on the loopback address."""
    address = "127.0.0.1:6399"
    port = address.rpartition(":")[2]
    subprocess.run(
        [BIN / "ray", "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2",
         "--include-dashboard=false", "--disable-usage-stats"],
        check=True, capture_output=True,
    )  # fmt: skip
    yield address
    subprocess.run([BIN / "ray", "stop", "--force"], check=False, capture_output=True)


def test_a_cluster_writes_the_bytes_of_one_machine(cluster: str, tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", "--keep-ground-truth")
    assert alone.returncode == 0, alone.stderr
    many = run(tmp_path / "many", "--keep-ground-truth", "--ray", cluster)
    assert many.returncode == 0, many.stderr
    assert contents(tmp_path / "many") == contents(tmp_path / "alone")


def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    ended = run(tmp_path / "none", "--ray", "127.0.0.1:6398")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--ray 127.0.0.1:6398: no Ray cluster answers there" in ended.stderr
    assert not (tmp_path / "none").exists()
