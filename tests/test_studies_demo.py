"""The demo on a handful of images: all of its parts run, its report reads well, and it goes on where it stood."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fidip.cli import main
from fidip.errors import RecipeError, StorageError
from fidip.recipes import RECIPES
from fidip.studies import demo as demo_module
from fidip.studies.demo import DemoSize, demo_arms, demo_facts, run_demo
from fidip.studies.demo_report import demo_report, demo_table

TINY = DemoSize(
    synthetic=8, real=6, validation=4, test=8, held_out=8, adults=6, epochs=1, steps_per_epoch=2
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One tiny demo for all tests of this file."""
    patch = pytest.MonkeyPatch()
    patch.setattr(demo_module, "IMAGE_SIZE", (64, 64))
    out = tmp_path_factory.mktemp("demo") / "run"
    yield out, run_demo(out, 0, TINY, 2, lambda *_: None)
    patch.undo()


class Words(HTMLParser):
    """The text of a page and the addresses in it."""

    def __init__(self, page):
        super().__init__()
        self.text, self.sources = "", []
        self.feed(page)

    def handle_starttag(self, _tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_every_network_is_measured_and_compared_with_its_control(finished):
    _, result = finished
    table = demo_table(result)
    assert [row[0] for row in table.rows] == [arm.title for arm in result.arms]
    assert [arm.control for arm in result.arms] == [None, "source", "source", "source", "both"]
    assert {found.images for found in result.evaluated.values()} == {TINY.test}
    assert set(result.differences) == {"real", "synthetic", "both", "fidip"}
    assert [line["stage"] for line in result.histories["fidip"]][-1] == "adapt"


def test_report_is_self_contained_and_tells_the_settings(finished):
    _, result = finished
    words = Words(demo_report(result, demo_facts(result)))
    assert words.sources
    assert all(source.startswith("data:image/") for source in words.sources)
    for expected in ("simulated-real infants", "Failures", "linear probe", "fidip demo --seed 0", "torch 2."):
        assert expected in words.text


def test_a_finished_demo_is_read_again(finished):
    out, result = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = run_demo(out, 0, TINY, 2, lambda *_: None)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before
    assert [again.evaluated[n].AP for n in again.evaluated] == [result.evaluated[n].AP for n in result.evaluated]


def test_another_demo_is_not_mixed_in(finished, tmp_path):
    out, _ = finished
    with pytest.raises(StorageError, match="another --out"):
        run_demo(out, 1, TINY, 2, lambda *_: None)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"not empty and not a demo's folder"):
        run_demo(tmp_path, 0, TINY, 2, lambda *_: None)


def test_a_demo_of_another_start_is_not_gone_on_with(tmp_path, monkeypatch):
    """The record holds the source network's hash and the version; rendering is where these demos end."""

    class StoppedError(Exception):
        pass

    def render(*_):
        raise StoppedError

    monkeypatch.setattr(demo_module, "render", render)
    for source, version, error in (
        ("a", "1", StoppedError),
        ("a", "1", StoppedError),
        ("b", "1", StorageError),
        ("a", "2", StorageError),
    ):
        monkeypatch.setattr(demo_module, "weights_sha256", {"adult-small": source}.__getitem__)
        monkeypatch.setattr(demo_module, "__version__", version)
        with pytest.raises(error):
            run_demo(tmp_path / "demo", 0, TINY, 2, lambda *_: None)


def test_a_file_is_no_folder_for_a_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_module, "weights_sha256", lambda _: "a")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file: a file, not a folder; choose another"):
        run_demo(tmp_path / "file", 0, TINY, 2, lambda *_: None)


def test_a_negative_seed_is_refused_before_anything_is_rendered(tmp_path):
    with pytest.raises(RecipeError, match="--seed -1: a seed is 0 or more"):
        run_demo(tmp_path / "demo", -1, TINY, 2, lambda *_: None)
    assert not (tmp_path / "demo").exists()


def test_arms_differ_in_nothing_but_what_their_row_is_about(tmp_path):
    parts = ("test", "real", "validation", "synthetic", "held-out", "adults-real", "adults-synthetic")
    fidip = RECIPES["fidip-small"]
    arms = {arm.name: arm for arm in demo_arms({part: tmp_path / part for part in parts}, fidip)}
    assert arms["fidip"].recipe == replace(fidip, name="demo-fidip")
    assert arms["both"].recipe == replace(fidip, name="demo-both", domain_weight=0.0)
    assert (arms["both"].real, arms["both"].synthetic) == (arms["fidip"].real, arms["fidip"].synthetic)
    alone = arms["real"].recipe
    kept = ("epochs", "batch_size", "steps_per_epoch", "learning_rate", "augmentation", "frozen", "seed", "cosine")
    assert all(getattr(alone, field) == getattr(fidip, field) for field in kept)
    assert (arms["real"].synthetic, arms["synthetic"].real) == (None, None)


def test_the_command_prints_the_table_and_writes_the_report(finished, monkeypatch, capsys, tmp_path):
    out, _ = finished
    monkeypatch.setattr(demo_module, "QUICK", TINY)
    assert main(["demo", "--quick", "--out", str(out), "--json", str(tmp_path / "demo.json")]) == 0
    shown = capsys.readouterr().out
    assert "FiDIP" in shown
    assert "report.html" in shown
    assert (out / "report.html").stat().st_size > 100_000
    assert set(json.loads((tmp_path / "demo.json").read_text())) == {
        "source", "real", "synthetic", "both", "fidip", "facts",
    }  # fmt: skip
