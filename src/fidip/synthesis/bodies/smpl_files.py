"""Files of the SMPL family (SMPL, SMIL): converted once, from the pickle that a user holds to a plain npz.

What is converted is said at one door: axes (the files have y up and the face along +z), the root joint as the origin,
joints as linear functions of the shape instead of a regressor over all vertices, the pose's blend shapes for rotations
about the new axes. Nothing of such a body is part of this package; whoever holds a file uses it under its own licence.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.errors import DataError, RecipeError
from fidip.files import sha256_of, unreadable, write_bytes
from fidip.pickles import read_pickle
from fidip.smpl_joints import BONES, JOINTS, PARENTS
from fidip.synthesis.bodies.obj import read_obj, uvs_of_faces
from fidip.synthesis.bodies.protocol import PARTS

Arrays = dict[str, NDArray[Any]]

FORMAT = 1
VERTICES = 6890
MAX_ARRAY_BYTES = 1 << 29

PICKLED: dict[str, tuple[int | None, ...]] = {
    "v_template": (VERTICES, 3),
    "shapedirs": (VERTICES, 3, None),
    "posedirs": (VERTICES, 3, 9 * (JOINTS - 1)),
    "J_regressor": (JOINTS, VERTICES),
    "weights": (VERTICES, JOINTS),
    "f": (None, 3),
    "kintree_table": (2, JOINTS),
}
"""What a body's pickle must hold; ``None`` is any number but 0."""

CONVERTED: dict[str, tuple[int | None, ...]] = {
    "template": (VERTICES, 3),
    "basis": (None, VERTICES, 3),
    "pose_basis": (9 * (JOINTS - 1), VERTICES, 3),
    "joint_template": (JOINTS, 3),
    "joint_basis": (None, JOINTS, 3),
    "skin": (VERTICES, JOINTS),
    "faces": (None, 3),
    "uvs": (None, 2),
    "face_uvs": (None, 3),
    "uv_layout": (),
    "source_sha256": (),
    "fidip_body": (),
}
"""What a converted body holds."""

AXES = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From the files' axes (left +x, up +y, face +z) to ours (left +x, up +z, face −y): a quarter turn about x."""

PARENT_OF_ROOT = (-1, 2**32 - 1)  # −1, as a signed and as an unsigned number of 32 bits


def convert_body(source: Path | str, out: Path | str, uv_template: Path | str | None = None) -> Arrays:
    """Convert a user's SMPL or SMIL file to an npz for :class:`~fidip.synthesis.bodies.smpl.SmplBody`.

    ``uv_template`` is an OBJ of the same mesh whose ``vt`` lines say where SMPL's textures show what; without it the
    body is unwrapped plainly, front beside back.

    Raises:
        DataError: a file cannot be read, is refused, or is not of this family's form; ``where`` names the array.
        RecipeError: ``out`` does not end in ``.npz``, or is the source.
        StorageError: ``out`` cannot be written.
    """
    if Path(out).suffix != ".npz":
        raise RecipeError(f"{out}: a converted body is an npz; let its name end in .npz")
    if Path(out).resolve() == Path(source).resolve():
        raise RecipeError(f"{out}: the file that is converted; give the converted body another name")
    arrays = body_arrays(read_pickle(source, list(PICKLED)), source)
    arrays |= _plain_layout(arrays) if uv_template is None else _template_layout(arrays, uv_template)
    arrays["source_sha256"] = np.array(sha256_of(source))
    arrays["fidip_body"] = np.array(FORMAT)
    stream = io.BytesIO()
    np.savez_compressed(stream, **dict[str, Any](arrays))
    write_bytes(out, stream.getvalue())
    return arrays


def read_body(path: Path | str) -> Arrays:
    """The arrays of a converted body, checked.

    Raises:
        DataError: the file cannot be read, is no converted body, or an array has another shape or is not finite.
    """
    path = Path(path)
    if path.suffix in (".pkl", ".pickle"):
        remedy = f"convert it once: fidip convert-body {path.name} --out {path.stem}.npz"
        raise DataError(path, "", f"a pickle, which is not read over and over; {remedy}")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > 2 * MAX_ARRAY_BYTES:
                raise DataError(path, "", "larger than any body; convert the body anew with fidip convert-body")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name in CONVERTED}
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(path, "", "no npz of a body, or damaged; write it with fidip convert-body") from error
    missing = [name for name in CONVERTED if name not in arrays]
    if missing:
        raise DataError(path, missing[0], "is missing; convert the body anew with fidip convert-body")
    for name, shape in CONVERTED.items():
        _check(arrays[name], shape, name, path)
    for name, count in (("faces", VERTICES), ("face_uvs", len(arrays["uvs"]))):
        _check_indices(arrays[name], count, name, path)
    if len(arrays["basis"]) != len(arrays["joint_basis"]) or arrays["faces"].shape != arrays["face_uvs"].shape:
        raise DataError(path, "", "its arrays do not belong together; convert the body anew with fidip convert-body")
    return arrays


