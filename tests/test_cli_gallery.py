from __future__ import annotations

import json
import re
import stat
import threading
import urllib.request
from pathlib import Path

import pytest

from fidip.annotations import Domain
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.coco import read_coco, write_coco
from fidip.gallery.server import GalleryServer
from fidip.images import write_image
from gallery_sets import colours, contents, labelled, made_folder

JPEG = "/9j/"
"""How every JPEG begins in base 64."""


direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def facts_in(page: str) -> dict:
    return json.loads(re.search(r'id="facts">(.*?)</script>', page)[1])


def test_a_page_of_a_synth_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_folder(tmp_path / "set")
    before = contents(tmp_path / "set")
    assert main(["gallery", str(tmp_path / "set"), "--json", str(tmp_path / "report.json")]) == SUCCESS
    page = (tmp_path / "set" / "gallery.html").read_text()
    assert [image["id"] for image in facts_in(page)["images"]] == [1, 2, 3, 4, 5]
    assert not facts_in(page)["live"]
    assert page.count(JPEG) == 5
    assert (
        capsys.readouterr().out
        == f"5 images in {tmp_path / 'set' / 'gallery.html'} ({len(page.encode()) / 1e6:.1f} MB)\n"
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == {
        "folder": str(tmp_path / "set"), "kept": 5, "rejected": [], "page": str(tmp_path / "set" / "gallery.html"),
        "images": 5, "bytes": len(page.encode()),
    }  # fmt: skip
    assert contents(tmp_path / "set") == before | {"gallery.html": page.encode()}


def test_some_of_another_program_s_images_without_their_photos(tmp_path: Path, capsys) -> None:
    images = [labelled(n, domain=[None, Domain.REAL, Domain.SYNTHETIC][n % 3], file_name=f"p{n}.png") for n in range(9)]
    write_coco(tmp_path / "mine.json", images)
    (tmp_path / "photos").mkdir()
    for image in images:
        write_image(tmp_path / "photos" / image.file_name, colours(image))
    options = [
        "--count",
        "6",
        "--seed",
        "1",
        "--images",
        str(tmp_path / "photos"),
        "--out",
        str(tmp_path / "page.html"),
    ]
    assert main(["gallery", str(tmp_path / "mine.json"), *options]) == SUCCESS
    page = (tmp_path / "page.html").read_text()
    shown = facts_in(page)["images"]
    synthetic = sum(image["domain"] == "synthetic" for image in shown)
    assert len(shown) == 6
    assert 0 < synthetic < 6
    assert page.count(JPEG) == synthetic
    said = f"{6 - synthetic} of 6 pictures are not shown"
    assert said in capsys.readouterr().out
    assert said in facts_in(page)["note"]
    assert main(["gallery", str(tmp_path / "mine.json"), *options, "--with-photos"]) == SUCCESS
    page = (tmp_path / "page.html").read_text()
    assert page.count(JPEG) == 6
    assert facts_in(page)["note"] == ""
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600


def test_reject_and_restore_by_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_folder(tmp_path / "set")
    before = contents(tmp_path / "set")
    report = tmp_path / "report.json"
    assert main(["gallery", str(tmp_path / "set"), "--reject", "2", "3", "--json", str(report)]) == SUCCESS
    assert capsys.readouterr().out == f"3 images kept, 2 rejected ({tmp_path / 'set' / 'rejected'})\n"
    assert json.loads(report.read_text())["rejected"] == [2, 3]
    assert [image.id for image in read_coco(tmp_path / "set" / "annotations.json")] == [1, 4, 5]
    assert main(["gallery", str(tmp_path / "set"), "--out", str(tmp_path / "page.html")]) == SUCCESS
    assert [image["id"] for image in facts_in((tmp_path / "page.html").read_text())["images"]] == [1, 4, 5]
    capsys.readouterr()
    assert main(["gallery", str(tmp_path / "set"), "--restore", "3", "2"]) == SUCCESS
    assert capsys.readouterr().out == "5 images kept, 0 rejected\n"
    assert contents(tmp_path / "set") == before


def test_a_served_gallery_decides_until_it_is_ended(tmp_path: Path, monkeypatch, capsys) -> None:
    folder = tmp_path / "set"
    made_folder(folder)
    assert main(["gallery", str(folder), "--reject", "5"]) == SUCCESS
    capsys.readouterr()
    pages = []

    def use(server: GalleryServer) -> None:
        """In the place of serving until Ctrl-C: look, reject, restore, look, Ctrl-C."""
        thread = threading.Thread(target=lambda: [server.handle_request() for _ in range(3)])
        thread.start()
        pages.append(direct.open(server.url).read().decode())
        body = json.dumps({"reject": [2], "restore": [5]}).encode()
        headers = {"Content-Type": "application/json", "Origin": server.origin}
        answer = direct.open(urllib.request.Request(server.url + "decide", body, headers))
        assert json.loads(answer.read()) == {"rejected": [2]}
        pages.append(direct.open(server.url).read().decode())
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(GalleryServer, "serve_forever", use)
    report = tmp_path / "report.json"
    assert main(["gallery", str(folder), "--serve", "--json", str(report)]) == SUCCESS
    for page, rejected in zip(pages, ([5], [2]), strict=True):
        assert facts_in(page)["live"]
        assert facts_in(page)["rejected"] == rejected
        assert [image["id"] for image in facts_in(page)["images"]] == [1, 2, 3, 4, 5]
        assert page.count(JPEG) == 5
    assert [image.id for image in read_coco(folder / "annotations.json")] == [1, 3, 4, 5]
    written = json.loads(report.read_text())
    assert (written["kept"], written["rejected"]) == (4, [2])
    out = capsys.readouterr().out
    assert re.search(r"the gallery is at http://127\.0\.0\.1:\d+/[\w-]{43}/\n", out)
    assert "4 images kept, 1 rejected" in out
    assert not (folder / "gallery.html").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--serve"], "only images in a finished folder of fidip synth can be rejected"),
        (["--reject", "1"], "only images in a finished folder of fidip synth can be rejected"),
        (["--serve", "--out", "a.html"], "leave out --out"),
        (["--count", "0"], "--count 0: at least one image is needed"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path: Path, capsys, options: list[str], problem: str) -> None:
    write_coco(tmp_path / "annotations.json", [labelled(1)])
    before = contents(tmp_path)
    assert main(["gallery", str(tmp_path), *options]) == MISTAKE
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1
    assert contents(tmp_path) == before


def test_a_folder_without_labels_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", str(tmp_path)]) == MISTAKE
    assert f"{tmp_path / 'annotations.json'}: no such file" in capsys.readouterr().err
