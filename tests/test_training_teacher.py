"""The teacher: its running mean in closed form, its labels through known affines, and whom it does not believe."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fidip.annotations import Domain
from fidip.data.augment import Augmentation, make_batch
from fidip.data.samples import ResidentSamples, load_samples
from fidip.data.views import plain_view
from fidip.geometry import apply_affine, crop_to_input
from fidip.heatmaps import encode_heatmaps
from fidip.networks.card import NetworkCard
from fidip.networks.pose import PoseOutput, build_pose_net
from fidip.skeleton import COCO_17
from fidip.training.schedule import target_format
from fidip.training.teacher import SLACK, LimbPrior, MeanTeacher, Teacher
from figures import TINY, figure_set


def test_the_teacher_is_the_running_mean_of_its_pupil() -> None:
    pupil = build_pose_net(TINY, torch.Generator().manual_seed(0)).double()
    teacher = Teacher(pupil, MeanTeacher(decay=0.3))
    name = "head.final_layer.weight"
    buffer = "backbone.bn1.running_mean"
    seen = [{key: pupil.state_dict()[key].clone() for key in (name, buffer)}]
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        with torch.no_grad():
            for key in (name, buffer):
                tensor = pupil.state_dict()[key]
                tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
        teacher.follow(pupil)
        seen.append({key: pupil.state_dict()[key].clone() for key in (name, buffer)})
    decays = [min(0.3, (1 + t) / (10 + t)) for t in range(5)]
    assert decays == pytest.approx([0.1, 2 / 11, 3 / 12, 0.3, 0.3])
    for key in (name, buffer):
        expected = np.prod(decays) * seen[0][key]
        for t in range(5):
            expected = expected + (1 - decays[t]) * np.prod(decays[t + 1 :]) * seen[t + 1][key]
        assert torch.allclose(teacher.net.state_dict()[key], expected, rtol=1e-12), key
    assert not teacher.net.training
    assert not any(parameter.requires_grad for parameter in teacher.net.parameters())


class Oracle(nn.Module):
    """Knows where everybody is in the plain view."""

    def __init__(self, card, heatmaps) -> None:
        super().__init__()
        self.card, self.heatmaps = card, heatmaps

    def forward(self, images) -> PoseOutput:
        return PoseOutput(self.heatmaps[: len(images)], images)


CARD = NetworkCard(backbone="resnet-18", width=4, input_size=(96, 128), head_width=8, heatmap_sigma=1.5, blur_kernel=5)
WHOLE = Augmentation(scale=0.15, rotation=30.0, rotation_probability=1.0, flip_probability=0.5, brightness=0.2)


def samples_of(folder, count=12) -> ResidentSamples:
    labelled = figure_set(folder, count, Domain.REAL, size=(96, 80))
    return load_samples(labelled.images, labelled.paths, Domain.REAL, (CARD.input_size, "dark"), WHOLE.reach)


def without_labels(resident, rows) -> ResidentSamples:
    nothing = np.zeros((17, 3))
    return replace(
        resident,
        samples=tuple(replace(s, keypoints=nothing) if i in rows else s for i, s in enumerate(resident.samples)),
    )


@pytest.mark.parametrize("affine", ["dark", "simple-baseline", "udp"])
def test_what_the_teacher_sees_lands_where_the_labels_of_the_varied_picture_are(tmp_path, affine) -> None:
    """An oracle teacher of the plain view must give the very targets that the labels would have given."""
    card = replace(CARD, affine=affine)
    resident, format = samples_of(tmp_path), target_format(card)
    rows, indices = [1, 2, 3, 5, 7, 8, 9, 11], np.arange(12)
    truth = make_batch(resident, indices, format, WHOLE, np.random.default_rng(4))
    blind = without_labels(resident, rows)
    batch = make_batch(blind, indices, format, WHOLE, np.random.default_rng(4))
    assert torch.equal(batch.images, truth.images)
    view = plain_view(blind, indices, batch, format)
    assert view.rows.tolist() == rows
    assert 0 < int(view.mirrored.sum()) < len(rows)
    plain = []
    for i in rows:
        sample = resident.samples[i]
        to_input = crop_to_input(sample.crop, card.input_size, affine)
        points = apply_affine(format.input_to_heatmap, apply_affine(to_input, sample.keypoints[:, :2]))
        plain.append(torch.from_numpy(points).float())
    heatmaps, seen = encode_heatmaps(torch.stack(plain), torch.ones(len(rows), 17), card.heatmap_size, 1.5)
    teacher = Teacher(build_pose_net(card), MeanTeacher(confidence=0.1))
    teacher.net = Oracle(card, heatmaps)
    targets, weights = teacher.pseudo_labels(view)
    assert seen.all()
    both = (weights > 0) & (truth.weights[rows] > 0)
    assert both.float().mean() > 0.9
    apart = (targets - truth.heatmaps[rows]).abs().amax(dim=(2, 3))[both]
    assert float(apart.max()) < 0.1  # a twentieth of a heatmap pixel: DARK's step on a blurred Gaussian is not exact
    assert float(apart.mean()) < 0.02


def test_the_plain_view_shows_the_plain_window(tmp_path) -> None:
    resident, format = samples_of(tmp_path, 3), target_format(CARD)
    blind = without_labels(resident, {0, 1, 2})
    batch = make_batch(blind, np.arange(3), format, WHOLE, np.random.default_rng(0))
    view = plain_view(blind, np.arange(3), batch, format)
    plain = make_batch(resident, np.arange(3), format, Augmentation.none(), np.random.default_rng(0))
    assert torch.equal(view.images, plain.images)
    assert plain_view(resident, np.arange(3), plain, format) is None


def test_what_the_teacher_is_not_sure_of_is_not_taught(tmp_path) -> None:
    resident, format = without_labels(samples_of(tmp_path, 2), {0, 1}), target_format(CARD)
    batch = make_batch(resident, np.arange(2), format, Augmentation.none(), np.random.default_rng(0))
    view = plain_view(resident, np.arange(2), batch, format)
    points = torch.rand(2, 17, 2) * 10 + 5
    heatmaps, _ = encode_heatmaps(points, torch.ones(2, 17), CARD.heatmap_size, 1.5)
    heatmaps[:, ::2] *= 0.3
    teacher = Teacher(build_pose_net(CARD), MeanTeacher(confidence=0.4))
    teacher.net = Oracle(CARD, heatmaps)
    targets, weights = teacher.pseudo_labels(view)
    assert not weights[:, ::2].any()
    assert weights[:, 1::2].all()
    assert not targets[:, ::2].any()


def test_the_prior_of_limbs_knows_the_longest_and_refuses_longer_ones(tmp_path) -> None:
    resident = samples_of(tmp_path)
    prior = LimbPrior.of(resident, COCO_17)
    shares = []
    for sample in resident.samples:
        size = np.sqrt(np.prod(sample.crop.size))
        limb = sample.keypoints[15, :2] - sample.keypoints[13, :2]
        shares.append(np.hypot(*limb) / size)
    assert float(prior.longest[0]) == pytest.approx(SLACK * np.quantile(shares, 0.99), rel=1e-6)

    def found(resident):
        poses = []
        for sample in resident.samples:
            points = sample.keypoints[:, :2] / np.sqrt(np.prod(sample.crop.size)) * 36.0
            poses.append(np.column_stack([points, np.full(17, 0.9)]))
        return torch.from_numpy(np.stack(poses)).float()

    poses, taken = found(resident), torch.ones(12, 17, dtype=torch.bool)
    assert prior.judge(poses, taken, 36.0, COCO_17).all()  # those that it was learnt from
    stretched = poses.clone()
    stretched[:, 15, 0] += 36.0
    stretched[:, 15, 2] = 0.5  # the foot is less sure than the knee: the foot goes, and nothing else
    judged = prior.judge(stretched, taken, 36.0, COCO_17)
    assert not judged[:, 15].any()
    assert judged[:, :15].all()
    assert judged[:, 16].all()
    torn = poses.clone()
    torn[:, [7, 8, 13, 14], 0] += 36.0  # elbows and knees: eight limbs of nineteen
    assert not prior.judge(torn, taken, 36.0, COCO_17).any()
    heap = poses.clone()
    heap[:, :, :2] = 8 + 0.05 * (heap[:, :, :2] - 8)
    assert not prior.judge(heap, taken, 36.0, COCO_17).any()
    nobody = prior.judge(poses, torch.zeros_like(taken), 36.0, COCO_17)
    assert not nobody.any()


def test_limbs_that_no_label_shows_are_not_judged(tmp_path) -> None:
    resident = samples_of(tmp_path, 4)
    for sample in resident.samples:
        sample.keypoints[13, 2] = 0
    prior = LimbPrior.of(resident, COCO_17)
    assert prior.longest.isinf().tolist() == [13 in limb for limb in COCO_17.limbs]
