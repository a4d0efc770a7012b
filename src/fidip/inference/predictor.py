"""From a photo to poses: crop, estimate, map back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.annotations import Box, FloatArray, Person
from fidip.data.samples import box_of_keypoints, cut
from fidip.errors import FidipError
from fidip.geometry import Crop, Size, apply_affine, crop_around, crop_of_box, crop_to_input, invert_affine
from fidip.networks.devices import find_device, lay_out
from fidip.networks.estimation import SEEN, estimate_keypoints, pose_score
from fidip.networks.pose import PoseNet
from fidip.networks.weights import load_pose_net

ENOUGH_TO_REFINE = 4
"""So many keypoints must be seen in the whole image before a box is drawn around them."""


class Predictor:
    """A pose network ready for photos. It owns the crops, the device and the coordinates; the caller gives RGB images.

    ``net`` is moved to ``device``; with ``flip_test`` every crop is also seen mirrored, which takes twice as long.
    """

    def __init__(self, net: PoseNet, device: torch.device | str = "cpu", flip_test: bool = True) -> None:
        self.net, self.device, self.flip_test = net.to(device).eval(), torch.device(device), flip_test
        lay_out(self.net, self.device)

    @classmethod
    def load(cls, weights: Path | str, device: torch.device | str = "cpu", flip_test: bool = True) -> Predictor:
        """A predictor with the network of a ``.safetensors`` file, or of an embedded network's name.

        Raises:
            WeightsError: there is no such network, or the file is damaged.
            RecipeError: this machine has no such device.
        """
        return cls(load_pose_net(weights), find_device(str(device)), flip_test)

    def __call__(self, image: NDArray[np.uint8], boxes: Sequence[Box] | None = None) -> list[Person]:
        """The people of an image (H, W, 3), RGB uint8: one a box, in their order.

        Without boxes the image is taken to show one person: a first look at the whole of it finds the pose, a second
        one at the box around that pose refines it. Keypoints (K, 3) are x, y in pixels of the image and the network's
        confidence; a person's score is the mean of the confidences above 0.2, or 0.

        Raises:
            FidipError: less than two pixels of a box lie in the image.
        """
        card, size = self.net.card, (image.shape[1], image.shape[0])
        if boxes is not None:
            crops = [crop_of_box(box, size, card.input_size, card.affine) for box in boxes]
            if None in crops:
                number = crops.index(None)
                raise FidipError(
                    f"box {number + 1} of {len(crops)}, {boxes[number]}, is not in the image: leave it out"
                )
            return self._estimate(image, boxes, [crop for crop in crops if crop is not None])
        whole: Box = (0.0, 0.0, float(size[0]), float(size[1]))
        (first,) = self._estimate(image, [whole], [crop_around(whole, card.input_size, card.affine)])
        refined = _box_of_pose(first.keypoints, size)
        crop = None if refined is None else crop_of_box(refined, size, card.input_size, card.affine)
        return [first] if refined is None or crop is None else self._estimate(image, [refined], [crop])

    def _estimate(self, image: NDArray[np.uint8], boxes: Sequence[Box], crops: Sequence[Crop]) -> list[Person]:
        card = self.net.card
        if not crops:
            return []
        inputs = np.stack([cut(image, crop, card.input_size, card.affine) for crop in crops])
        images = torch.from_numpy(inputs).to(self.device).permute(0, 3, 1, 2).float() / 255
        estimates = estimate_keypoints(self.net, images, self.flip_test).cpu().numpy().astype(np.float64)
        return [
            Person(self._in_image(keypoints, crop), box=box, score=pose_score(keypoints[:, 2]))
            for keypoints, crop, box in zip(estimates, crops, boxes, strict=True)
        ]

    def _in_image(self, keypoints: FloatArray, crop: Crop) -> FloatArray:  # (K, 3) -> (K, 3)
        card = self.net.card
        back = invert_affine(crop_to_input(crop, card.input_size, card.affine))
        return np.column_stack([apply_affine(back, keypoints[:, :2]), keypoints[:, 2]])


def _box_of_pose(keypoints: FloatArray, size: Size) -> Box | None:
    """The box around what was seen of a pose inside the image; ``None`` if too little was seen."""
    seen = keypoints[keypoints[:, 2] > SEEN, :2]
    inside = np.clip(seen, 0, np.array(size) - 1)
    return box_of_keypoints(inside) if len(seen) >= ENOUGH_TO_REFINE else None
