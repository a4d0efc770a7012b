"""One affine does rotation, scale, flip and crop; colours and occluders follow; then the targets. Batches at once.

Everything random about a batch is drawn by one NumPy generator before any pixel is touched, so that the CPU (OpenCV)
and a GPU (``Pool``) see the same batch; and what NumPy has to do is done before the first of them, so that a GPU is
given the whole batch without anybody waiting for it. Numbers and order follow the published loaders (SimpleBaseline,
Xiao et al. 2018; DARK, Zhang et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import radians

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fidip.annotations import Domain, FloatArray
from fidip.data.colours import borrow_colours
from fidip.data.pool import sent
from fidip.data.samples import Image, Reach, ResidentSamples, Sample, compose, to_input, to_planes, warp
from fidip.geometry import AffineConvention, Crop, Size, apply_affine, crop_to_heatmap, crop_to_input, invert_affine
from fidip.heatmaps import Encoding, encode_heatmaps
from fidip.skeleton import COCO_17, Skeleton

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
MIRROR = np.array([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How samples vary. The defaults are SimpleBaseline's; DARK takes scale 0.35, 45 degrees and half-body 0.3."""

    scale: float = 0.3  # the window times clip(N(1, scale), 1 - scale, 1 + scale)
    rotation: float = 40.0  # degrees: clip(N(0, rotation), -2 rotation, 2 rotation)
    rotation_probability: float = 0.6
    flip_probability: float = 0.5
    half_body_probability: float = 0.0  # DARK: the upper or the lower body alone
    half_body_minimum: int = 8  # DARK: only of people with more labelled keypoints than this
    brightness: float = 0.0  # colours times U(1 - brightness, 1 + brightness)
    contrast: float = 0.0  # about middle grey, likewise
    saturation: float = 0.0  # about each pixel's own grey, likewise
    occlusion_probability: float = 0.0  # a rectangle of one random colour
    occlusion_size: float = 0.4  # its largest side, of the input's
    borrowed_colours: float = 0.0  # share of synthetic pictures that take the colours of a real one of their batch

    @classmethod
    def none(cls) -> Augmentation:
        """Nothing varies: the window of the box, as at test time."""
        return cls(scale=0.0, rotation=0.0, rotation_probability=0.0, flip_probability=0.0)

    @property
    def reach(self) -> Reach:
        """What must be kept around a window for every variant of it."""
        turns = self.rotation > 0 and self.rotation_probability > 0
        return Reach(scale=1 + self.scale, turns=turns, halves=self.half_body_probability > 0)


@dataclass(frozen=True, slots=True)
class TargetFormat:
    """What a network takes and is to give: the parts of its card that make a batch."""

    input_size: Size
    heatmap_size: Size
    sigma: float  # heatmap pixels
    convention: AffineConvention = "dark"
    encoding: Encoding = "unbiased"
    skeleton: Skeleton = COCO_17

    @property
    def input_to_heatmap(self) -> FloatArray:  # (2, 3)
        """The affine from pixels of the input to pixels of the heatmaps, the same for every crop."""
        shift = 0.0 if self.convention == "simple-baseline" else 1.0
        less = 1.0 if self.convention == "udp" else 0.0
        width, height = self.input_size
        whole = Crop(((width - shift) / 2, (height - shift) / 2), (width - less, height - less))  # maps onto itself
        return crop_to_heatmap(whole, self.input_size, self.heatmap_size, self.convention)


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Everything random about one batch."""

    affines: FloatArray  # (B, 2, 3) from the image to the input
    flipped: NDArray[np.bool_]  # (B,)
    colours: FloatArray | None  # (B, 3, 4) an affine map of RGB in [0, 1]
    occluders: tuple[tuple[int, tuple[int, int, int, int], FloatArray], ...]  # sample, x0 y0 x1 y1, RGB
    donors: NDArray[np.intp] | None = None  # (2, N) who takes colours, and whose


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Samples as the stages of training take them. ``files`` names the images; ``drawn`` is how they vary."""

    images: Tensor  # (B, 3, H, W) RGB float32 in [0, 1]
    heatmaps: Tensor  # (B, K, h, w)
    weights: Tensor  # (B, K) 0 for keypoints without a label or out of reach, else 1
    synthetic: Tensor  # (B,) 1.0 synthetic, 0.0 real
    files: tuple[str, ...]
    drawn: Draw | None = None


