"""Heatmaps against loops written from the published descriptions, closed forms, and round trips."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip.heatmaps import decode_heatmaps, encode_heatmaps

WIDTH, HEIGHT = 48, 64


def encode(x: float, y: float, sigma: float = 2.0, encoding: str = "unbiased") -> torch.Tensor:
    maps, _ = encode_heatmaps(torch.tensor([[[x, y]]]), torch.ones(1, 1), (WIDTH, HEIGHT), sigma, encoding)
    return maps


def published_target(x: float, y: float, sigma: int) -> tuple[np.ndarray, float]:
    """SimpleBaseline's target for one keypoint, a patch pasted around a rounded centre."""
    target = np.zeros((HEIGHT, WIDTH), np.float32)
    mu_x, mu_y, reach = int(x + 0.5), int(y + 0.5), sigma * 3
    left, top, right, bottom = mu_x - reach, mu_y - reach, mu_x + reach + 1, mu_y + reach + 1
    if left >= WIDTH or top >= HEIGHT or right < 0 or bottom < 0:
        return target, 0.0
    for row in range(max(top, 0), min(bottom, HEIGHT)):
        for column in range(max(left, 0), min(right, WIDTH)):
            target[row, column] = np.exp(-((column - mu_x) ** 2 + (row - mu_y) ** 2) / (2 * sigma**2))
    return target, 1.0


def published_dark(heatmap: np.ndarray, blur: int) -> np.ndarray:
    """DARK for one map: smooth the whole zero-padded map, rescale to its old maximum, Taylor step of the logarithm."""
    border = (blur - 1) // 2
    padded = np.zeros((HEIGHT + 2 * border, WIDTH + 2 * border))
    padded[border : border + HEIGHT, border : border + WIDTH] = heatmap
    smooth = cv2.GaussianBlur(padded, (blur, blur), 0)[border : border + HEIGHT, border : border + WIDTH]
    smooth = np.log(np.maximum(smooth * heatmap.max() / smooth.max(), 1e-10))
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    if not (1 < x < WIDTH - 2 and 1 < y < HEIGHT - 2):
        return np.array([x, y], float)
    gradient = 0.5 * np.array([smooth[y, x + 1] - smooth[y, x - 1], smooth[y + 1, x] - smooth[y - 1, x]])
    dxx = 0.25 * (smooth[y, x + 2] - 2 * smooth[y, x] + smooth[y, x - 2])
    dyy = 0.25 * (smooth[y + 2, x] - 2 * smooth[y, x] + smooth[y - 2, x])
    dxy = 0.25 * (smooth[y + 1, x + 1] - smooth[y - 1, x + 1] - smooth[y + 1, x - 1] + smooth[y - 1, x - 1])
    return np.array([x, y]) - np.linalg.inv(np.array([[dxx, dxy], [dxy, dyy]])) @ gradient


@settings(deadline=None, max_examples=60)
@given(st.floats(-12, WIDTH + 12), st.floats(-12, HEIGHT + 12), st.sampled_from([1, 2, 3]))
def test_quantised_encoding_is_the_published_patch(x, y, sigma):
    x, y = float(np.float32(x)), float(np.float32(y))
    maps, weights = encode_heatmaps(torch.tensor([[[x, y]]]), torch.ones(1, 1), (WIDTH, HEIGHT), sigma, "quantised")
    expected, weight = published_target(x, y, sigma)
    assert weights.item() == weight
    np.testing.assert_allclose(maps[0, 0].numpy(), expected, atol=1e-6)


def test_unbiased_encoding_is_the_closed_form():
    maps = encode(10.3, 20.8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    expected = np.exp(-((columns - 10.3) ** 2 + (rows - 20.8) ** 2) / 8)
    np.testing.assert_allclose(maps[0, 0].numpy(), expected, atol=1e-6)


def test_unlabelled_and_unreachable_keypoints_leave_empty_maps():
    points = torch.tensor([[[10.0, 10.0], [-50.0, 10.0], [20.0, 20.0]]])
    maps, weights = encode_heatmaps(points, torch.tensor([[0.0, 1.0, 1.0]]), (WIDTH, HEIGHT), 2.0)
    assert weights.tolist() == [[0.0, 0.0, 1.0]]
    assert maps[0, 0].abs().sum() == 0
    assert maps[0, 1].abs().sum() == 0
    assert maps[0, 2].max() == pytest.approx(1.0)


@settings(deadline=None, max_examples=100)
@given(st.floats(3, WIDTH - 4), st.floats(3, HEIGHT - 4), st.sampled_from([1.5, 2.0, 3.0]))
def test_dark_round_trip_is_exact_without_smoothing(x, y, sigma):
    point = decode_heatmaps(encode(x, y, sigma), "dark", blur=1)[0, 0, :2].numpy()
    np.testing.assert_allclose(point, [x, y], atol=0.01)


@settings(deadline=None, max_examples=100)
@given(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1))
def test_dark_round_trip_with_smoothing(x, y):
    point = decode_heatmaps(encode(x, y), "dark", blur=7)[0, 0, :2].numpy()
    border = min(x, y, WIDTH - 1 - x, HEIGHT - 1 - y)
    assert np.abs(point - [x, y]).max() < (0.1 if border >= 3 else 1.0)


@pytest.mark.parametrize("blur", [3, 7, 11])
def test_dark_decoding_is_the_published_step(blur):
    generator = np.random.default_rng(blur)
    for _ in range(20):
        x, y = generator.uniform(0, WIDTH - 1), generator.uniform(0, HEIGHT - 1)
        heatmap = encode(x, y)[0, 0].numpy() + generator.uniform(0, 0.05, (HEIGHT, WIDTH)).astype(np.float32)
        point = decode_heatmaps(torch.from_numpy(heatmap)[None, None], "dark", blur)[0, 0, :2].numpy()
        np.testing.assert_allclose(point, published_dark(heatmap.astype(np.float64), blur), atol=2e-3)


def test_quarter_offset_points_to_the_larger_neighbour():
    heatmap = torch.zeros(1, 3, HEIGHT, WIDTH)
    heatmap[0, :, 30, 20] = 1.0
    heatmap[0, 0, 30, 21], heatmap[0, 0, 29, 20] = 0.5, 0.3
    heatmap[0, 2] = 0
    heatmap[0, 2, 1, 20], heatmap[0, 2, 1, 21] = 1.0, 0.5  # too near the border
    points = decode_heatmaps(heatmap, "quarter")[0]
    assert points.tolist() == [[20.25, 29.75, 1.0], [20.0, 30.0, 1.0], [20.0, 1.0, 1.0]]


def test_map_without_a_positive_value_gives_the_origin():
    for decoding in ("argmax", "quarter", "dark"):
        assert decode_heatmaps(torch.full((1, 1, HEIGHT, WIDTH), -0.5), decoding)[0, 0].tolist() == [0.0, 0.0, -0.5]
