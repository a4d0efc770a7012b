"""Whatever is rejected, restored, interrupted or killed: labels and files agree in the end and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from fidip import files
from fidip.coco import image_paths, read_coco, write_coco
from fidip.errors import DataError, FidipError, RecipeError, StorageError
from fidip.files import write_bytes, write_json
from fidip.gallery import rejection
from fidip.gallery.rejection import decide
from fidip.synthesis import generate as generate_module
from fidip.synthesis import sample as sample_module
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings
from gallery_sets import contents, labelled, made_folder

IDS = set(range(1, 6))
CALLS = ("_open", "_write", "_fsync", "_replace", "_fsync_folder")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made_folder(tmp_path / "set")
    return tmp_path / "set"


def ids_in(file: Path) -> list[int]:
    return [image.id for image in read_coco(file)] if file.exists() else []


def check_agreement(folder: Path, rejected: Collection[int], everything: dict[str, bytes]) -> None:
    """Labels, decisions and the place of every file say the same, and every file has the bytes that it had."""
    kept = sorted(IDS - set(rejected))
    assert ids_in(folder / "annotations.json") == kept
    assert ids_in(folder / "rejected" / "annotations.json") == sorted(rejected)
    expected = {}
    for name, data in everything.items():
        if name.startswith(("images/", "truth/")):
            number = int(Path(name).name[:6])
            expected[f"rejected/{name}" if number in rejected else name] = data
    found = {name: data for name, data in contents(folder).items() if name.endswith((".png", ".npz"))}
    assert found == expected
    assert (folder / "rejected.json").exists() == (folder / "rejected").exists() == bool(rejected)


def check_nothing_lost(folder: Path, everything: dict[str, bytes]) -> None:
    """What holds at any moment: each label in a file, each file in one place, and no label without its picture."""
    kept, aside = ids_in(folder / "annotations.json"), ids_in(folder / "rejected" / "annotations.json")
    assert set(kept) | set(aside) == IDS
    image_paths(folder / "annotations.json", read_coco(folder / "annotations.json"))
    found = sorted(data for name, data in contents(folder).items() if name.endswith((".png", ".npz")))
    assert found == sorted(data for name, data in everything.items() if name.endswith((".png", ".npz")))
    for number in kept:
        assert (folder / "truth" / f"{number:06d}.npz").exists()


def test_the_rejected_are_set_aside_and_the_others_stay_as_they_are(folder: Path, tmp_path: Path) -> None:
    before, images = contents(folder), read_coco(folder / "annotations.json")
    result = decide(folder, reject=[4, 2])
    assert [image.id for image in result.kept] == [1, 3, 5]
    assert result.rejected_ids == {2, 4}
    check_agreement(folder, {2, 4}, before)
    write_coco(tmp_path / "kept.json", [image for image in images if image.id not in (2, 4)])
    assert (folder / "annotations.json").read_bytes() == (tmp_path / "kept.json").read_bytes()
    assert json.loads((folder / "rejected.json").read_text()) == {"rejected": [2, 4]}
    image_paths(folder / "rejected" / "annotations.json", result.rejected)


def test_what_is_restored_leaves_no_trace(folder: Path) -> None:
    before = contents(folder)
    decide(folder, reject=IDS)
    check_agreement(folder, IDS, before)
    decide(folder, restore=[1, 5])
    decide(folder, restore=[2, 3, 4])
    assert contents(folder) == before
    assert not (folder / "rejected").exists()


def test_any_order_of_decisions_ends_where_the_last_word_on_each_image_says(folder: Path) -> None:
    everything, rejected, draw = contents(folder), set[int](), random.Random(7)
    for _ in range(25):
        chosen = draw.sample(sorted(IDS), draw.randint(1, 4))
        cut = draw.randint(0, len(chosen))
        rejected = (rejected | set(chosen[:cut])) - set(chosen[cut:])
        assert decide(folder, reject=chosen[:cut], restore=chosen[cut:]).rejected_ids == rejected
        check_agreement(folder, rejected, everything)


def test_a_folder_without_ground_truth(tmp_path: Path) -> None:
    made_folder(tmp_path, truth=False)
    decide(tmp_path, reject=[1])
    assert sorted(contents(tmp_path)) == sorted(
        ["annotations.json", "rejected.json", "rejected/annotations.json", "rejected/images/000001.png", "synth.json"]
        + [f"images/{number:06d}.png" for number in range(2, 6)]
    )


DECISIONS = {
    "the first": ((), {"reject": [2, 4]}, {2, 4}),
    "one more": ((2,), {"reject": [3]}, {2, 3}),
    "one less": ((2, 4), {"restore": [2]}, {4}),
    "one for another": ((2, 4), {"reject": [1], "restore": [2]}, {1, 4}),
    "the last": ((2, 4), {"restore": [2, 4]}, set()),
    "all": ((2,), {"reject": [1, 3, 4, 5]}, IDS),
}


class FailingCalls:
    """Makes the n-th call that reaches the disk fail; with ``stuck`` every one after it, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int = 0, stuck: bool = False) -> None:
        self.count = 0

        def wrap(call):
            def wrapped(*arguments):
                self.count += 1
                if self.count == n or (stuck and self.count > n > 0):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return call(*arguments)

            return wrapped

        for name in CALLS:
            monkeypatch.setattr(files, name, wrap(getattr(files, name)))


