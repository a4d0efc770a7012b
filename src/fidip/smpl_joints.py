"""The joints that the bodies of SMPL's family share: their order, what hangs on what, which of them COCO labels too.

Bodies and data sets have the same ones. MINI-RGBD and SURREAL call a bone by its flesh (thigh, calf, foot) where SMPL
calls it by the joint at which it begins (hip, knee, ankle).
"""

from __future__ import annotations

BONES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

JOINTS = len(BONES)

KEYPOINT_JOINTS = {
    f"{side}_{keypoint}": BONES.index(f"{side}_{keypoint}")
    for keypoint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
}
"""The joint that has a keypoint's name. The hip's is the head of the femur and lies elsewhere than COCO's hip."""
