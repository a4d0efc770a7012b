"""Grey values as they are stored, such as depth in millimetres."""

import numpy as np
import pytest
from PIL import Image

from fidip.errors import ImageError
from fidip.images import read_levels


@pytest.mark.parametrize(("dtype", "suffix"), [(np.uint16, "png"), (np.uint16, "tif"), (np.uint8, "png")])
def test_levels_come_back_unscaled(tmp_path, dtype, suffix):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (7, 5), dtype=dtype, endpoint=True)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    levels = read_levels(tmp_path / f"a.{suffix}")
    assert levels.dtype == np.uint16
    assert np.array_equal(levels, values)


def test_levels_of_other_pictures_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.zeros((4, 4), np.uint8)).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "wide.tif")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "none.png").write_bytes(b"x")
    for name in ("rgb.png", "palette.png", "wide.tif", "float.tif", "none.png"):
        with pytest.raises(ImageError, match=name):
            read_levels(tmp_path / name)
