from __future__ import annotations

import json
import platform
from importlib import metadata

import cv2
import pytest
import torch

import fidip.cli.doctor as module
from fidip import __version__
from fidip.cli import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FIDIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, version: str | None) -> None:
    """Make one package look like another version of itself, or like none."""
    real = metadata.version

    def version_of(asked: str) -> str:
        if asked != name:
            return real(asked)
        if version is None:
            raise metadata.PackageNotFoundError(asked)
        return version

    monkeypatch.setattr(module.metadata, "version", version_of)


def test_what_it_says_is_what_is_installed(tmp_path, cache, capsys) -> None:
    (cache / "kernels").mkdir(parents=True)
    (cache / "kernels" / "a.o").write_bytes(bytes(2048))
    assert main(["doctor", "--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["fidip"] == __version__
    assert report["python"] == platform.python_version()
    packages = {package["name"]: package for package in report["packages"]}
    assert packages["torch"]["installed"] == torch.__version__
    assert packages["torch"]["extra"] == ""
    assert packages["opencv-python-headless"]["installed"].startswith(cv2.__version__)
    assert packages["warp-lang"]["extra"] == "synthesis"
    assert packages["pytest"]["extra"] == "dev"
    assert report["devices"][0] == f"cpu ({torch.get_num_threads()} threads)"
    assert report["cache"] == {"folder": str(cache), "problem": "", "bytes": {"kernels": 2048}}
    assert report["problems"] == []
    text = capsys.readouterr().out
    assert all(name in text for name in packages)
    assert "2 KiB" in text


@pytest.mark.parametrize(
    ("version", "line"),
    [
        (None, "fidip: the core does not work: scipy is missing: pip install 'scipy>="),
        ("0.9", "fidip: the core does not work: scipy 0.9 does not fit >="),
    ],
)
def test_a_core_package_that_is_missing_or_old_is_named_with_its_remedy(version, line, monkeypatch, capsys) -> None:
    pretend(monkeypatch, "scipy", version)
    assert main(["doctor"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(line)
    assert error.count("\n") == 1


def test_a_core_package_that_does_not_load_is_named(monkeypatch, capsys) -> None:
    def load(name: str) -> None:
        if name == "cv2":
            raise ImportError("libGL.so.1:\ncannot open")

    monkeypatch.setattr(module, "import_module", load)
    assert main(["doctor"]) == 2
    assert "opencv-python-headless cannot be loaded (libGL.so.1: cannot open)" in capsys.readouterr().err


def test_a_missing_extra_is_no_fault(monkeypatch, capsys) -> None:
    pretend(monkeypatch, "warp-lang", None)
    assert main(["doctor"]) == 0
    assert "warp-lang is missing: pip install 'fidip[synthesis]'" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIDIP_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["doctor"]) == 0
    assert "set FIDIP_CACHE to a folder you can write to" in capsys.readouterr().out


def test_without_an_installation_it_says_so(monkeypatch, capsys) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "metadata", missing)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == "fidip: fidip runs from its sources without being installed: pip install -e .\n"
