"""``fidip check``: what it says of related sets and of strangers, and by which exit code."""

import json
import shutil

import pytest

from fidip.annotations import Domain
from fidip.cli import main
from fidip.images import read_image, write_image
from figures import figure_set


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return {
        "train": figure_set(folder / "train", 5, Domain.REAL, subject="a").file,
        "test": figure_set(folder / "test", 4, Domain.REAL, seed=1, subject="b").file,
        "known": figure_set(folder / "known", 2, Domain.REAL, seed=2, subject="a").file,
    }


def test_strangers_have_nothing_in_common(sets, tmp_path, capsys) -> None:
    report = tmp_path / "report.json"
    assert main(["check", str(sets["train"]), str(sets["test"]), "--json", str(report)]) == 0
    printed = capsys.readouterr().out
    assert f"{sets['train']}: 5 images, 0 without a subject, source or body" in printed
    assert f"{sets['train']} and {sets['test']}: nothing in common" in printed
    told = json.loads(report.read_text())
    assert [each["images"] for each in told["sets"]] == [5, 4]
    assert told["pairs"] == [
        {"sets": [str(sets["train"]), str(sets["test"])], "related": False, "origins": {}, "same": [], "alike": []}
    ]


def test_related_sets_are_named_and_the_exit_code_says_so(sets, tmp_path, capsys) -> None:
    report = tmp_path / "report.json"
    assert main(["check", *map(str, sets.values()), "--json", str(report)]) == 2
    printed, complaint = capsys.readouterr()
    assert f"{sets['train']} and {sets['known']}: 2 subjects\n  the same subject: a0, a1\n" in printed
    assert f"{sets['train']} and {sets['known']} share 2 subjects: keep what is related" in complaint
    assert complaint.count("\n") == 1
    assert [pair["related"] for pair in json.loads(report.read_text())["pairs"]] == [False, True, False]


def test_copies_are_found_in_a_folder_of_photos(sets, tmp_path, capsys) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    source = sets["train"].parent / "images"
    write_image(photos / "again.jpg", read_image(source / "001.png"), 90)
    assert main(["check", str(sets["train"]), str(photos)]) == 0  # looking the same is no proof
    printed = capsys.readouterr().out
    assert f"{photos}: 1 images, 1 without a subject, source or body" in printed
    assert "1 pictures look the same\n  look the same: 001.png ~ again.jpg (" in printed
    shutil.copy(source / "002.png", photos / "renamed.png")
    assert main(["check", str(sets["train"]), str(photos)]) == 2
    assert "identical: 002.png = renamed.png" in capsys.readouterr().out


def test_mistakes_are_one_line(sets, tmp_path, capsys) -> None:
    for arguments, message in (
        ([str(sets["train"])], "check needs two sets or more"),
        ([str(sets["train"]), "nowhere.json"], "nowhere.json: no such file"),
        ([*map(str, sets.values()), "--images", "x"], "--images names 1 folders for 3 sets"),
    ):
        assert main(["check", *arguments]) == 2
        complaint = capsys.readouterr().err
        assert message in complaint
        assert complaint.count("\n") == 1