def body_arrays(pickled: Mapping[str, Any], source: Path | str) -> Arrays:
    """The arrays of a pickle in this package's axes, metres, from the root joint. Raises ``DataError``."""
    raw = {name: np.asarray(pickled[name]) for name in PICKLED}
    for name, shape in PICKLED.items():
        _check(raw[name], shape, name, source)
    _check_indices(raw["f"], VERTICES, "f", source)
    root, *others = raw["kintree_table"][0].astype(np.int64).tolist()
    if root not in PARENT_OF_ROOT or tuple(others) != PARENTS[1:]:
        raise DataError(source, "kintree_table", "its bones hang together in another way than SMPL's; give a file of "
                        "SMPL or SMIL with 24 joints")  # fmt: skip
    weights = raw["weights"].astype(np.float64)
    if weights.min() < -1e-4 or abs(weights.sum(1) - 1).max() > 1e-2:
        raise DataError(source, "weights", "the bones' shares of a vertex do not sum to one; the file is damaged")
    vertices = raw["v_template"].astype(np.float64) @ AXES.T
    shapes = np.einsum("vas,xa->svx", raw["shapedirs"].astype(np.float64), AXES)
    regressor = raw["J_regressor"].astype(np.float64)
    joints, joint_shapes = regressor @ vertices, np.einsum("jv,svx->sjx", regressor, shapes)
    _check_posture(vertices, joints, source)
    poses = raw["posedirs"].astype(np.float64).reshape(VERTICES, 3, JOINTS - 1, 3, 3)
    # R = A R' Aᵀ element by element: the blend shapes of rotations about the old axes, for those about the new ones.
    poses = np.einsum("vajbc,xa,pb,qc->jpqvx", poses, AXES, AXES, AXES, optimize=True)
    return {
        "template": (vertices - joints[0]).astype(np.float32),
        "basis": (shapes - joint_shapes[:, :1]).astype(np.float32),
        "pose_basis": poses.reshape(-1, VERTICES, 3).astype(np.float32),
        "joint_template": (joints - joints[0]).astype(np.float32),
        "joint_basis": (joint_shapes - joint_shapes[:, :1]).astype(np.float32),
        "skin": (weights / weights.sum(1, keepdims=True)).astype(np.float32),
        "faces": raw["f"].astype(np.uint16),
    }


def _check(array: NDArray[Any], shape: tuple[int | None, ...], name: str, file: Path | str) -> None:
    fits = len(array.shape) == len(shape) and all(
        given > 0 if wanted is None else given == wanted for given, wanted in zip(array.shape, shape, strict=False)
    )
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        problem = (
            f"has the shape {array.shape}, where ({expected}) is expected; give a file of SMPL or SMIL with 24 joints"
        )
        raise DataError(file, name, problem)
    if array.dtype.kind not in ("U" if name in ("uv_layout", "source_sha256") else "fiu"):
        raise DataError(file, name, f"holds values of the type {array.dtype}, where numbers are expected")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(file, name, "holds a value that is not finite; the file is damaged")


def _check_indices(array: NDArray[Any], count: int, name: str, file: Path | str) -> None:
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= count:
        raise DataError(file, name, f"holds a value that is no index from 0 to {count - 1}; the file is damaged")


def _check_posture(vertices: NDArray[np.float64], joints: NDArray[np.float64], source: Path | str) -> None:
    """A body in metres that stands with its left at +x: anything else has other axes, units or order of joints."""
    size = np.ptp(vertices, axis=0).max()
    if not 0.3 < size < 2.5:
        raise DataError(source, "v_template", f"the body measures {size:.3g}; SMPL and SMIL are in metres")
    at = dict(zip(BONES, joints, strict=True))
    upright = at["head"][2] > at["pelvis"][2] > at["left_ankle"][2]
    if not upright or at["left_shoulder"][0] < at["right_shoulder"][0]:
        problem = "the body does not stand along +y with its left at +x, as SMPL and SMIL do; convert its axes first"
        raise DataError(source, "v_template", problem)


def _template_layout(arrays: Arrays, template: Path | str) -> Arrays:
    layout = read_obj(template)
    if layout.vertices != VERTICES:
        raise DataError(template, "", f"has {layout.vertices} vertices, where SMPL's template has {VERTICES}")
    try:
        face_uvs = uvs_of_faces(layout, arrays["faces"].astype(np.int64))
    except ValueError as error:
        raise DataError(template, "", f"{error}; give the UV template of SMPL") from error
    return {"uvs": layout.uvs, "face_uvs": face_uvs, "uv_layout": np.array("smpl")}


def _plain_layout(arrays: Arrays) -> Arrays:
    """Front beside back, as a tailor lays out cloth: each face whole on the side to which it turns."""
    x, _, z = arrays["template"].T
    side = (x - x.min()) / np.ptp(x) / 2  # half the picture's width
    up = (z - z.min()) / np.ptp(z)
    a, b, c = arrays["template"].astype(np.float64)[arrays["faces"].astype(np.int64)].transpose(1, 0, 2)
    behind = np.cross(b - a, c - a)[:, 1] > 0
    return {
        "uvs": np.concatenate([np.stack([side, up], 1), np.stack([1 - side, up], 1)]).astype(np.float32),
        "face_uvs": (arrays["faces"].astype(np.int32) + VERTICES * behind[:, None]).astype(np.int32),
        "uv_layout": np.array("plain"),
    }


PART_OF_BONE = {"pelvis": "torso", "neck": "head"} | {
    f"{side}_{bone}": f"{side}_{part}"
    for side in ("left", "right")
    for bone, part in (
        ("hip", "thigh"), ("knee", "shin"), ("ankle", "foot"), ("shoulder", "upper_arm"), ("elbow", "forearm"),
        ("wrist", "hand"),
    )
}  # fmt: skip
"""The first bone of each part; the bones below it belong to it until another begins."""


def face_parts(faces: NDArray[np.integer], skin: NDArray[np.floating]) -> NDArray[np.int32]:  # (F, 3), (V, J) -> (F,)
    """The body part of each face: that of the bones that carry most of it."""
    of_bone: list[int] = []
    for name, parent in zip(BONES, PARENTS, strict=True):
        of_bone.append(PARTS.index(PART_OF_BONE[name]) if name in PART_OF_BONE else of_bone[parent])
    carried = skin @ np.eye(len(PARTS))[of_bone]
    return np.asarray(carried[faces].sum(1).argmax(1), np.int32)
