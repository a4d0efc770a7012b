"""From crops to keypoints: the network, the flip test and the decoding that the network's card names."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fidip.heatmaps import decode_heatmaps
from fidip.networks.pose import PoseNet
from fidip.skeleton import SKELETONS

SEEN = 0.2
"""Confidence above which a keypoint counts as seen, as in the published evaluation; below it is a guess."""


def pose_score(confidences: NDArray[np.floating]) -> float:  # (K,)
    """The score of a pose: the mean confidence of the keypoints that are seen, or 0 (SimpleBaseline's rescoring)."""
    seen = confidences[confidences > SEEN]
    return float(seen.mean()) if len(seen) else 0.0


@torch.inference_mode()
def estimate_keypoints(net: PoseNet, images: Tensor, flip_test: bool = True) -> Tensor:
    """Keypoints of crops (B, 3, H, W), RGB in [0, 1]: (B, K, 3) x, y in pixels of the crop and the maximum as a score.

    With the flip test the heatmaps of the mirrored crop are mirrored back, left and right exchanged, and averaged with
    the plain ones; a card with ``flip_shift`` has them moved one pixel to the right first (SimpleBaseline). The network
    is put into evaluation mode for the call and left in the mode it had.
    """
    card = net.card
    was_training = net.training
    net.eval()
    try:
        heatmaps = net(images).heatmaps
        if flip_test:
            mirrored = net(images.flip(3)).heatmaps.flip(3)
            mirrored = mirrored[:, torch.from_numpy(SKELETONS[card.skeleton].flip_permutation)]
            if card.flip_shift:
                mirrored = torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=3)
            heatmaps = (heatmaps + mirrored) / 2
    finally:
        net.train(was_training)
    keypoints = decode_heatmaps(heatmaps, card.decoding, card.blur_kernel)
    size = torch.tensor([images.shape[3], images.shape[2]], device=images.device)
    grid = torch.tensor([heatmaps.shape[3], heatmaps.shape[2]], device=images.device)
    if card.affine == "dark":  # both grids lie centred on one window, and its width sets the scale of either
        scale = (images.shape[3] - 1) / (heatmaps.shape[3] - 1)
        keypoints[..., :2] = (keypoints[..., :2] - (grid - 1) / 2) * scale + (size - 1) / 2
    elif card.affine == "udp":  # the outer pixels of both grids lie on each other
        keypoints[..., :2] *= (size - 1) / (grid - 1)
    else:
        keypoints[..., :2] *= size / grid
    return keypoints
