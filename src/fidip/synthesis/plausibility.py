"""What tells a possible pose from an impossible one; it replaces sorting synthetic images by hand.

Every check answers with reasons in words, so that a share of rejects can be explained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import ConvexHull, cKDTree

from fidip.synthesis.anatomy import MOTIONS, joint_angles
from fidip.synthesis.bodies.protocol import ADJACENT_PARTS, PARTS, BodyModel, Population
from fidip.synthesis.poses import SETTLED, Pose, Posture, Resting, area_vectors, centre_of_mass
from fidip.synthesis.surface import incidence, vertex_normals

Check = Literal["joint limit", "self-penetration", "below the floor", "out of balance", "off its soles"]

SLACK_DEGREES = 2.0  # rounding of what was drawn at a limit
DEEPEST_SHARE = 0.012  # of the stature: flesh gives that much where two parts of the body press
SUNKEN_SHARE = 0.03  # of the stature: what may lie below the floor, as on a mattress
FREE_STANDING: frozenset[tuple[Population, Posture]] = frozenset({("adult", "standing")})
"""Who must keep the centre of mass over the soles; an infant is held, a stride falls forwards, the rest are laid."""


SOLES: dict[Posture, int] = {"standing": 2, "walking": 1}
"""How many feet are flat on the floor."""

SOLE_SHARE = 0.012  # of the stature: skin so near the floor is a sole's
FLAT = 0.36
"""Of a foot's skin on the floor when it stands flat: 0.37 to 0.48 where the ankle is level, less on toes or edges."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a pose is refused."""

    check: Check
    detail: str

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}"


def check_resting(body: BodyModel, resting: Resting) -> tuple[Fault, ...]:
    """Every fault of a body that was laid down: those of its pose, and that it had to topple."""
    return check_pose(body, resting.pose, resting.vertices) + toppling(resting)


def check_pose(
    body: BodyModel,
    pose: Pose,
    vertices: NDArray[np.float32],  # (V, 3) in the world
) -> tuple[Fault, ...]:
    """Every fault of a posed body: joints, self-penetration, floor, balance."""
    length = stature(vertices, body.faces)
    return (
        *joint_faults(pose.rotations, body.bone_names),
        *penetration_faults(body, vertices, DEEPEST_SHARE * length),
        *floor_faults(vertices, SUNKEN_SHARE * length),
        *_sole_faults(body, pose, vertices, SOLE_SHARE * length),
        *(_balance_faults(body, vertices) if (pose.population, pose.posture) in FREE_STANDING else ()),
    )


def joint_faults(rotations: NDArray[np.floating], bone_names: tuple[str, ...]) -> tuple[Fault, ...]:
    """Motions beyond the limits of joints."""
    return tuple(
        Fault("joint limit", f"{name} {value:.0f} degrees, limits {MOTIONS[name][0]:.0f} to {MOTIONS[name][1]:.0f}")
        for name, value in joint_angles(rotations, bone_names).items()
        if not MOTIONS[name][0] - SLACK_DEGREES <= value <= MOTIONS[name][1] + SLACK_DEGREES
    )


