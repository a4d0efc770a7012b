"""A folder of labelled images: whole or not there, names made unique, inputs untouched."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip import files
from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import read_coco
from fidip.data.folder import Picture, summary, writing_folder
from fidip.errors import DataError, ImageError, RecipeError, StorageError
from source_folders import picture


def record(name: str, domain: Domain | None = Domain.REAL, **fields: object) -> LabelledImage:
    person = Person(np.eye(17, 3) * 2, box=(1, 2, 3, 4), area=12.0, id=77)
    return LabelledImage(5, name, 16, 8, (person,), domain, **fields)  # type: ignore[arg-type]


def test_images_and_ids_are_numbered_from_one(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", (16, 8))
    with writing_folder(tmp_path / "out") as labelled:
        assert labelled.add(Picture(record("x/a.png"), source)) == "x/a.png"
        assert labelled.add(Picture(record("b.png"), b"bytes")) == "b.png"
    first, second = read_coco(tmp_path / "out/annotations.json")
    assert [(image.id, image.people[0].id) for image in (first, second)] == [(1, 1), (2, 2)]
    assert (tmp_path / "out/images/x/a.png").read_bytes() == source.read_bytes()
    assert (tmp_path / "out/images/b.png").read_bytes() == b"bytes"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["annotations.json", "images"]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["a.jpg", "A.JPG", "a-2.jpg", "b/a.jpg", "B/a.jpg", "a"]), max_size=8))
def test_names_are_unique_on_disks_that_ignore_case(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    out = tmp_path_factory.mktemp("folder") / "out"
    with writing_folder(out) as labelled:
        given = [labelled.add(Picture(record(name), name.encode())) for name in names]
    assert len({name.casefold() for name in given}) == len(names)
    for asked, got in zip(names, given, strict=True):
        assert (out / "images" / got).read_bytes() == asked.encode()
    assert given[:1] == names[:1]


def test_a_link_is_the_same_file(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", (16, 8))
    with writing_folder(tmp_path / "out", "link") as labelled:
        labelled.add(Picture(record("a.png"), source))
    assert source.samefile(tmp_path / "out/images/a.png")


def test_a_link_that_cannot_be_made_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source = picture(tmp_path / "a.png", (16, 8))
    with pytest.raises(StorageError, match="use --files copy"), writing_folder(tmp_path / "out", "link") as labelled:
        labelled.add(Picture(record("a.png"), source))
    assert not (tmp_path / "out").exists()


def test_references_stay_below_their_root(tmp_path: Path) -> None:
    source = picture(tmp_path / "in/deep/a.png", (16, 8))
    with writing_folder(tmp_path / "out", "reference", tmp_path / "in") as labelled:
        assert labelled.add(Picture(record("a.png"), source)) == "deep/a.png"
        with pytest.raises(RecipeError, match="no file to refer to"):
            labelled.add(Picture(record("b.png"), b"bytes"))
    assert not (tmp_path / "out/images").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
@pytest.mark.parametrize("existed", [True, False])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException], existed: bool) -> None:
    out = tmp_path / "deep/out"
    if existed:
        out.mkdir(parents=True)

    def fill() -> None:
        with writing_folder(out) as labelled:
            labelled.add(Picture(record("x/b.png"), b"bytes"))
            raise error("a", "b", "c") if error is DataError else error

    with pytest.raises(error):
        fill()
    assert out.exists() == existed
    assert not existed or list(out.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(28, "No space left on device")
        return os.write(descriptor, data)

    monkeypatch.setattr(files, "_write", write)

    def fill() -> None:
        with writing_folder(tmp_path / "out") as labelled:
            for n in range(5):
                labelled.add(Picture(record(f"{n}.png"), b"bytes"))

    with pytest.raises(StorageError, match="the disk is full"):
        fill()
    assert not (tmp_path / "out").exists()


def test_names_that_lead_out_and_files_that_are_gone_are_refused(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "out") as labelled:
        for name in ("../x.png", "/x.png", "a/../../x.png", ""):
            with pytest.raises(DataError, match="file name"):
                labelled.add(Picture(record(name), b"bytes"))
        with pytest.raises(ImageError, match="no such file"):
            labelled.add(Picture(record("y.png"), tmp_path / "gone.png"))
        labelled.add(Picture(record("z.png"), b"bytes"))
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["z.png"]


def test_a_set_of_both_domains_has_a_file_for_each(tmp_path: Path) -> None:
    domains = (Domain.REAL, Domain.SYNTHETIC, None, Domain.SYNTHETIC)
    with writing_folder(tmp_path / "out") as labelled:
        for n, domain in enumerate(domains):
            labelled.add(Picture(record(f"{n}.png", domain, posture="Prone", subject=f"S{n // 2}"), b"x"))
    assert [image.id for image in read_coco(tmp_path / "out/synthetic.json")] == [2, 4]
    assert [image.id for image in read_coco(tmp_path / "out/real.json")] == [1]
    assert len(read_coco(tmp_path / "out/annotations.json")) == 4
    assert summary(labelled.images) == {
        "images": 4,
        "people": 4,
        "keypoints": {"unlabelled": 64, "occluded": 0, "visible": 4},
        "domains": {"real": 1, "synthetic": 2, "unknown": 1},
        "postures": {"Prone": 4},
        "sources": 0,
        "subjects": 2,
    }
    assert summary([])["keypoints"] == {"unlabelled": 0, "occluded": 0, "visible": 0}
