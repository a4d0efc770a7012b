from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fidip.errors import DataError, DataWarning, ImageError, RecipeError
from fidip.images import write_image
from fidip.synthesis.appearance import CLOTH_SIZE, AssetBank, asset_bank
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.pictures import LARGEST_BACKGROUND, PictureFolder, UserPictures, backdrop, cloth
from fidip.synthesis.surface import surface_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir()
    for name, side in (("b.png", 40), ("a.jpg", 64)):
        write_image(made / name, np.full((side, side + 8, 3), (200, 30, 90), np.uint8))
    (made / "notes.txt").write_text("no picture")
    return made


def test_a_folder_is_its_usable_pictures_by_name(folder: Path) -> None:
    opened = PictureFolder.open(folder)
    assert opened.files == ("a.jpg", "b.png")
    assert opened.read(1).shape == (40, 48, 3)


def test_what_cannot_be_used_is_named_and_left_out(folder: Path) -> None:
    before = PictureFolder.open(folder)
    (folder / "torn.jpg").write_bytes((folder / "a.jpg").read_bytes()[:300])
    write_image(folder / "tiny.png", np.zeros((31, 200, 3), np.uint8))
    with pytest.warns(DataWarning) as warned:
        opened = PictureFolder.open(folder)
    words = sorted(str(warning.message) for warning in warned)
    assert "tiny.png: 200x31 pixels; a side of at least 32 is needed: left out" in words[0]
    assert "torn.jpg" in words[1]
    assert opened == before


def test_the_fingerprint_follows_names_and_bytes(folder: Path) -> None:
    before = UserPictures.open(folder, None).fingerprints()
    assert before == {"textures": PictureFolder.open(folder).sha256}
    (folder / "b.png").rename(folder / "c.png")
    renamed = UserPictures.open(folder, None).fingerprints()
    write_image(folder / "c.png", np.zeros((40, 40, 3), np.uint8))
    assert (
        len({before["textures"], renamed["textures"], UserPictures.open(folder, None).fingerprints()["textures"]}) == 3
    )


def test_a_folder_that_is_missing_or_holds_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        PictureFolder.open(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(RecipeError, match="no picture in it can be used"):
        PictureFolder.open(tmp_path)


def test_a_picture_that_changed_or_went_away_is_named(folder: Path) -> None:
    opened = PictureFolder.open(folder)
    write_image(folder / "b.png", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(ImageError, match=r"b\.png: has changed since the run began"):
        opened.read(1)
    (folder / "a.jpg").unlink()
    with pytest.raises(ImageError, match=r"a\.jpg"):
        opened.read(0)


def test_cloth_repeats_without_a_seam() -> None:
    rng = np.random.default_rng(0)
    made = cloth(rng.integers(0, 256, (50, 90, 3), dtype=np.uint8), 64)
    assert made.shape == (64, 64, 4)
    assert (made[..., 3] == 255).all()
    np.testing.assert_array_equal(made[:, 0], made[:, -1])
    np.testing.assert_array_equal(made[0], made[-1])
    assert made[..., :3].std() > 20


def test_large_backgrounds_are_shrunk_and_others_left_alone() -> None:
    small = np.zeros((100, 300, 3), np.uint8)
    assert backdrop(small) is small
    assert backdrop(np.zeros((100, 4 * LARGEST_BACKGROUND, 3), np.uint8)).shape == (25, LARGEST_BACKGROUND, 3)


def test_the_user_s_pictures_join_those_of_the_bank(folder: Path) -> None:
    surface = surface_of(AnnyBody.load())
    own, joined = asset_bank("a", surface), AssetBank("a", surface, UserPictures.open(folder, folder))
    assert len(joined.fabrics) == len(own.fabrics) + 2
    assert len(joined.pictures) == len(joined.picture_kinds) == len(own.pictures) + 2
    guest = joined.fabrics[len(own.fabrics)]
    assert guest.shape == (CLOTH_SIZE, CLOTH_SIZE, 4)
    assert np.abs(guest[..., :3].mean((0, 1)) - (200, 30, 90)).max() < 4
    np.testing.assert_array_equal(joined.fabrics[0], own.fabrics[0])
    np.testing.assert_array_equal(joined.pictures[-1], np.full((40, 48, 3), (200, 30, 90), np.uint8))
