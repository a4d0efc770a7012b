"""Films among the unlabelled: which frames are taken, what they are called, that nothing is written, and whole runs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fidip.annotations import Domain, LabelledImage, Person
from fidip.cli import main
from fidip.coco import write_coco
from fidip.data.video import choose_frames
from fidip.errors import DataError, DataWarning, FidipError, ImageError
from fidip.files import read_json
from fidip.images import write_image
from fidip.training.inputs import Inputs, LabelledSet, check_inputs, fingerprints
from fidip.training.run import train
from fidip.training.stages import StepRecord
from fidip.training.teacher import MeanTeacher
from fidip.training.unlabelled import read_unlabelled
from figures import SUPERVISED, figure_set, keypoints, picture

RATE = 8
TAUGHT = replace(
    SUPERVISED, method="mean-teacher", domain_weight=0.5, teacher=MeanTeacher(decay=0.9, confidence=0.01), epochs=1
)


def write_film(path, frames, code="mp4v", rate=RATE):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def frame(number: int, blurred: bool) -> np.ndarray:
    """A figure before a ground whose redness is the number; most frames are out of focus."""
    rng = np.random.default_rng(number)
    pixels = picture(keypoints(rng, (96, 64)), rng, (96, 64), Domain.SYNTHETIC)
    pixels[:16, :16] = (9 * number, 0, 0)
    return cv2.GaussianBlur(pixels, None, 2.5) if blurred else pixels


SHARP = {3, 8, 19, 24}
"""One in each second of eight frames but the last, which is half a second long."""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return write_film(folder / "crib.mp4", [frame(n, n not in SHARP) for n in range(28)])


def redness(pixels) -> float:
    return float(pixels[2:12, 2:12, 0].mean())


@pytest.mark.parametrize(("code", "name"), [("mp4v", "a.mp4"), ("MJPG", "a.avi"), ("mp4v", "a.mkv"), ("mp4v", "a.mov")])
def test_the_sharpest_frame_of_every_second_is_chosen(tmp_path, code, name) -> None:
    path = write_film(tmp_path / name, [frame(n, n not in SHARP) for n in range(28)], code)
    looked = []
    assert choose_frames(path, 1.0, tick=lambda: looked.append(1)) == (sorted(SHARP), (96, 64))
    assert len(looked) == 28
    assert len(choose_frames(path, 100.0)[0]) == 1
    every = choose_frames(path, 1 / RATE)[0]
    assert every == list(range(28))
    assert choose_frames(path, 1 / RATE, at_most=4)[0] == [0, 9, 18, 27]


def test_frames_are_pictures_of_one_source(film) -> None:
    found = read_unlabelled(film.parent)
    assert [image.file_name for image in found.images] == [f"crib.mp4-{n:06}.png" for n in sorted(SHARP)]
    assert {image.source for image in found.images} == {"crib.mp4"}
    assert [image.people[0].box for image in found.images] == [(0.0, 0.0, 96.0, 64.0)] * 4
    for path, number in zip(found.paths, sorted(SHARP), strict=True):
        assert path == film / f"crib.mp4-{number:06}.png"
        assert redness(found.picture(path)) == pytest.approx(9 * number, abs=8)
    back = [redness(found.picture(path)) for path in reversed(found.paths)]  # in any order
    assert back == pytest.approx([9 * n for n in sorted(SHARP, reverse=True)], abs=8)
    assert len({found.digest(path) for path in found.paths}) == 4
    again = read_unlabelled(film)
    assert [again.digest(path) for path in again.paths] == [found.digest(path) for path in found.paths]


def test_boxes_are_joined_by_the_frames_names(film, tmp_path) -> None:
    nobody = np.zeros((17, 3))
    images = [
        LabelledImage(n, f"somewhere/crib.mp4-{n:06}.png", 96, 64, (Person(nobody, box=(n, 2.0, 30.0, 40.0)),))
        for n in (5, 20)
    ]
    write_coco(tmp_path / "boxes.json", images)
    found = read_unlabelled(film, tmp_path / "boxes.json")
    assert [image.file_name for image in found.images] == ["crib.mp4-000005.png", "crib.mp4-000020.png"]
    assert [image.people[0].box for image in found.images] == [(5.0, 2.0, 30.0, 40.0), (20.0, 2.0, 30.0, 40.0)]
    assert redness(found.picture(found.paths[1])) == pytest.approx(180, abs=8)
    write_coco(tmp_path / "beyond.json", [replace(images[0], file_name="crib.mp4-000028.png")])
    beyond = read_unlabelled(film, tmp_path / "beyond.json")
    with pytest.raises(ImageError, match=r"crib\.mp4: ends or is damaged before frame 28"):
        beyond.picture(beyond.paths[0])


def test_a_frame_that_judges_is_found_by_its_source_and_by_its_look(film, tmp_path) -> None:
    unlabelled = read_unlabelled(film)
    synthetic = figure_set(tmp_path / "s", 4, Domain.SYNTHETIC, seed=4)
    judge = figure_set(tmp_path / "v", 1, Domain.REAL, seed=5, size=(96, 64))
    write_image(judge.paths[0], frame(8, blurred=False))  # as somebody labelled it
    inputs = Inputs(synthetic=synthetic, unlabelled=unlabelled, validation=judge)
    check_inputs(TAUGHT, inputs)
    with pytest.warns(DataWarning, match=r"000\.png like crib\.mp4-000008\.png of --unlabelled \("):
        fingerprints(inputs, lambda: None)
    named = LabelledSet(judge.file, [replace(judge.images[0], source="crib.mp4")], judge.paths)
    with pytest.raises(DataError, match=r"shares the source crib\.mp4 with --unlabelled"):
        check_inputs(TAUGHT, replace(inputs, validation=named))


class StoppedError(Exception):
    pass


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_run_learns_from_a_film_resumes_and_writes_no_frame(film, tmp_path, capsys, monkeypatch) -> None:
    synthetic = figure_set(tmp_path / "s", 6, Domain.SYNTHETIC)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = files_below(tmp_path), files_below(film.parent)
    inputs = Inputs(synthetic=synthetic, unlabelled=read_unlabelled(film.parent))
    result = train(TAUGHT, inputs, tmp_path / "run")
    left = {path for path in files_below(tmp_path) - before[0] if path != "run"}
    assert left == {
        f"run/{name}" for name in ("best.safetensors", "best.json", "history.jsonl", "timings.jsonl", "checkpoint")
    }
    assert files_below(film.parent) == before[1]
    assert read_json(tmp_path / "run" / "best.json")["data"]["unlabelled"]["images"] == 4

    def stop(event):
        if isinstance(event, StepRecord):
            raise StoppedError

    recipe, photos = replace(TAUGHT, save_every=1), read_unlabelled(film.parent)
    with pytest.raises(StoppedError):
        train(recipe, replace(inputs, unlabelled=photos), tmp_path / "stopped", watch=stop)
    train(recipe, replace(inputs, unlabelled=read_unlabelled(film.parent)), tmp_path / "stopped", resume=True)
    assert (tmp_path / "stopped" / "best.safetensors").read_bytes() == result.weights.read_bytes()


def test_from_the_command_line(film, tmp_path, capsys, monkeypatch) -> None:
    from fidip import recipes

    monkeypatch.setattr(recipes, "RECIPES", {"taught": replace(TAUGHT, name="taught")})
    synthetic = str(figure_set(tmp_path / "s", 4, Domain.SYNTHETIC).file)
    arguments = ["train", "taught", "--synthetic", synthetic, "--out", str(tmp_path / "run")]
    assert main([*arguments, "--unlabelled-every", "0.5"]) == 2
    assert "--unlabelled-every without --unlabelled: name the folder" in capsys.readouterr().err
    assert main([*arguments, "--unlabelled", str(film), "--unlabelled-every", "0"]) == 2
    assert "a frame every 0 seconds; give a number above 0" in capsys.readouterr().err
    assert main([*arguments, "--unlabelled", str(film), "--unlabelled-every", "0.5"]) == 0
    assert "7 real and 4 synthetic people" in capsys.readouterr().out
    assert main(["check", synthetic, str(film)]) == 0
    assert "4 images, 0 without a subject, source or body" in capsys.readouterr().out


def test_a_film_that_cannot_be_read_is_named(film, tmp_path) -> None:
    for name, content, message in (
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not an MP4, MOV"),
        ("empty.mov", b"", "not an MP4, MOV"),
        ("cut.mp4", film.read_bytes()[:200], r"(cannot be opened as a video|no frame of it)"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FidipError, match=f"{name}: {message}"):
            read_unlabelled(tmp_path / name)
        (tmp_path / name).unlink()
