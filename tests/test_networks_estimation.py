"""Estimation with networks whose heatmaps are known, so that the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fidip.geometry import Crop, crop_to_heatmap, crop_to_input
from fidip.heatmaps import encode_heatmaps
from fidip.networks.card import NetworkCard
from fidip.networks.estimation import estimate_keypoints, pose_score
from fidip.networks.pose import PoseOutput, build_pose_net
from fidip.skeleton import COCO_17

CARD = NetworkCard(backbone="resnet-18", width=8, input_size=(96, 128), head_width=16, blur_kernel=5)


class Seer(nn.Module):
    """Stands in for a network: gives the heatmaps of known points, mirrored when its crop is."""

    def __init__(self, card: NetworkCard, points: torch.Tensor) -> None:
        super().__init__()
        self.card, self.points = card, points

    def forward(self, images: torch.Tensor) -> PoseOutput:
        points = self.points.clone()
        if images[0, 0, 0, 0] < images[0, 0, 0, -1]:  # the crop's brightness falls from left to right
            points = points[:, COCO_17.flip_permutation.tolist()]
            points[..., 0] = 23 - points[..., 0] + (1 if self.card.flip_shift else 0)
        maps, _ = encode_heatmaps(points, torch.ones(points.shape[:2]), (24, 32), 2.0)
        return PoseOutput(maps, maps)


def crops(count: int) -> torch.Tensor:
    return torch.linspace(1, 0, 96).expand(count, 3, 128, 96)


@pytest.mark.parametrize("flip_shift", [False, True])
@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("convention", ["dark", "simple-baseline", "udp"])
def test_known_points_come_back_in_pixels_of_the_crop(convention, flip_test, flip_shift):
    card = replace(CARD, affine=convention, flip_shift=flip_shift)
    window = Crop((300.0, 200.0), (96.0, 128.0))
    generator = torch.Generator().manual_seed(0)
    points = 4 + torch.rand(2, 17, 2, generator=generator) * torch.tensor([14.0, 22.0])
    keypoints = estimate_keypoints(Seer(card, points), crops(2), flip_test)  # type: ignore[arg-type]
    # The same points through the image: heatmap -> image -> input, by the affine maps of the convention.
    to_heatmap = torch.from_numpy(crop_to_heatmap(window, (96, 128), (24, 32), convention))
    to_input = torch.from_numpy(crop_to_input(window, (96, 128), convention))
    in_image = torch.linalg.solve(to_heatmap[:, :2], (points.double() - to_heatmap[:, 2]).mT).mT
    expected = in_image @ to_input[:, :2].T + to_input[:, 2]
    torch.testing.assert_close(keypoints[..., :2].double(), expected, atol=0.05, rtol=0)
    assert (keypoints[..., 2] > 0.8).all()


class Patches(nn.Module):
    """Scores each 4 x 4 patch of the crop by a random filter a keypoint: nothing about it is symmetric."""

    def __init__(self) -> None:
        super().__init__()
        self.card = replace(CARD, decoding="argmax")
        self.filters = torch.randn(17, 3, 4, 4, generator=torch.Generator().manual_seed(1))

    def forward(self, images: torch.Tensor) -> PoseOutput:
        maps = nn.functional.conv2d(images - 0.5, self.filters, stride=4)
        return PoseOutput(maps, maps)


def test_flip_test_makes_the_answer_equivariant_under_mirroring():
    net = Patches()
    images = torch.rand(4, 3, 128, 96, generator=torch.Generator().manual_seed(2))
    plain = estimate_keypoints(net, images)  # type: ignore[arg-type]
    mirrored = estimate_keypoints(net, images.flip(3))[:, COCO_17.flip_permutation.tolist()]  # type: ignore[arg-type]
    torch.testing.assert_close(95 - mirrored[..., 0], plain[..., 0], atol=1e-3, rtol=0)
    torch.testing.assert_close(mirrored[..., 1:], plain[..., 1:], atol=1e-3, rtol=0)
    without = estimate_keypoints(net, images, flip_test=False)  # type: ignore[arg-type]
    assert not torch.equal(without, plain)


def test_the_mode_of_the_network_is_left_alone():
    net = build_pose_net(CARD, torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    net.freeze(("res1",))
    estimate_keypoints(net, torch.rand(1, 3, 128, 96))
    assert net.training
    assert not net.backbone.stage_modules("res1")[0].training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_pose_is_scored_by_what_is_seen_of_it():
    assert pose_score(np.array([0.9, 0.2, 0.5, -0.1])) == pytest.approx(0.7)
    assert pose_score(np.array([0.2, 0.1])) == 0.0