def make_batch(
    resident: ResidentSamples,
    indices: NDArray[np.intp],  # (B,)
    format: TargetFormat,
    augmentation: Augmentation,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> Batch:
    """Draw, cut, colour and label the samples of one batch."""
    samples = [resident.samples[i] for i in indices]
    drawn = draw(samples, format, augmentation, rng)
    points, weights, synthetic = (sent(part, device) for part in _targets(samples, drawn, format))
    images = to_input(cut_batch(resident, indices, drawn.affines, format.input_size).to(device))
    if drawn.donors is not None:
        takers, donors = (sent(part, images.device) for part in drawn.donors)
        images[takers] = borrow_colours(images[takers], images[donors])
    images = _paint(images, drawn)
    heatmaps, weights = encode_heatmaps(points, weights, format.heatmap_size, format.sigma, format.encoding)
    return Batch(images, heatmaps, weights, synthetic, tuple(sample.file for sample in samples), drawn)


def draw(samples: list[Sample], format: TargetFormat, augmentation: Augmentation, rng: np.random.Generator) -> Draw:
    """Draw everything random about a batch. How much is drawn does not depend on what the samples show."""
    a, count = augmentation, len(samples)
    half, upper = rng.random(count) < a.half_body_probability, rng.random(count) < 0.5
    scale = np.clip(rng.normal(1, a.scale, count), 1 - a.scale, 1 + a.scale)
    angle = np.clip(rng.normal(0, a.rotation, count), -2 * a.rotation, 2 * a.rotation)
    angle *= rng.random(count) < a.rotation_probability
    flipped = rng.random(count) < a.flip_probability
    affines = np.empty((count, 2, 3))
    for i, sample in enumerate(samples):
        crop = _window(sample, bool(half[i]), bool(upper[i]), a)
        crop = replace(crop.scaled(float(scale[i])), rotation=radians(float(angle[i])))
        if flipped[i]:  # the image is mirrored before it is cropped, as in the published loaders
            crop = replace(crop, center=(-crop.center[0], crop.center[1]))
        affine = crop_to_input(crop, format.input_size, format.convention)
        affines[i] = compose(affine, MIRROR) if flipped[i] else affine
    colours, occluders = _draw_colours(count, a, rng), _draw_occluders(count, format.input_size, a, rng)
    return Draw(affines, flipped, colours, occluders, _draw_donors(samples, a, rng))


def _window(sample: Sample, half: bool, upper: bool, augmentation: Augmentation) -> Crop:
    labelled = int((sample.keypoints[:, 2] > 0).sum())
    if half and sample.halves and labelled > augmentation.half_body_minimum:
        return sample.halves[0 if upper else -1]
    return sample.crop


def _draw_colours(count: int, a: Augmentation, rng: np.random.Generator) -> FloatArray | None:
    strengths = (a.brightness, a.contrast, a.saturation)
    if not any(strengths):
        return None
    brightness, contrast, saturation = (rng.uniform(1 - s, 1 + s, count)[:, None, None] for s in strengths)
    grey = np.tile(LUMA, (3, 1))
    linear = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = np.broadcast_to(0.5 * (1 - contrast), (count, 3, 1))
    return np.concatenate([linear, offset], axis=2)


def _draw_occluders(
    count: int, size: Size, a: Augmentation, rng: np.random.Generator
) -> tuple[tuple[int, tuple[int, int, int, int], FloatArray], ...]:
    if not a.occlusion_probability:
        return ()
    chosen = rng.random(count) < a.occlusion_probability
    center, side = rng.random((count, 2)) * size, rng.random((count, 2)) * a.occlusion_size * np.array(size)
    low = np.clip(np.round(center - side / 2), 0, size).astype(int)
    high = np.clip(np.round(center + side / 2), 0, size).astype(int)
    colours = rng.random((count, 3))
    return tuple((int(i), (*low[i].tolist(), *high[i].tolist()), colours[i]) for i in np.flatnonzero(chosen))


def _draw_donors(samples: list[Sample], a: Augmentation, rng: np.random.Generator) -> NDArray[np.intp] | None:
    """Drawn last, so that everything else about a batch is the same with and without."""
    if not a.borrowed_colours:
        return None
    takes, place = rng.random((2, len(samples)))
    real = np.flatnonzero([sample.domain is Domain.REAL for sample in samples])
    takers = np.setdiff1d(np.flatnonzero(takes < a.borrowed_colours), real)
    if not len(real) or not len(takers):
        return None
    return np.stack([takers, real[(place[takers] * len(real)).astype(np.intp)]])


def cut_batch(
    resident: ResidentSamples, indices: NDArray[np.intp], affines: FloatArray, size: Size
) -> Tensor:  # (B, 3, H, W) uint8
    """Cut the windows out of the pieces: by OpenCV on the CPU, elsewhere out of the pool."""
    samples = [resident.samples[i] for i in indices]
    maps = [compose(affine, invert_affine(sample.to_piece)) for affine, sample in zip(affines, samples, strict=True)]
    if resident.pool is not None:
        return resident.pool.cut(indices, np.stack([invert_affine(affine) for affine in maps]), size)
    batch: Image = np.empty((len(samples), size[1], size[0], 3), dtype=np.uint8)
    for out, sample, affine in zip(batch, samples, maps, strict=True):
        warp(sample.piece, affine, size, out)
    return to_planes(batch)


def _paint(images: Tensor, drawn: Draw) -> Tensor:  # (B, 3, H, W)
    if drawn.colours is not None:
        colours = sent(drawn.colours.astype(np.float32), images.device)
        flat = torch.baddbmm(colours[:, :, 3:], colours[:, :, :3], images.flatten(2))
        images = flat.clamp_(0, 1).view(images.shape)
    if drawn.occluders:
        colours = sent(np.stack([colour for _, _, colour in drawn.occluders]).astype(np.float32), images.device)
        for (i, (x0, y0, x1, y1), _), colour in zip(drawn.occluders, colours, strict=True):
            images[i, :, y0:y1, x0:x1] = colour[:, None, None]
    return images


def _targets(
    samples: list[Sample], drawn: Draw, format: TargetFormat
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:  # (B, K, 2), (B, K), (B,)
    """Keypoints in heatmap pixels, left and right exchanged where mirrored, their weights, and the domains.

    Occluded keypoints count fully.
    """
    keypoints = np.stack([sample.keypoints for sample in samples])
    to_heatmap = format.input_to_heatmap
    points = np.stack(
        [
            apply_affine(compose(to_heatmap, affine), k[:, :2])
            for affine, k in zip(drawn.affines, keypoints, strict=True)
        ]
    )
    weights = np.minimum(keypoints[:, :, 2], 1)
    mirrored = format.skeleton.flip_permutation
    points[drawn.flipped] = points[drawn.flipped][:, mirrored]
    weights[drawn.flipped] = weights[drawn.flipped][:, mirrored]
    synthetic = np.array([float(sample.domain) for sample in samples], dtype=np.float32)
    return points.astype(np.float32), weights.astype(np.float32), synthetic
