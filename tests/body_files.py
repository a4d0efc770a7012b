"""Forged files of the SMPL family: a humanoid of 6890 vertices cut from the bundled body, as a pickle."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse
import torch
from scipy.spatial import cKDTree

from fidip.skeleton import COCO_17
from fidip.smpl_joints import BONES, PARENTS
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.smpl import KEYPOINT_VERTICES
from fidip.synthesis.bodies.smpl_files import VERTICES

FIRST_BONES = {
    "pelvis": "root", "spine1": "spine04", "spine2": "spine03", "spine3": "spine02", "neck": "neck01", "head": "head",
    **{
        f"{side}_{ours}": f"{theirs}.{side[0].upper()}"
        for side in ("left", "right")
        for ours, theirs in (
            ("hip", "upperleg01"), ("knee", "lowerleg01"), ("ankle", "foot"), ("foot", "toe1-1"),
            ("collar", "clavicle"), ("shoulder", "upperarm01"), ("elbow", "lowerarm01"),
            ("wrist", "wrist"), ("hand", "finger3-1"),
        )
    },
}  # fmt: skip
"""The bundled body's bone at which each of SMPL's begins."""

TO_SMPL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # z up, face −y  ->  y up, face +z


class Ch:
    """Pickles like chumpy's class of that name: a leaf with its array in ``x``."""

    def __init__(self, x: object = None, **state: object) -> None:
        self.__dict__.update(state if x is None else {"x": x, **state})


class Mahalanobis:
    """Pickles like the prior of SMIL's authors, a class of their script."""

    def __init__(self, mean: object, prec: object, prefix: int) -> None:
        self.mean, self.prec, self.prefix = mean, prec, prefix


@contextmanager
def disguised(kind: type, module: str) -> Iterator[None]:
    """Let a class of the tests be pickled as one of another module, which need not exist."""
    own = kind.__module__
    parts = module.split(".")
    names = [".".join(parts[: end + 1]) for end in range(len(parts))]
    added = {name: types.ModuleType(name) for name in names if name not in sys.modules}
    sys.modules.update(added)
    kind.__module__ = module
    setattr(sys.modules[module], kind.__name__, kind)
    try:
        yield
    finally:
        kind.__module__ = own
        delattr(sys.modules[module], kind.__name__)
        for name in added:
            del sys.modules[name]


@cache
def humanoid(shapes: int = 10) -> dict[str, Any]:
    """Plain arrays under the names of a SMPL pickle, in its axes: y up, face +z, metres; the same at every call."""
    body = AnnyBody.load()
    rest = body.rest(body.draw_shape(np.random.default_rng(3), "infant", (0.4, 0.6))[0][None])
    vertices, joints, keypoints = (x[0].double().numpy() for x in (rest.vertices, rest.joints, rest.keypoints))
    chosen = _chosen(vertices, keypoints)
    nearest = cKDTree(vertices[chosen]).query(vertices)[1]
    faces = nearest[body.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)].astype(np.uint32)
    template = vertices[chosen] @ TO_SMPL.T
    targets = joints[[body.bone_names.index(FIRST_BONES[name]) for name in BONES]] @ TO_SMPL.T
    rng = np.random.default_rng(0)
    bends = rng.normal(0, 0.002, (VERTICES, 3, 207))
    V = len(vertices)
    basis = body.basis[:shapes].view(shapes, -1, 3)[:, :V][:, chosen].double().numpy()
    return {
        "v_template": template,
        "shapedirs": np.einsum("sva,xa->vxs", basis, TO_SMPL),
        "posedirs": bends.astype(np.float32),
        "J_regressor": _regressor(template, targets),
        "weights": _weights(body)[chosen],
        "f": faces,
        "kintree_table": np.stack([np.array([2**32 - 1, *PARENTS[1:]]), np.arange(24)]).astype(np.uint32),
    }


def _chosen(vertices: np.ndarray, keypoints: np.ndarray) -> np.ndarray:  # (6890,)
    """Every second vertex or so, with those nearest to nose, eyes and ears at SMPL's places for them."""
    tree = cKDTree(vertices)
    head = {number: COCO_17.keypoints.index(name) for name, number in KEYPOINT_VERTICES.items()}
    fixed = {number: int(tree.query(keypoints[k])[1]) for number, k in head.items()}
    others = np.setdiff1d(np.arange(len(vertices)), list(fixed.values()))
    others = others[np.linspace(0, len(others) - 1, VERTICES - len(fixed)).astype(int)]
    places = np.setdiff1d(np.arange(VERTICES), list(fixed))
    chosen = np.empty(VERTICES, int)
    chosen[places], chosen[list(fixed)] = others, list(fixed.values())
    return chosen


def _regressor(template: np.ndarray, targets: np.ndarray) -> np.ndarray:  # (24, V)
    """Each joint as the smallest affine combination of the sixty vertices nearest to it."""
    regressor = np.zeros((len(targets), len(template)))
    tree = cKDTree(template)
    for row, target in zip(regressor, targets, strict=True):
        near = tree.query(target, 60)[1]
        system = np.vstack([template[near].T, np.ones(len(near))])
        row[near] = np.linalg.lstsq(system, np.append(target, 1), rcond=None)[0]
    return regressor


def _weights(body: AnnyBody) -> np.ndarray:  # (V, 24)
    of_bone: list[int] = []
    begins = {theirs: BONES.index(ours) for ours, theirs in FIRST_BONES.items()}
    for name, parent in zip(body.bone_names, body.bone_parents, strict=True):
        of_bone.append(begins.get(name, of_bone[parent] if parent >= 0 else 0))
    return body.skin.double().numpy() @ np.eye(24)[of_bone]


def forged(protocol: int = 2, **changes: Any) -> bytes:
    """The humanoid as a pickle with chumpy leaves and a sparse regressor, as the published files have them."""
    arrays = humanoid() | changes
    with disguised(Ch, "chumpy.ch"):
        content: dict[str, Any] = {
            name: Ch(array, _dirty_vars=set(), _itr=None) if name in ("v_template", "shapedirs", "weights") else array
            for name, array in arrays.items()
        }
        if isinstance(content.get("J_regressor"), np.ndarray):
            content["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
        content |= {"bs_type": "lrotmin", "J": Ch(A=1), "pose_training_info": {"gender": "infant"}}
        return pickle.dumps({name: value for name, value in content.items() if value is not None}, protocol)


def rotations(rng: np.random.Generator, batch: int, size: float = 0.4) -> torch.Tensor:  # (batch, 24, 3)
    return torch.tensor(rng.normal(0, size, (batch, 24, 3)))
