"""What ``fidip train`` does with bad weights, a full disk, and data from which nothing can be learnt: one line each."""

import errno
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fidip.files
from fidip import recipes
from fidip.annotations import Domain
from fidip.cli import main
from fidip.files import read_json, write_json
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import save_pose_net
from figures import SUPERVISED, TINY, figure_set

NEXT = replace(SUPERVISED, name="next", network=None, backbone="resnet-18", epochs=1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return {"real": figure_set(folder / "r", 4, Domain.REAL), "judge": figure_set(folder / "v", 2, Domain.REAL, seed=1)}


@pytest.fixture(autouse=True)
def _recipes(monkeypatch) -> None:
    monkeypatch.setattr(recipes, "RECIPES", {"next": NEXT, "plain": replace(SUPERVISED, name="plain", epochs=1)})


def refused(capsys, *arguments) -> str:
    """The one line of a refusal."""
    assert main(["train", *map(str, arguments)]) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("fidip: ")
    return complaint


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def bad_weights(folder: Path) -> dict[str, tuple[Path, str]]:
    good = folder / "good.safetensors"
    save_pose_net(build_pose_net(TINY, torch.Generator().manual_seed(0)), good)
    data = good.read_bytes()
    files = {
        "pickle.safetensors": (pickle.dumps(Payload(folder / "canary")), "damaged, or no safetensors file"),
        "truncated.safetensors": (data[: len(data) // 2], "damaged, or no safetensors file"),
        "header.safetensors": (data[:4] + bytes([data[4] ^ 64]) + data[5:], "damaged, or no safetensors file"),
        "empty.safetensors": (b"", "damaged, or no safetensors file"),
    }
    made = {}
    for name, (content, message) in files.items():
        (folder / name).write_bytes(content)
        made[name] = (folder / name, message)
    torch.save({"epoch": Payload(folder / "canary")}, folder / "pickle.pth")
    made["pickle.pth"] = (folder / "pickle.pth", "a published file is imported by fidip weights import")
    save_pose_net(build_pose_net(replace(TINY, backbone="mobilenet-v2", width=0.25)), folder / "other.safetensors")
    made["other.safetensors"] = (
        folder / "other.safetensors",
        "has backbone mobilenet-v2, recipe next expects resnet-18",
    )
    made["nowhere.safetensors"] = (folder / "nowhere.safetensors", "no such file")
    return made


def test_bad_initial_weights_are_one_line_and_nothing_runs(sets, tmp_path, capsys) -> None:
    for name, (file, message) in bad_weights(tmp_path).items():
        complaint = refused(capsys, "next", "--real", sets["real"].file, "--init", file, "--out", tmp_path / "run")
        assert name in complaint
        assert message in complaint, complaint
        assert not (tmp_path / "run").exists() or list((tmp_path / "run").iterdir()) == []
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("call", ["_open", "_write", "_fsync", "_replace"])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    sets, tmp_path, capsys, monkeypatch, call
) -> None:
    arguments = ("plain", "--real", sets["real"].file, "--out", tmp_path / "run")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(fidip.files, call, full)
        complaint = refused(capsys, *arguments)
    assert f"{tmp_path / 'run'}{os.sep}" in complaint
    assert "cannot be written: the disk is full; free some space" in complaint
    assert [path for path in (tmp_path / "run").iterdir() if path.suffix == ".tmp"] == []
    assert main(["train", *map(str, arguments), "--resume"]) == 0
    assert read_json(tmp_path / "run" / "best.json")["figures"]["epoch"] == 1


def unlabel(document) -> None:
    for annotation in document["annotations"]:
        annotation["keypoints"], annotation["num_keypoints"] = [0] * 51, 0


DEFECTS = {
    "empty": (
        lambda d: d.update(images=[], annotations=[]),
        "nobody in its 0 images",
        "nobody has a labelled keypoint",
    ),
    "nobody": (lambda d: d.update(annotations=[]), "nobody in its {n} images", "nobody has a labelled keypoint"),
    "all v=0": (unlabel, "nobody can be used: {n} with no labelled keypoint", "nobody has a labelled keypoint"),
    "one image": (
        lambda d: d.update(images=d["images"][:1], annotations=d["annotations"][:1]),
        "1 usable person; training needs at least 2",
        None,
    ),
}


@pytest.mark.parametrize("option", ["--real", "--validation", "--retain"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_sets_that_are_empty_or_unlabelled_are_told(sets, tmp_path, capsys, defect, option) -> None:
    change, as_training, as_judge = DEFECTS[defect]
    source = sets["real" if option == "--real" else "judge"]
    document = read_json(source.file)
    change(document)
    write_json(tmp_path / "changed.json", document)
    given = {"--real": sets["real"].file, option: tmp_path / "changed.json"}
    options = [part for pair in given.items() for part in pair]
    images = ("--images", source.paths[0].parent) if option == "--real" else ()
    if option != "--real":
        (tmp_path / "images").symlink_to(source.paths[0].parent, target_is_directory=True)
    arguments = ("plain", *options, *images, "--out", tmp_path / "run")
    expected = as_training if option == "--real" else as_judge
    if expected is None:
        assert main(["train", *map(str, arguments)]) == 0
        return
    complaint = refused(capsys, *arguments)
    assert "changed.json" in complaint
    assert expected.format(n=len(source.images)) in complaint
    assert not (tmp_path / "run").exists() or list((tmp_path / "run").iterdir()) == []
