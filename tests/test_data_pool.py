"""Windows out of a pool against torch's own sampling, and against pictures that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip.data.pool import Pool, sent

SIZE = (21, 34)


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((40, 31), (1, 57), (63, 8))]


def sampled(picture: np.ndarray, inverse: np.ndarray) -> torch.Tensor:
    """Torch's sampling of one picture, in double precision: −1 and 1 are the outer edges of its outer pixels."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    points = np.stack([x, y], axis=-1) @ inverse[:, :2].T + inverse[:, 2]
    points = (2 * points + 1) / [picture.shape[1], picture.shape[0]] - 1
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].double()
    return F.grid_sample(planes, torch.from_numpy(points)[None], align_corners=False)[0]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=5),
    st.floats(-3.2, 3.2),
    st.floats(0.2, 3),
    st.floats(-40, 60),
    st.floats(-40, 60),
)
def test_windows_are_sampled_as_torch_does(indices, turn, scale, x, y) -> None:
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    inverse = np.array([[cos, sin, x], [-sin, cos, y]])
    maps = np.stack([inverse + n * np.array([0.01, 0.01, 1.5]) for n in range(len(indices))])
    found = Pool.of(pictures(), "cpu").cut(np.array(indices), maps, SIZE)
    assert found.dtype == torch.uint8
    assert found.shape == (len(indices), 3, SIZE[1], SIZE[0])
    assert found.is_contiguous()
    for one, n, affine in zip(found, indices, maps, strict=True):
        assert (one - sampled(pictures()[n], affine)).abs().max() <= 0.51  # rounded


def test_a_map_of_whole_pixels_gives_the_picture_back_and_zeros_around_it() -> None:
    pool, (first, *_) = Pool.of(pictures(), "cpu"), pictures()
    whole = np.array([[[1.0, 0.0, -2.0], [0.0, 1.0, -3.0]]])
    found = pool.cut(np.array([0]), whole, (40, 50))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(found[3:43, 2:33], first)
    found[3:43, 2:33] = 0
    assert not found.any()


def test_pictures_take_their_own_bytes_and_no_more() -> None:
    pool = Pool.of(pictures(), "cpu")
    assert pool.pixels.nbytes == sum(picture.nbytes for picture in pictures())
    for picture, (first, width, height) in zip(pictures(), pool.places.tolist(), strict=True):
        held = pool.pixels[first : first + width * height].view(height, width, 3)
        assert np.array_equal(held.numpy(), picture)
    assert len(Pool.of([], "cpu").pixels) == 0


@pytest.mark.parametrize("values", [np.arange(6.0).reshape(2, 3), np.array([True, False]), np.arange(4)])
def test_what_is_sent_arrives(values) -> None:
    assert np.array_equal(sent(values, "cpu").numpy(), values)
