"""The wheel, installed with its core dependencies only, in an environment and a folder of its own."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import fidip
from fidip.errors import MissingExtra
from fidip.images import write_image
from fidip.networks.card import NetworkCard
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import save_pose_net

REPOSITORY = Path(__file__).parents[1]
SITE = Path(fidip.__file__).parent
FIDIP = Path(sys.executable).with_name("fidip")


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FIDIP, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_it_is_the_wheel_that_is_tested() -> None:
    assert "site-packages" in SITE.parts
    assert REPOSITORY / "src" not in SITE.parents


def test_the_wheel_holds_every_file_of_the_package() -> None:
    def files_below(root: Path) -> set[str]:
        return {
            file.relative_to(root).as_posix() for file in root.rglob("*") if file.suffix != ".pyc" and file.is_file()
        }

    assert files_below(SITE) == files_below(REPOSITORY / "src" / "fidip")


def test_it_is_small_enough_to_send() -> None:
    (wheel,) = (REPOSITORY / "build" / "wheel").glob("*.whl")
    assert wheel.stat().st_size <= 15 * 2**20


def what_is_missing_for(module: str) -> str:
    try:
        importlib.import_module(module)
    except MissingExtra as error:
        return error.package
    except ModuleNotFoundError as error:
        return error.name or "?"
    return ""


def test_modules_load_or_need_an_extra() -> None:
    modules = [module.name for module in pkgutil.walk_packages(fidip.__path__, "fidip.")]
    assert "fidip.cli.doctor" in modules
    assert {what_is_missing_for(module) for module in modules} <= {"", "warp-lang", "warp", "ray"}


def test_the_doctor_is_content_without_extras(tmp_path) -> None:
    done = run("doctor", "--json", "report.json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["fidip"] == fidip.__version__
    missing = {package["name"]: package["problem"] for package in report["packages"] if not package["installed"]}
    assert missing["warp-lang"] == "warp-lang is missing: pip install 'fidip[synthesis]'"


def test_it_predicts(tmp_path) -> None:
    card = NetworkCard(backbone="resnet-18", width=8, head_width=8, input_size=(96, 128), name="random")
    save_pose_net(build_pose_net(card, torch.Generator().manual_seed(0)), tmp_path / "net.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    write_image(tmp_path / "photo.png", noise)
    done = run("predict", "photo.png", "--weights", "net.safetensors", "--out", "poses", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads((tmp_path / "poses" / "predictions.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["photo.png"]
    assert (tmp_path / "poses" / "results.json").exists()
    assert any((tmp_path / "poses" / "overlays").iterdir())


@pytest.mark.parametrize("name", fidip.__all__)
def test_public_names(name) -> None:
    assert getattr(fidip, name) is not None