@pytest.mark.parametrize("stuck", [False, True], ids=["one fault", "a dead disk"])
@pytest.mark.parametrize("case", DECISIONS)
def test_whichever_write_or_rename_fails_nothing_is_lost_and_the_same_command_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, case: str, stuck: bool
) -> None:
    everything = contents(folder)
    earlier, decision, after = DECISIONS[case]
    if earlier:
        decide(folder, reject=earlier)
    template = folder.with_name("template")
    shutil.copytree(folder, template)
    with monkeypatch.context() as patched:
        total = FailingCalls(patched)
        decide(folder, **decision)
    assert total.count > 10
    for n in range(1, total.count + 1):
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
        with monkeypatch.context() as patched:
            FailingCalls(patched, n, stuck)
            with pytest.raises(StorageError, match="cannot be written"):
                decide(folder, **decision)
        check_nothing_lost(folder, everything)
        decide(folder, **decision)
        check_agreement(folder, after, everything)


KILLS = """
import os, shutil, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import test_gallery_rejection as tests
from fidip import files
folder, template, deaths = Path(sys.argv[1]) / "set", Path(sys.argv[1]) / "template", 0
for case, (earlier, decision, after) in tests.DECISIONS.items():
    shutil.rmtree(template, ignore_errors=True)
    tests.made_folder(template)
    everything = tests.contents(template)
    tests.decide(template, reject=earlier)
    n, died = 0, True
    while died:
        n += 1
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        child = os.fork()
        if child == 0:
            count = 0
            def dying(call):
                def wrapped(*arguments, **options):
                    global count
                    count += 1
                    if count == n:
                        os._exit(9)
                    return call(*arguments, **options)
                return wrapped
            for name in tests.CALLS:
                setattr(files, name, dying(getattr(files, name)))
            for name in ("unlink", "rmdir", "mkdir"):
                setattr(os, name, dying(getattr(os, name)))
            tests.decide(folder, **decision)
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        deaths += died
        tests.check_nothing_lost(folder, everything)
        tests.decide(folder)  # any look at the folder goes on; whether the decision was written decides how
        rejected = set(tests.ids_in(folder / "rejected" / "annotations.json"))
        assert rejected in (set(earlier), after), (case, n, rejected)
        tests.check_agreement(folder, rejected, everything)
        tests.decide(folder, **decision)
        tests.check_agreement(folder, after, everything)
        assert not list(folder.rglob("*.tmp"))
print(deaths)
"""


