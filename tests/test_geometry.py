import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.geometry import (
    Crop,
    apply_affine,
    box_around,
    clip_box,
    crop_around,
    crop_of_box,
    crop_to_heatmap,
    crop_to_input,
    flip_points,
    invert_affine,
)
from fidip.skeleton import COCO_17

CONVENTIONS = ("dark", "simple-baseline", "udp")
INPUT, HEATMAP = (192, 256), (48, 64)

coordinates = st.floats(-2000, 4000)
lengths = st.floats(2, 3000)
angles = st.floats(-4, 4)
crops = st.builds(Crop, st.tuples(coordinates, coordinates), st.tuples(lengths, lengths), angles)
conventions = st.sampled_from(CONVENTIONS)


def three_points(crop, size, convention):
    """The affine as the published loaders find it: from where three points go.

    They are the window's centre, the middle of its upper edge (turned with it), and the corner that completes a right
    angle; OpenCV solves for the map.
    """
    less = 1 if convention == "dark" else 0
    half, width, height = 0.5 * (crop.size[0] - less), size[0] - less, size[1] - less
    (x, y), sin, cos = crop.center, np.sin(crop.rotation), np.cos(crop.rotation)
    source = [np.array([x, y]), np.array([x + half * sin, y - half * cos])]
    target = [np.array([width / 2, height / 2]), np.array([width / 2, height / 2 - width / 2])]
    for points in (source, target):
        side = points[0] - points[1]
        points.append(points[1] + [-side[1], side[0]])
    return cv2.getAffineTransform(np.float32(source), np.float32(target))


@given(
    st.builds(Crop, st.tuples(*[st.floats(0, 640)] * 2), st.tuples(*[st.floats(20, 600)] * 2), angles),
    st.sampled_from(("dark", "simple-baseline")),
)
def test_affine_is_that_of_the_published_loaders(crop, convention):
    affine, published = crop_to_input(crop, INPUT, convention), three_points(crop, INPUT, convention)
    corners = np.array([[0, 0], [0, 479], [639, 0], [639, 479]], dtype=float)
    # The published code passes its points in single precision.
    np.testing.assert_allclose(apply_affine(affine, corners), apply_affine(published, corners), rtol=1e-4, atol=0.05)


@given(crops, conventions, st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5))
def test_crop_there_and_back(crop, convention, points):
    for affine in (crop_to_input(crop, INPUT, convention), crop_to_heatmap(crop, INPUT, HEATMAP, convention)):
        back = apply_affine(invert_affine(affine), apply_affine(affine, np.array(points)))
        assert np.abs(back - points).max() < 0.01


@given(crops, st.sampled_from([INPUT, (256, 256), HEATMAP]))
def test_affine_is_that_of_unbiased_data_processing(crop, size):
    """Huang et al. (2020): the window's centre to 0, turn, stretch the window to size − 1, its corner to 0."""
    scale = [(size[n] - 1) / crop.size[n] for n in (0, 1)]
    for x, y in ((0.0, 0.0), (479.0, 0.0), (0.0, 639.0)):
        turned = (x - crop.center[0] + 1j * (y - crop.center[1])) * np.exp(-1j * crop.rotation)
        expected = [turned.real * scale[0] + (size[0] - 1) / 2, turned.imag * scale[1] + (size[1] - 1) / 2]
        found = apply_affine(crop_to_input(crop, size, "udp"), np.array([x, y]))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


@given(crops)
def test_the_centre_goes_to_the_centre(crop):
    for size in (INPUT, (256, 256), HEATMAP):
        for convention in ("dark", "udp"):
            middle = apply_affine(crop_to_input(crop, size, convention), np.array(crop.center))
            np.testing.assert_allclose(middle, [(size[0] - 1) / 2, (size[1] - 1) / 2], atol=1e-6)
        middle = apply_affine(crop_to_input(crop, size, "simple-baseline"), np.array(crop.center))
        np.testing.assert_allclose(middle, [size[0] / 2, size[1] / 2], atol=1e-6)


@given(crops, conventions)
def test_maps_turn_and_scale_and_never_mirror(crop, convention):
    for affine in (crop_to_input(crop, INPUT, convention), crop_to_heatmap(crop, INPUT, HEATMAP, convention)):
        linear = affine[:, :2]
        assert np.linalg.det(linear) > 0
        if convention != "udp":
            square = np.eye(2) * np.linalg.det(linear)
            np.testing.assert_allclose(linear @ linear.T, square, atol=1e-9 * linear.max() ** 2)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("width", [0.0, 0.3, 1.0, 1.5])
def test_windows_of_no_width_are_still_invertible(convention, width):
    affine = crop_to_input(Crop((5, 5), (width, width)), INPUT, convention)
    assert np.isfinite(affine).all()
    assert np.linalg.det(affine[:, :2]) > 0
    assert affine[0, 0] <= INPUT[0]


