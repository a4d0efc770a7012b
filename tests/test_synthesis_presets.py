"""The paper's procedure as one word, and numbers that replace its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fidip.synthesis.generate as generate_module
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.coco import read_coco
from fidip.errors import RecipeError
from fidip.images import encode_image
from fidip.synthesis.appearance import USERS, AssetBank
from fidip.synthesis.bodies import BodyChoice
from fidip.synthesis.pictures import PictureFolder
from fidip.synthesis.presets import PAPER, parse_take
from fidip.synthesis.sample import Settings
from fidip.synthesis.surface import surface_of
from smpl_cases import write_body, write_fits_folder


def fill(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.full((32, 32, 3), (number % 250, number // 250, 77), np.uint8)
        (folder / f"{number:04d}.png").write_bytes(encode_image(pixels, ".png"))
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somewhat more of everything than the paper used."""
    folder = tmp_path_factory.mktemp("paper")
    write_body(folder / "smil.npz", layout="smpl")
    write_fits_folder(folder / "fits", 110)
    fill(folder / "maps" / "infant", 15)
    fill(folder / "maps" / "clothing", 490)
    fill(folder / "rooms", 620)
    return folder


def arguments(files: Path, out: Path) -> list[str]:
    named = {"fits": "fits", "body-file": "smil.npz", "body-textures": "maps", "backgrounds": "rooms"}
    options = [word for option, name in named.items() for word in (f"--{option}", str(files / name))]
    return ["synth", str(out), "--recipe", "paper", "--body", "smpl", *options]


def test_one_word_takes_the_papers_numbers(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []

    def note(_: Path, settings: Settings, *rest: Any) -> list[Any]:
        asked.append(settings)
        return []

    monkeypatch.setattr(generate_module, "generate", note)
    assert main(arguments(files, tmp_path / "set")) == SUCCESS
    assert main([*arguments(files, tmp_path / "set"), "--seed", "1"]) == SUCCESS
    settings, other = asked
    assert (settings.count, settings.size, settings.style) == (504, (640, 480), "infant-flat")
    fitted, pictures = settings.fitted, settings.pictures
    assert fitted is not None
    assert pictures.backgrounds is not None
    assert len(set(fitted.shown)) == 504
    assert len({row for row, _ in fitted.shown}) <= 100
    assert {turn for _, turn in fitted.shown} == set(range(10))
    assert [len(kind.files) for kind in pictures.bodies] == [12, 478]
    assert len(pictures.backgrounds.files) == 600
    assert other.pictures.backgrounds != pictures.backgrounds
    assert settings.to_json() != other.to_json()
    bank = AssetBank("a", surface_of(settings.body.load()), pictures)
    assert bank.picture_kinds == (USERS,) * 600 == (USERS,) * len(bank.pictures)
    assert len(bank.bodies) == len(bank.body_names) == 490
    number = int(Path(bank.body_names[20]).stem)
    assert bank.body_names[20].startswith("clothing/")
    assert bank.bodies[20][0, 0].tolist() == [number % 250, number // 250, 77, 255]


def test_options_replace_numbers_and_the_images_are_made(files: Path, tmp_path: Path) -> None:
    less = ["--select", "2", "--rotations", "2", "--keep", "3", "--size", "96", "--take", "infant=1", "clothing=2"]
    assert main([*arguments(files, tmp_path / "set"), *less]) == SUCCESS
    images = read_coco(tmp_path / "set" / "annotations.json")
    assert [(image.width, image.height) for image in images] == [(96, 96)] * 3
    assert all(image.extras["scene"]["body_texture"].endswith(".png") for image in images)
    assert len({image.subject for image in images}) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--take", "clothing=500"], "clothing: 500 pictures are needed, 490 of those in it can be used"),
        (["--take", "backgrounds=621"], "rooms: 621 pictures are needed, 620 of those in it can be used"),
        (["--body-textures", "maps/infant"], "infant: no sub-folder infant, where 12 textures are looked for"),
        (["--select", "111"], "110 of 110 fits are plausible, 111 are asked for"),
        (["--take", "diapers=3"], "--take diapers=3: give a kind and a number"),
    ],
)
def test_too_little_is_named_with_what_is_there(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    options: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(files)
    assert main([*arguments(files, tmp_path / "set"), *options]) == MISTAKE
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe", "paper"], "--recipe paper: needs --fits DIR, --body-textures DIR and --backgrounds DIR"),
        (["--count", "1", "--take", "infant=1"], "--take infant=1: there are none to choose from; add --body-textures"),
        (["--count", "1", "--body", "smpl"], "the body smpl needs a file"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main(["synth", str(tmp_path / "set"), *options]) == MISTAKE
    assert words in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_so_many_pictures_are_chosen_by_the_seed_and_unusable_ones_replaced(files: Path, tmp_path: Path) -> None:
    whole = PictureFolder.open(files / "rooms")
    some = PictureFolder.open(files / "rooms", 40, seed=2)
    assert some == PictureFolder.open(files / "rooms", 40, seed=2)
    assert some.files == tuple(sorted(set(some.files) & set(whole.files)))
    assert len(some.files) == 40
    assert len({PictureFolder.open(files / "rooms", 40, seed=seed).files for seed in range(4)}) == 4
    assert (
        PictureFolder.open(files / "maps" / "infant", 15).sha256 == PictureFolder.open(files / "maps" / "infant").sha256
    )
    mixed = fill(tmp_path / "mixed", 3)
    (mixed / "torn.png").write_bytes(b"\x89PNG")
    with pytest.warns(match=r"torn\.png.*left out"), pytest.raises(RecipeError, match="3 of those in it can be used"):
        PictureFolder.open(mixed, 4)


def test_numbers_of_kinds_are_read_or_refused() -> None:
    assert parse_take(("infant=3", "backgrounds=600")) == {"infant": 3, "backgrounds": 600}
    for text in ("infant", "infant=", "infant=0", "infant=-1", "infant=1.5", "Infant=1", "=3"):
        with pytest.raises(RecipeError, match="give a kind and a number, such as infant=12"):
            parse_take((text,))
    assert sum(PAPER.take[kind] for kind in ("infant", "clothing")) == 490


def test_the_choice_of_the_bundled_body_names_its_file() -> None:
    assert BodyChoice.open("anny") == BodyChoice()
    assert list(BodyChoice().hashes()) == ["anny_bundle.npz"]
