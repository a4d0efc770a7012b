"""Miniature copies of the folders that published data sets come in, made of numbers only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.io import savemat

from fidip.skeleton import COCO_17

PERSON_CATEGORY = {
    "id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO_17.keypoints), "skeleton": [[16, 14]],
}  # fmt: skip


def picture(path: Path, size: tuple[int, int], seed: int = 0) -> Path:
    """A picture (width, height) unlike those of other seeds, in blocks that a JPEG keeps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:height, :width]).save(path)
    return path


def keypoints(points: Mapping[int, Sequence[float]]) -> list[float]:
    """COCO's 51 numbers from a few points (x, y, visibility) by index; the others unlabelled."""
    return [float(value) for k in range(17) for value in points.get(k, (0, 0, 0))]


def write_coco_document(path: Path, images: list[dict], annotations: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"images": images, "annotations": annotations, "categories": [PERSON_CATEGORY]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def syrip_image(id: int, name: str, size: tuple[int, int], **fields: object) -> dict:
    return {
        "file_name": name, "is_synthetic": False, "frame_id": 0, "height": size[1], "id": id, "is_labeled": True,
        "nframes": 18000, "original_file_name": name, "width": size[0], "posture": "Supine", **fields,
    }  # fmt: skip


def syrip_label(id: int, points: Mapping[int, Sequence[float]], box: Sequence[float], area: float = 14232.769) -> dict:
    return {
        "id": id, "image_id": id, "category_id": 1, "bbox": list(box), "keypoints": keypoints(points),
        "num_keypoints": 17, "area": area, "segmentation": [[]], "iscrowd": 0, "bbox_head": [], "scores": [],
        "track_id": 0,
    }  # fmt: skip


def mini_rgbd_frame(
    sequence: Path, number: int, joints: np.ndarray, mask: np.ndarray, depth: np.ndarray
) -> None:  # (25, 3) pixels and millimetres, (H, W), (H, W) millimetres
    """One frame as MINI-RGBD stores it."""
    stem = f"{number:05d}"
    picture(sequence / "rgb" / f"syn_{stem}.png", (mask.shape[1], mask.shape[0]), seed=number)
    for folder in ("fg_mask", "depth", "joints_2Ddep"):
        (sequence / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(sequence / "fg_mask" / f"mask_{stem}.png")
    Image.fromarray(depth.astype(np.uint16)).save(sequence / "depth" / f"syn_{stem}_depth.png")
    lines = [f"{x:.4f} {y:.4f} {z:.4f} {j}" for j, (x, y, z) in enumerate(joints)]
    (sequence / "joints_2Ddep" / f"syn_joints_2Ddep_{stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def surreal_clip(
    stem: Path, joints: np.ndarray, segm: Sequence[np.ndarray] | None = None, size: tuple[int, int] = (320, 240), **more
) -> Path:  # (T, 24, 2)
    """One clip as SURREAL stores it: video, labels and, if given, the part of each pixel. Frame t is 20 t + 20 red."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    video = stem.with_name(f"{stem.name}.mp4")
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 30, size)
    for frame in range(len(joints)):
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[..., 2] = 20 * (frame % 12) + 20  # OpenCV's third channel is red
        writer.write(pixels)
    writer.release()
    arrays = {"joints2D": joints.transpose(2, 1, 0).astype(np.float32)}
    if len(joints) == 1:  # as MATLAB does
        arrays["joints2D"] = arrays["joints2D"][..., 0]
    names = np.array(["texture.jpg"] * len(joints), dtype=object)
    savemat(stem.with_name(f"{stem.name}_info.mat"), {**arrays, "cloth": names, **more}, do_compression=True)
    if segm is not None:
        parts = {f"segm_{t + 1}": values.astype(np.uint8) for t, values in enumerate(segm)}
        savemat(stem.with_name(f"{stem.name}_segm.mat"), parts, do_compression=True)
    return video


RIG = (
    "pelvis", "left_thigh", "right_thigh", "spine", "left_calf", "right_calf", "spine1", "left_foot", "right_foot",
    "spine2", "left_toes", "right_toes", "neck", "left_collar", "right_collar", "head", "left_upper_arm",
    "right_upper_arm", "left_forearm", "right_forearm", "left_hand", "right_hand", "left_fingers", "right_fingers",
)  # fmt: skip
"""SMPL's joints in the words of the data sets."""


def standing_joints(x: float = 100.0, y: float = 40.0) -> np.ndarray:  # (24, 2)
    """SMPL's joints of somebody who stands before the camera, pixels in whole numbers; left is at larger x."""
    offsets = {
        "pelvis": (0, 80), "thigh": (10, 90), "spine": (0, 60), "calf": (12, 130), "spine1": (0, 50), "foot": (12, 165),
        "spine2": (0, 40), "toes": (14, 172), "neck": (0, 15), "collar": (8, 22), "head": (0, 5),
        "upper_arm": (25, 25), "forearm": (28, 55), "hand": (30, 80), "fingers": (30, 88),
    }  # fmt: skip
    joints = np.zeros((24, 2))
    for j, name in enumerate(RIG):
        side, _, part = name.partition("_")
        dx, dy = offsets[part] if side in ("left", "right") else offsets[name]
        joints[j] = x + (-dx if side == "right" else dx), y + dy
    return joints


def coco_label(
    id: int, image: int, points: Mapping[int, Sequence[float]], box: Sequence[float], area: float, crowd: int = 0
) -> dict:
    values = keypoints(points)
    return {
        "id": id, "image_id": image, "category_id": 1, "iscrowd": crowd, "bbox": list(box), "area": area,
        "keypoints": values, "num_keypoints": sum(v > 0 for v in values[2::3]),
        "segmentation": [[1.0, 1.0, 2.0, 1.0, 2.0, 2.0]],
    }  # fmt: skip


def coco_folder(root: Path, people: Mapping[int, int], size: tuple[int, int] = (64, 48)) -> Path:
    """A COCO folder: so many people in each image by id, each with three keypoints."""
    images, labels = [], []
    for image, count in people.items():
        name = f"{image:012d}.jpg"
        picture(root / "val2017" / name, size, seed=image)
        images.append(
            {"id": image, "file_name": name, "width": size[0], "height": size[1], "license": 3, "coco_url": "http://x"}
        )
        for number in range(count):
            points = {0: (10 + number, 12, 2), 5: (8, 20, 1), 6: (14, 20, 2)}
            labels.append(coco_label(1000 * image + number, image, points, (5, 8, 20, 30), 300.5))
    write_coco_document(root / "annotations" / "person_keypoints_val2017.json", images, labels)
    return root