def test_a_window_of_the_inputs_size_moves_whole_pixels_only():
    crop = Crop((200.5, 150.5), (192, 256))
    np.testing.assert_allclose(crop_to_input(crop, INPUT, "dark"), [[1, 0, -105], [0, 1, -23]], atol=1e-9)


def test_edges_of_the_window():
    crop = Crop((100, 100), (64, 64))
    dark = crop_to_input(crop, (128, 128), "dark")
    np.testing.assert_allclose(
        apply_affine(dark, np.array([[68.5, 68.5], [131.5, 131.5]])), [[0, 0], [127, 127]], atol=1e-9
    )
    whole = crop_to_input(crop, (128, 128), "simple-baseline")
    np.testing.assert_allclose(apply_affine(whole, np.array([[68, 68], [132, 132]])), [[0, 0], [128, 128]], atol=1e-9)
    udp = crop_to_input(Crop((100, 100), (48, 64)), INPUT, "udp")
    np.testing.assert_allclose(apply_affine(udp, np.array([[76, 68], [124, 132]])), [[0, 0], [191, 255]], atol=1e-9)


def test_a_positive_rotation_turns_the_picture_anticlockwise():
    picture = np.zeros((101, 101), dtype=np.uint8)
    cv2.circle(picture, (80, 50), 4, 255, cv2.FILLED)  # right of the middle
    for convention in CONVENTIONS:
        affine = crop_to_input(Crop((50, 50), (101, 101), np.pi / 2), (101, 101), convention)
        turned = cv2.warpAffine(picture, affine, (101, 101))
        y, x = np.argwhere(turned > 127).mean(axis=0)
        assert (x, y) == pytest.approx((50, 20), abs=1)  # above the middle
        assert apply_affine(affine, np.array([80.0, 50.0])) == pytest.approx([x, y], abs=0.6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_keypoint_stays_on_its_pixel_through_a_warp(convention):
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:120, :160]
    for _ in range(10):
        point = generator.uniform((50, 40), (110, 80))
        picture = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 2 / 4**2)
        crop = Crop((80, 60), (90, 120), generator.uniform(-1, 1))
        affine = crop_to_input(crop, INPUT, convention)
        warped = cv2.warpAffine(picture, affine, INPUT, flags=cv2.INTER_LINEAR)
        rows, columns = np.mgrid[: INPUT[1], : INPUT[0]]
        seen = np.array([(columns * warped).sum(), (rows * warped).sum()]) / warped.sum()
        np.testing.assert_allclose(seen, apply_affine(affine, point), atol=0.05)


@given(crops)
def test_heatmap_coordinates_of_the_conventions(crop):
    point = np.array(crop.center) + np.array([3.0, -7.0])
    at_input = apply_affine(crop_to_input(crop, INPUT, "simple-baseline"), point)
    at_heatmap = apply_affine(crop_to_heatmap(crop, INPUT, HEATMAP, "simple-baseline"), point)
    np.testing.assert_allclose(at_heatmap, at_input / 4, rtol=1e-9, atol=1e-6)
    # DARK's heatmap is a third grid on the same window: first and last columns of both grids coincide.
    there = apply_affine(crop_to_input(crop, INPUT, "dark"), point)
    third = apply_affine(crop_to_heatmap(crop, INPUT, HEATMAP, "dark"), point)
    ratio = (HEATMAP[0] - 1) / (INPUT[0] - 1)
    middle_in, middle_out = (np.array(INPUT) - 1) / 2, (np.array(HEATMAP) - 1) / 2
    np.testing.assert_allclose(third - middle_out, (there - middle_in) * ratio, rtol=1e-9, atol=1e-6)
    # By UDP the outer pixels of both grids lie on each other, along either axis.
    there = apply_affine(crop_to_input(crop, INPUT, "udp"), point)
    third = apply_affine(crop_to_heatmap(crop, INPUT, HEATMAP, "udp"), point)
    np.testing.assert_allclose(third, there * (np.array(HEATMAP) - 1) / (np.array(INPUT) - 1), rtol=1e-9, atol=1e-6)


def test_windows_around_boxes():
    tall = crop_around((10, 20, 30, 80), INPUT, "simple-baseline")
    assert tall == Crop((25, 60), (75, 100))  # 80 high at 3:4 is 60 wide, then a quarter more
    wide = crop_around((10, 20, 90, 30), INPUT, "simple-baseline")
    assert wide == Crop((55, 35), (112.5, 150))
    dark = crop_around((10, 20, 30, 80), INPUT, "dark")
    assert dark == Crop((24.5, 59.5), (75, 100))  # half a pixel less: the centre of the pixels 10 … 39
    assert crop_around((0, 0, 40, 40), (256, 256), margin=1.0).size == (40, 40)
    assert tall.scaled(2) == Crop((25, 60), (150, 200))


