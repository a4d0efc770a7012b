"""Small grey copies show what the whole picture shows, however it is stored."""

import cv2
import numpy as np
import pytest
from PIL import Image

from fidip.errors import ImageError
from fidip.images import grey_shrunk, grey_thumbnail, read_image

SIDE = 8
RNG = np.random.default_rng(3)
COLOUR = np.kron(RNG.integers(20, 236, (8, 8, 3), dtype=np.uint8), np.ones((12, 16, 1), np.uint8))  # 96 x 128
GREY = COLOUR[..., 0]
STORED = {
    "colour.png": (Image.fromarray(COLOUR), {}),
    "colour.jpg": (Image.fromarray(COLOUR), {"quality": 95}),
    "grey.jpg": (Image.fromarray(GREY), {"quality": 95}),
    "deep.png": (Image.fromarray(GREY.astype(np.uint16) * 257), {}),
    "palette.png": (Image.fromarray(COLOUR).quantize(64), {}),
    "ink.jpg": (Image.fromarray(COLOUR).convert("CMYK"), {"quality": 95}),
    "clear.png": (Image.fromarray(np.dstack([COLOUR, GREY])), {}),
    "see-through.png": (Image.fromarray(GREY), {"transparency": 40}),
    "turned.jpg": (Image.fromarray(COLOUR), {"quality": 95, "exif": (6, "right")}),
    "mirrored.png": (Image.fromarray(COLOUR), {"exif": (2, "left")}),
}


@pytest.mark.parametrize("name", STORED)
def test_a_thumbnail_is_the_upright_picture_in_grey_shrunk_by_area(tmp_path, name) -> None:
    image, options = STORED[name]
    if "exif" in options:
        exif = Image.Exif()
        exif[0x0112] = options["exif"][0]
        options = options | {"exif": exif}
    image.save(tmp_path / name, **options)
    whole = cv2.cvtColor(read_image(tmp_path / name), cv2.COLOR_RGB2GRAY)
    expected = cv2.resize(whole, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(float)
    small = grey_thumbnail(tmp_path / name, SIDE)
    assert small.shape == (SIDE, SIDE)
    assert small.dtype == np.uint8
    assert np.abs(small - expected).max() <= (3 if name.endswith("jpg") else 1)
    assert np.abs(grey_shrunk(read_image(tmp_path / name), SIDE) - expected).max() <= 1


def test_a_truncated_file_is_an_error_of_its_own(tmp_path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    with pytest.raises(ImageError, match=r"half\.jpg: damaged"):
        grey_thumbnail(tmp_path / "half.jpg", SIDE)
