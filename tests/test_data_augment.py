"""Augmented batches against pictures whose content is known at every point."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fidip.annotations import Domain
from fidip.data.augment import Augmentation, TargetFormat, cut_batch, draw, make_batch
from fidip.data.samples import ResidentSamples, Sample, compose, cut
from fidip.geometry import Crop, apply_affine, crop_to_heatmap, crop_to_input, flip_points
from fidip.heatmaps import decode_heatmaps
from fidip.skeleton import COCO_17

SIZE, HEATMAP = (48, 64), (12, 16)
FORMATS = [TargetFormat(SIZE, HEATMAP, 1.5, convention) for convention in ("dark", "simple-baseline", "udp")]
EVERYTHING = Augmentation(
    scale=0.35, rotation=45, half_body_probability=0.5, brightness=0.3, contrast=0.3, saturation=0.3,
    occlusion_probability=0.5,
)  # fmt: skip
WHOLE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def sample(image, keypoints=None, crop=None, domain=Domain.REAL) -> Sample:
    height, width = image.shape[:2]
    if keypoints is None:
        keypoints = np.zeros((17, 3))
    crop = crop or Crop((width / 2, height / 2), (0.45 * width, 0.6 * width))
    return Sample(image, WHOLE, keypoints, crop, (), domain, "picture.png")


def resident(*samples: Sample) -> ResidentSamples:
    return ResidentSamples(samples)


def noise(seed=0, width=150, height=180):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.convention)
def test_the_pool_and_opencv_agree_to_two_grey_levels(format) -> None:
    people = resident(*(sample(noise(i, 150 + 7 * i, 180 - 5 * i)) for i in range(8)))
    rng, indices = np.random.default_rng(0), np.arange(8)
    drawn = draw(list(people.samples), format, EVERYTHING, rng)
    on_cpu = cut_batch(people, indices, drawn.affines, SIZE)
    pooled = cut_batch(people.on("cpu"), indices, drawn.affines, SIZE)
    assert on_cpu.dtype == pooled.dtype == torch.uint8
    assert (on_cpu.int() - pooled.int()).abs().max() <= 2
    assert on_cpu.float().std() > 40


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.convention)
def test_without_augmentation_a_batch_is_the_crop_of_inference(format) -> None:
    one = sample(noise())
    batch = make_batch(resident(one), np.array([0]), format, Augmentation.none(), np.random.default_rng(0))
    expected = cut(one.piece, one.crop, SIZE, format.convention)
    assert batch.images.dtype == torch.float32
    assert np.abs(batch.images[0].numpy().transpose(1, 2, 0) * 255 - expected).max() < 1.01


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.convention)
def test_a_flipped_batch_is_the_crop_of_the_flipped_image(format) -> None:
    keypoints = np.column_stack([np.random.default_rng(0).uniform(40, 110, (17, 2)), np.arange(17) % 3])
    one = sample(noise(), keypoints)
    mirror = np.ascontiguousarray(one.piece[:, ::-1])
    x, y = one.crop.center
    flipped = sample(mirror, flip_points(keypoints, 150, COCO_17), Crop((149 - x, y), one.crop.size))
    always = replace(Augmentation.none(), flip_probability=1.0)
    rng = np.random.default_rng(0)
    ours = make_batch(resident(one), np.array([0]), format, always, rng)
    theirs = make_batch(resident(flipped), np.array([0]), format, Augmentation.none(), rng)
    assert (ours.images - theirs.images).abs().max() <= 1 / 255
    assert torch.equal(ours.weights, theirs.weights)
    assert torch.allclose(ours.heatmaps, theirs.heatmaps, atol=1e-5)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.convention)
def test_every_target_lies_where_its_keypoint_is_seen(format) -> None:
    """Each picture shows one white disc at one keypoint; after any augmentation the target peaks on it."""
    y, x = np.mgrid[:180, :150]
    people = []
    for k in range(17):
        keypoints = np.zeros((17, 3))
        keypoints[k] = [60 + 2 * k, 110 - 2 * k, 1 + k % 2]
        disc = 255 * np.exp(-((x - keypoints[k, 0]) ** 2 + (y - keypoints[k, 1]) ** 2) / (2 * 3.0**2))
        people.append(sample(np.repeat(disc[..., None], 3, axis=2).round().astype(np.uint8), keypoints))
    varied, checked = Augmentation(scale=0.3, rotation=40), 0
    for seed in range(6):
        batch = make_batch(resident(*people), np.arange(17), format, varied, np.random.default_rng(seed))
        blobs = batch.images[:, 0].numpy()
        found = decode_heatmaps(batch.heatmaps, blur=1)
        labelled = batch.weights.nonzero()
        assert len(labelled) == 17
        for b, k in labelled.tolist():
            iy, ix = np.mgrid[: SIZE[1], : SIZE[0]]
            seen = np.array([(ix * blobs[b]).sum(), (iy * blobs[b]).sum()]) / blobs[b].sum()
            expected = apply_affine(format.input_to_heatmap, seen)
            if (expected > 3).all() and (expected < np.array(HEATMAP) - 4).all():  # else a Gaussian is cut off
                assert np.abs(found[b, k, :2].numpy() - expected).max() < 0.1
                checked += 1
    assert checked > 50


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.convention)
def test_input_to_heatmap_agrees_with_the_affines_of_any_crop(format) -> None:
    crop = Crop((33.0, 71.0), (90.0, 120.0), rotation=0.7)
    direct = crop_to_heatmap(crop, SIZE, HEATMAP, format.convention)
    assert np.allclose(compose(format.input_to_heatmap, crop_to_input(crop, SIZE, format.convention)), direct)


def test_the_draws_follow_the_published_distributions() -> None:
    count, a = 4000, Augmentation(scale=0.3, rotation=40)
    one = sample(noise())
    drawn = draw([one] * count, FORMATS[1], a, np.random.default_rng(0))
    linear = drawn.affines[:, :, :2].copy()
    linear[drawn.flipped, :, 0] *= -1
    scale = SIZE[0] / one.crop.size[0] / np.hypot(linear[:, 0, 0], linear[:, 0, 1])
    angle = np.degrees(np.arctan2(linear[:, 0, 1], linear[:, 0, 0]))
    assert scale.min() == pytest.approx(0.7)
    assert scale.max() == pytest.approx(1.3)
    # A normal of deviation one clipped at ±1 has the variance Φ-mass inside (0.1988) plus both clipped tails (0.3173).
    assert scale.std() == pytest.approx(0.3 * (0.1988 + 0.3173) ** 0.5, rel=0.05)
    assert np.abs(angle).max() == pytest.approx(80)
    assert (angle == 0).mean() == pytest.approx(0.4, abs=0.03)
    assert drawn.flipped.mean() == pytest.approx(0.5, abs=0.03)
    assert drawn.colours is None


def test_half_body_windows_are_chosen_as_often_as_asked() -> None:
    keypoints = np.column_stack([np.full((17, 2), 50.0), np.full(17, 2.0)])
    halves = (Crop((40, 40), (30, 40)), Crop((60, 90), (30, 40)))
    one = replace(sample(noise(), keypoints), halves=halves)
    few = replace(one, keypoints=keypoints * (np.arange(17) < 8)[:, None])
    a = replace(Augmentation.none(), half_body_probability=0.3)
    drawn = draw([one] * 2000 + [few] * 100, FORMATS[0], a, np.random.default_rng(0))
    kinds = [crop_to_input(crop, SIZE) for crop in (one.crop, *halves)]
    share = [np.mean([np.allclose(affine, kind) for affine in drawn.affines[:2000]]) for kind in kinds]
    assert share == pytest.approx([0.7, 0.15, 0.15], abs=0.03)
    assert all(np.allclose(affine, kinds[0]) for affine in drawn.affines[2000:])  # too few keypoints for a half


def test_a_batch_depends_on_its_generator_alone() -> None:
    people = resident(*(sample(noise(i)) for i in range(4)))
    first, second, other = (
        make_batch(people, np.arange(4), FORMATS[0], EVERYTHING, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.images, second.images)
    assert not torch.equal(first.images, other.images)


def test_colours_change_as_named() -> None:
    grey = np.full((180, 150, 3), 100, dtype=np.uint8)
    red = grey * np.array([2, 0, 0], dtype=np.uint8)

    def colours(image, **strengths):
        a = replace(Augmentation.none(), **strengths)
        batch = make_batch(resident(*[sample(image)] * 64), np.arange(64), FORMATS[0], a, np.random.default_rng(0))
        return batch.images[:, :, 20, 20].numpy()

    value = 100 / 255
    assert np.allclose(colours(grey, saturation=0.5), value, atol=1e-6)  # grey has no colour to lose
    brightness = colours(grey, brightness=0.5)[:, 0] / value
    assert 0.5 <= brightness.min() < 0.6 < 1.4 < brightness.max() <= 1.5
    contrast = (colours(grey, contrast=0.5)[:, 0] - 0.5) / (value - 0.5)
    assert 0.5 <= contrast.min() < 0.6 < 1.4 < contrast.max() <= 1.5
    luma = colours(red, saturation=0.2) @ [0.299, 0.587, 0.114]
    inside = (colours(red, saturation=0.2) > 0).all(axis=1)  # not clipped at black
    assert np.allclose(luma[inside], 0.299 * 200 / 255, atol=1e-6)
    assert colours(grey, brightness=0.9, contrast=0.9).max() <= 1


def test_occluders_cover_rectangles_and_no_labels() -> None:
    keypoints = np.column_stack([np.full((17, 2), 75.0), np.full(17, 2.0)])
    people = resident(*[sample(noise(), keypoints)] * 40)
    a = replace(Augmentation.none(), occlusion_probability=0.5, occlusion_size=0.4)
    plain = make_batch(people, np.arange(40), FORMATS[0], Augmentation.none(), np.random.default_rng(0))
    covered = make_batch(people, np.arange(40), FORMATS[0], a, np.random.default_rng(0))
    changed = (plain.images != covered.images).any(dim=1)
    assert 10 < int(changed.flatten(1).any(dim=1).sum()) < 30
    assert changed.any(dim=2).sum(dim=1).max() <= round(0.4 * 64) + 1
    assert torch.equal(plain.heatmaps, covered.heatmaps)


def test_occluded_keypoints_count_like_visible_ones() -> None:
    keypoints = np.column_stack([np.full((17, 2), 75.0), np.arange(17) % 3])
    keypoints[3:6, :2] = 1000  # far outside the crop
    batch = make_batch(
        resident(sample(noise(), keypoints, domain=Domain.SYNTHETIC)), np.array([0]), FORMATS[0], Augmentation.none(),
        np.random.default_rng(0),
    )  # fmt: skip
    expected = np.minimum(np.arange(17) % 3, 1.0)
    expected[3:6] = 0
    assert np.array_equal(batch.weights[0].numpy(), expected)
    assert batch.synthetic.tolist() == [1.0]
    assert batch.files == ("picture.png",)


def test_reach_covers_what_is_drawn() -> None:
    assert Augmentation.none().reach.scale == 1
    assert not Augmentation.none().reach.turns
    assert EVERYTHING.reach == Augmentation(scale=0.35, rotation=9, half_body_probability=0.1).reach