@given(st.tuples(coordinates, coordinates, lengths, lengths), conventions)
def test_windows_contain_their_box_at_the_inputs_ratio(box, convention):
    crop = crop_around(box, INPUT, convention)
    assert crop.size[0] / crop.size[1] == pytest.approx(INPUT[0] / INPUT[1])
    assert crop.size[0] >= box[2] * 1.25 * (1 - 1e-9)
    assert crop.size[1] >= box[3] * 1.25 * (1 - 1e-9)
    assert crop.size[0] == pytest.approx(box[2] * 1.25) or crop.size[1] == pytest.approx(box[3] * 1.25)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((0, 0, 100, 80), (0, 0, 100, 80)),
        ((90, 70, 50, 50), (90, 70, 10, 10)),
        ((-5, -7, 30, 40), (0, 0, 30, 40)),  # moved in, as the published loaders do
        ((-5, -5, 500, 500), (0, 0, 100, 80)),
        ((10.5, 20.25, 3.5, 2.5), (10.5, 20.25, 3.5, 2.5)),
        ((99, 10, 30, 30), None),  # a single column
        ((120, 10, 30, 30), None),
        ((10, 10, 0, 30), None),
        ((10, 10, 30, -4), None),
    ],
)
def test_boxes_are_cleaned(box, expected):
    assert clip_box(box, (100, 80)) == expected
    less = None if expected is None else (*expected[:2], expected[2] - 1, expected[3] - 1)
    assert clip_box(box, (100, 80), "simple-baseline") == less


@pytest.mark.parametrize(
    ("convention", "center", "size"), [("dark", 24.5, 37.5), ("simple-baseline", 24.5, 36.25), ("udp", 24.5, 36.25)]
)
def test_the_window_of_a_box_is_the_published_one(convention, center, size):
    """A box of pixels 10 to 39: both loaders centre on 24.5; one counts 30 pixels, the other the 29 between centres."""
    crop = crop_of_box((10, 10, 30, 30), (100, 80), (64, 64), convention)
    assert crop == Crop((center, center), (size, size))
    assert crop_of_box((10, 10, 0, 0), (100, 80), (64, 64), convention) is None
    moved = crop_of_box((-4, 10, 30, 30), (100, 80), (64, 64), convention)
    assert moved == crop_of_box((0, 10, 30, 30), (100, 80), (64, 64), convention)


@given(st.tuples(coordinates, coordinates, st.floats(-5, 500), st.floats(-5, 500)))
def test_cleaned_boxes_lie_in_the_image_and_stay(box):
    cleaned = clip_box(box, (100, 80))
    if cleaned is not None:
        x, y, width, height = cleaned
        assert min(x, y) >= 0
        assert min(width, height) > 1
        assert x + width <= 100 + 1e-9
        assert y + height <= 80 + 1e-9
        assert clip_box(cleaned, (100, 80)) == pytest.approx(cleaned)


def test_box_around_points():
    points = np.array([[3.0, 9.0], [13.0, 5.0], [7.0, 7.0]])
    assert box_around(points) == (3, 5, 11, 5)  # columns 3 to 13, rows 5 to 9
    assert box_around(points, 1.5) == (0.25, 3.75, 16.5, 7.5)
    assert box_around(points[:1]) == (3, 9, 1, 1)


def test_the_window_of_a_box_around_points_is_centred_on_them():
    points = np.array([[20.0, 30.0], [60.0, 90.0]])
    for margin in (1.0, 1.25):
        assert crop_around(box_around(points, margin), (192, 256)).center == (40, 60)
    assert clip_box(box_around(np.array([[0.0, 0.0], [99.0, 79.0]])), (100, 80)) == (0, 0, 100, 80)


@given(st.integers(1, 5000), st.integers(0, 2**32 - 1))
def test_flip_twice_is_the_identity(width, seed):
    points = np.random.default_rng(seed).uniform(-10, width, (2, 17, 3))
    flipped = flip_points(points, width, COCO_17)
    np.testing.assert_allclose(flip_points(flipped, width, COCO_17), points, atol=1e-9)
    assert np.array_equal(flipped[..., 1:], points[..., COCO_17.flip_permutation, 1:])


def test_flip_follows_the_pixels():
    picture = np.zeros((8, 11), dtype=np.uint8)
    wrist = COCO_17.keypoints.index("left_wrist")
    points = np.zeros((17, 3))
    points[wrist] = 2, 5, 1
    picture[5, 2] = 255
    original = points.copy()
    flipped = flip_points(points, 11, COCO_17)
    x, y, visibility = flipped[COCO_17.keypoints.index("right_wrist")]
    assert picture[:, ::-1][int(y), int(x)] == 255
    assert visibility == 1
    assert np.array_equal(points, original)