def test_a_kill_at_any_moment_leaves_a_folder_that_goes_on(tmp_path: Path) -> None:
    """A process of its own dies at every call in turn, without any chance to tidy up."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLS, str(tmp_path), str(here)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150


def test_two_programs_at_once_lose_no_decision(folder: Path) -> None:
    everything = contents(folder)

    def reject_each(ids: list[int]) -> None:
        for number in ids:
            decide(folder, reject=[number])

    threads = [threading.Thread(target=reject_each, args=(ids,)) for ids in ([1, 2], [3, 4])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_agreement(folder, {1, 2, 3, 4}, everything)


def test_lost_decisions_are_read_off_the_labels(folder: Path) -> None:
    everything = contents(folder)
    decide(folder, reject=[2])
    (folder / "rejected.json").unlink()
    assert decide(folder).rejected_ids == {2}
    decide(folder, reject=[3])
    check_agreement(folder, {2, 3}, everything)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "expected an object"),
        ({}, "rejected: expected a list of image ids"),
        ({"rejected": [True]}, "rejected: expected a list of image ids"),
        ({"rejected": ["1"]}, "rejected: expected a list of image ids"),
        ({"rejected": [1, 77]}, "no image of this folder has the id 77; take it out"),
    ],
)
def test_damaged_decisions_change_nothing(folder: Path, content: object, problem: str) -> None:
    write_json(folder / "rejected.json", content)
    before = contents(folder)
    with pytest.raises(DataError, match=problem):
        decide(folder, reject=[1])
    assert contents(folder) == before


def test_mistakes_are_named_and_change_nothing(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    with pytest.raises(RecipeError, match="no image has the id 99"):
        decide(folder, reject=[1, 99])
    with pytest.raises(RecipeError, match="image 3 is to be rejected and restored at once"):
        decide(folder, reject=[3], restore=[3])
    assert contents(folder) == before
    (folder / "synth.json").unlink()
    with pytest.raises(RecipeError, match="finished folder of fidip synth"):
        decide(folder, reject=[1])
    with pytest.raises(FidipError, match="finished folder of fidip synth"):
        decide(tmp_path / "nowhere")


def test_another_file_in_the_way_is_not_overwritten(folder: Path) -> None:
    write_bytes(folder / "rejected.txt", b"mine")
    (folder / "rejected" / "images").mkdir(parents=True)
    (folder / "rejected" / "images" / "000002.png").write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"rejected/images/000002\.png: is in the way of .*; move one"):
        decide(folder, reject=[2])
    assert (folder / "rejected" / "images" / "000002.png").read_bytes() == b"mine"
    assert (folder / "images" / "000002.png").exists()
    (folder / "rejected" / "images" / "000002.png").rename(folder / "elsewhere.png")
    assert decide(folder).rejected_ids == {2}


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    made_folder(folder, count=1)
    (tmp_path / "secret.png").write_bytes(b"mine")
    write_coco(folder / "annotations.json", [labelled(1, file_name="../../secret.png")])
    with pytest.raises(DataError, match=r"'\.\.' leads out"):
        decide(folder, reject=[1])
    assert (tmp_path / "secret.png").read_bytes() == b"mine"


def test_a_synth_run_takes_the_rejected_for_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, out = Settings("infant-flat", 3, (32, 32), 0, keep_ground_truth=True), tmp_path / "set"
    generate(out, settings)
    whole = contents(out)
    decide(out, reject=[2])
    before = contents(out)
    monkeypatch.setattr(sample_module, "draw_scene", None)
    assert [image.id for image in generate(out, settings)] == [1, 3]
    assert contents(out) == before
    decide(out, restore=[2])
    assert contents(out) == whole


def test_names_are_those_of_synth() -> None:
    ours = (rejection.MADE_HERE, rejection.ANNOTATIONS, rejection.IMAGES, rejection.TRUTH)
    assert ours == (
        generate_module.SETTINGS, generate_module.ANNOTATIONS, sample_module.IMAGES, sample_module.TRUTH,
    )  # fmt: skip