def penetration_faults(body: BodyModel, vertices: NDArray[np.float32], deepest: float) -> tuple[Fault, ...]:
    """Pairs of parts, not neighbours, of which one reaches deeper into the other than ``deepest`` metres."""
    return tuple(
        Fault("self-penetration", f"{PARTS[one.inner]} {one.depth * 1000:.0f} mm into {PARTS[one.outer]}")
        for one in overlaps(body, vertices, deepest)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Where a part reaches deepest into another: parts are indices into ``PARTS``."""

    inner: int
    outer: int
    point: NDArray[np.floating]  # (3,) of the inner part, in the world
    out: NDArray[np.floating]  # (3,) of unit length: the shortest way out for it
    depth: float  # metres along that way


FAR = 4
"""Times the depth that is allowed: parts that are further away are not asked whether they are the nearest."""


def overlaps(body: BodyModel, vertices: NDArray[np.float32], deepest: float) -> tuple[Overlap, ...]:
    """Pairs of parts, not neighbours, of which one reaches deeper into the other than ``deepest`` metres.

    A vertex is inside the body where the nearest vertex of any other part faces away from it; its depth is measured
    along that vertex's normal. Where that part is a neighbour it is the fold of a joint, which is no fault.
    """
    own, around = _topology(body)
    normals = vertex_normals(vertices, body.faces, around)
    trees: dict[int, cKDTree] = {}
    low, high = (np.stack([end(vertices[indices], 0) for indices in own]) for end in (np.min, np.max))
    found: dict[frozenset[int], Overlap] = {}
    for part, indices in enumerate(own):
        strangers = [other for other in range(len(PARTS)) if not _neighbours(part, other)]
        points = vertices[indices[::PROBES]]
        inside = (points[:, None] > low[strangers]) & (points[:, None] < high[strangers])  # (n, parts, 3) their boxes
        near = np.any(np.all(inside, axis=2), axis=1)
        if not near.any():
            continue
        points = points[near]
        start, end = points.min(0) - FAR * deepest, points.max(0) + FAR * deepest
        others = [
            other
            for other in range(len(PARTS))
            if other != part and (low[other] < end).all() and (high[other] > start).all()
        ]
        trees |= {other: cKDTree(vertices[own[other]]) for other in others if other not in trees}
        distances, places = zip(*(trees[other].query(points) for other in others), strict=True)
        closest = np.argmin(distances, 0)
        for row, point in enumerate(points):
            other = others[closest[row]]
            vertex = own[other][places[closest[row]][row]]
            depth = float((vertices[vertex] - point) @ normals[vertex])
            # Inside, the way to the nearest surface runs along its normal; otherwise the point is off an edge.
            if depth > deepest and depth > 0.5 * distances[closest[row]][row] and not _neighbours(part, other):
                pair = frozenset((part, other))
                if pair not in found or depth > found[pair].depth:
                    found[pair] = Overlap(part, other, point, normals[vertex], depth)
    return tuple(found.values())


_TOPOLOGIES: WeakKeyDictionary[BodyModel, tuple[list[NDArray[np.intp]], csr_matrix]] = WeakKeyDictionary()


def _topology(body: BodyModel) -> tuple[list[NDArray[np.intp]], csr_matrix]:
    """The vertices of each part, and which faces lie round which vertex; worked out once per body model."""
    if body not in _TOPOLOGIES:
        own = [np.unique(body.faces[body.face_parts == part]) for part in range(len(PARTS))]
        _TOPOLOGIES[body] = own, incidence(body.faces, int(body.faces.max()) + 1)
    return _TOPOLOGIES[body]


PROBES = 4  # one vertex in so many is probed; vertices are a few millimetres apart


def _neighbours(first: int, second: int) -> bool:
    return first == second or frozenset((first, second)) in ADJACENT_PARTS


def reasons(refused: Iterable[tuple[Fault, ...]]) -> dict[str, int]:
    """How many refused draws each check, and for penetration each pair of parts, had a say in."""
    counts: Counter[str] = Counter()
    for faults in refused:
        counts.update({_reason(fault) for fault in faults})
    return dict(counts.most_common())


def _reason(fault: Fault) -> str:
    words = fault.detail.split(" ")
    return " in ".join(sorted((words[0], words[-1]))) if fault.check == "self-penetration" else fault.check


def toppling(resting: Resting) -> tuple[Fault, ...]:
    """Whether a body tilted as far as it was let, on its way to another posture."""
    most = SETTLED[resting.pose.posture]
    if most and resting.tilt > 0.97 * most:
        return (Fault("out of balance", f"topples by more than {most:.0f} degrees"),)
    return ()


def stature(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> float:
    """A length that no pose changes: that of a grown or newborn person of this surface."""
    area = np.linalg.norm(area_vectors(vertices, faces), axis=1).sum() / 2
    return float(np.sqrt(area / STATURE_AREA))


STATURE_AREA = 0.7
"""Skin over squared stature, within a fifth from birth to old age."""


def floor_faults(vertices: NDArray[np.float32], deepest: float) -> tuple[Fault, ...]:
    """Whether a body lies deeper in the floor than ``deepest`` metres."""
    sunken = -float(vertices[:, 2].min())
    if sunken > deepest:
        return (Fault("below the floor", f"{sunken * 1000:.0f} mm"),)
    return ()


def _sole_faults(body: BodyModel, pose: Pose, vertices: NDArray[np.float32], near: float) -> tuple[Fault, ...]:
    """Whether those who stand do so on their soles rather than on toes, heels or edges."""
    wanted = SOLES.get(pose.posture, 0)
    if not wanted:
        return ()
    areas = np.linalg.norm(area_vectors(vertices, body.faces), axis=1)
    low = vertices[:, 2][body.faces].max(1) < near
    feet = [body.face_parts == PARTS.index(f"{side}_foot") for side in ("left", "right")]
    flat = sum(areas[foot & low].sum() >= FLAT * areas[foot].sum() for foot in feet)
    if flat < wanted:
        return (Fault("off its soles", f"{flat} of {wanted} feet flat on the floor"),)
    return ()


def _balance_faults(body: BodyModel, vertices: NDArray[np.float32]) -> tuple[Fault, ...]:
    centre = centre_of_mass(vertices, body.faces, area_vectors(vertices, body.faces))[:2]
    soles = vertices[vertices[:, 2] < 0.015 * np.ptp(vertices[:, 2])][:, :2]
    if len(soles) < 3:
        return (Fault("out of balance", "nothing stands on the floor"),)
    hull = ConvexHull(soles)
    outside = float((hull.equations[:, :2] @ centre + hull.equations[:, 2]).max())
    if outside > 0:
        return (Fault("out of balance", f"centre of mass {outside * 1000:.0f} mm beyond the support"),)
    return ()
