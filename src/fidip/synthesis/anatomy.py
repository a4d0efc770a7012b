"""Joints in an anatomist's words: motions in degrees with their limits, and the bone rotations that they mean.

A pose is a mapping such as ``{"left_hip_flexion": 80.0, "neck_twist": -30.0}``. Every motion is zero, or its value in
``REFERENCE``, in the body's reference pose; limbs are described on the left and mirrored. Axes are the body's: z up,
face along −y, left along +x.

Limits are passive ranges of healthy infants and adults together, rounded outwards: the ranges of Norkin and White,
"Measurement of Joint Motion", widened where infants are suppler (hip abduction and rotation, dorsiflexion).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

LIMITS: dict[str, tuple[float, float]] = {
    "spine_flexion": (-30, 65),
    "spine_bend": (-35, 35),  # to the left
    "spine_twist": (-40, 40),  # to the left
    "neck_flexion": (-60, 50),
    "neck_bend": (-40, 40),
    "neck_twist": (-85, 85),
    "shoulder_elevation": (-35, 180),  # in the frontal plane: 0 hangs, 90 sideways, 180 up
    "shoulder_reach": (-60, 85),  # out of the frontal plane; 90, straight ahead, would leave the elevation undefined
    "shoulder_rotation": (-95, 95),  # inwards
    "elbow_flexion": (0, 150),
    "forearm_pronation": (-95, 90),
    "wrist_flexion": (-80, 85),
    "wrist_deviation": (-30, 40),  # towards the thumb
    "finger_curl": (-15, 85),  # of each joint of a finger
    "hip_flexion": (-25, 140),
    "hip_abduction": (-30, 80),
    "hip_rotation": (-50, 85),  # outwards
    "knee_flexion": (-5, 155),
    "ankle_flexion": (-45, 60),  # plantar
    "ankle_inversion": (-25, 35),
    "ankle_adduction": (-20, 30),
}
"""Lowest and highest angle of each motion, in degrees."""

REFERENCE = {"shoulder_elevation": 41.0, "elbow_flexion": 43.0, "hip_abduction": 4.0, "knee_flexion": 10.0}
"""Angles of the reference pose where they are not zero: arms half lowered, elbows half bent."""

CENTRAL = ("spine_flexion", "spine_bend", "spine_twist", "neck_flexion", "neck_bend", "neck_twist")
"""Motions without a side; all others come with ``left_`` or ``right_`` before them."""

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


def _unit(*vector: float) -> NDArray[np.float64]:
    return np.asarray(np.array(vector) / np.linalg.norm(vector))


# Directions in the reference pose of the left side, the same within a degree or two for every age.
UPPER_ARM = np.array([np.sin(np.radians(41.0)), 0.0, -np.cos(np.radians(41.0))])
THIGH = _unit(0.070, -0.075, -0.995)
ELBOW = _unit(-0.755, -0.096, -0.649)  # axis that flexes it
FOREARM = _unit(0.530, -0.680, -0.506)
BACK_OF_HAND = _unit(*np.cross(FOREARM, (0.37, 0.825, -0.425)))  # the vector runs from the index to the little finger
ACROSS_HAND = np.cross(BACK_OF_HAND, FOREARM)  # axis that flexes wrist and fingers
HAND = Rotation.from_matrix(np.stack([FOREARM, ACROSS_HAND, BACK_OF_HAND]))  # brings these to x, y, z
FINGERS = {"2": 0.9, "3": 1.0, "4": 1.05, "5": 1.1}  # how far each finger curls when all are told the same
SCAPULA = 0.2  # share of the arm's elevation above the reference that the shoulder girdle makes


def bone_rotations(
    angles: Mapping[str, float],
    bone_names: Sequence[str],
) -> NDArray[np.float32]:  # (J, 3)
    """Rotations of all bones as axis-angle in radians about the world-aligned axes of the reference pose.

    Motions that are not given stay as in the reference pose, and so does the root. Raises ``KeyError`` for a motion
    that does not exist.
    """
    for name in angles:
        if name not in MOTIONS:
            raise KeyError(f"no motion {name}; there are {', '.join(MOTIONS)}")
    turns: dict[str, Rotation] = {}
    for chain, bones in (("spine", SPINE), ("neck", NECK)):
        whole = np.array([angles.get(f"{chain}_{motion}", 0.0) for motion in ("flexion", "bend", "twist")])
        turns.update(dict.fromkeys(bones, _turn(whole / len(bones))))
    for side in SIDES:
        local = {name: angles.get(f"{side}_{name}", REFERENCE.get(name, 0.0)) for name in SIDED}
        suffix = ".L" if side == "left" else ".R"
        turns |= {bone + suffix: _mirror(turn, side) for bone, turn in (_arm(local) | _leg(local)).items()}
    return np.stack(
        [turns[name].as_rotvec() if name in turns else np.zeros(3) for name in bone_names], dtype=np.float32
    )


def joint_angles(
    rotations: NDArray[np.floating],  # (J, 3)
    bone_names: Sequence[str],
) -> dict[str, float]:
    """The motions, in degrees, of any bone rotations: the inverse of :func:`bone_rotations` where one exists.

    A hinge that is also bent sideways or twisted reports its flexion alone.
    """
    where = {name: index for index, name in enumerate(bone_names)}

    def joint(*bones: str, side: Side = "left") -> Rotation:
        whole = Rotation.identity()
        for bone in bones:
            whole = whole * _mirror(Rotation.from_rotvec(rotations[where[bone]]), side)
        return whole

    angles: dict[str, float] = {}
    for chain, bones in (("spine", SPINE), ("neck", NECK)):
        vector = np.degrees(joint(*bones).as_rotvec())
        angles |= {
            f"{chain}_{motion}": float(x) for motion, x in zip(("flexion", "bend", "twist"), vector, strict=True)
        }
    for side in SIDES:
        s = ".L" if side == "left" else ".R"
        shoulder = joint(*(bone + s for bone in SHOULDER), side=side)
        elbow = joint("lowerarm01" + s, side=side)
        wrist = joint("lowerarm02" + s, "wrist" + s, side=side)
        finger = joint("finger3-2" + s, side=side)
        hip = joint("upperleg01" + s, "upperleg02" + s, side=side)
        knee = joint("lowerleg01" + s, side=side)
        ankle = joint("foot" + s, side=side)
        local = _arm_angles(shoulder, elbow, wrist, finger) | _leg_angles(hip, knee, ankle)
        angles |= {f"{side}_{name}": value for name, value in local.items()}
    return angles


def flat_hand(
    angles: Mapping[str, float],
    side: Side,
    root: Rotation,
    heading: float,
) -> dict[str, float]:
    """Forearm and wrist angles that lay the palm level, fingers towards ``heading`` (degrees from the world's −y)."""
    turns = dict(
        zip(ARM_BONES[side], bone_rotations({**angles, f"{side}_forearm_pronation": 0.0}, ARM_BONES[side]), strict=True)
    )
    forearm = root
    for rotation in turns.values():
        forearm = forearm * Rotation.from_rotvec(rotation)
    heading = np.radians(heading if side == "left" else -heading)
    along, up = np.array([np.sin(heading), -np.cos(heading), 0.0]), np.array([0.0, 0.0, 1.0])
    level = _mirror(Rotation.from_matrix(np.stack([along, np.cross(up, along), up], 1)) * HAND, side)
    wrist = _mirror(forearm.inv() * level, side)
    return {f"{side}_{name}": value for name, value in _hand_angles(wrist).items()}


def mirrored(angles: Mapping[str, float]) -> dict[str, float]:
    """The mirror image of a pose: sides swapped, bends and twists of spine and neck reversed."""
    swapped = {}
    for name, value in angles.items():
        side, _, motion = name.partition("_")
        if side in SIDES:
            swapped[f"{'right' if side == 'left' else 'left'}_{motion}"] = value
        else:
            swapped[name] = -value if motion in ("bend", "twist") else value
    return swapped


SIDED = tuple(name for name in LIMITS if name not in CENTRAL)
MOTIONS = {name: LIMITS[name] for name in CENTRAL} | {
    f"{side}_{name}": LIMITS[name] for side in SIDES for name in SIDED
}
"""Every motion of a pose, with its limits."""

SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
NECK = ("neck01", "neck02", "neck03", "head")
SHOULDER = ("clavicle", "shoulder01", "upperarm01", "upperarm02")
ARM_BONES: dict[Side, tuple[str, ...]] = {
    side: (*SPINE, *(f"{bone}.{side[0].upper()}" for bone in (*SHOULDER, "lowerarm01"))) for side in SIDES
}
"""From the root to the elbow."""


def _turn(degrees: NDArray[np.floating]) -> Rotation:
    return Rotation.from_rotvec(degrees, degrees=True)


def _about(axis: NDArray[np.floating], degrees: float) -> Rotation:
    return _turn(axis * degrees)


def _mirror(turn: Rotation, side: Side) -> Rotation:
    return turn if side == "left" else Rotation.from_rotvec(turn.as_rotvec() * (1, -1, -1))


def _arm(angles: Mapping[str, float]) -> dict[str, Rotation]:
    """Left arm. The direction of the upper arm comes first; its twist is shared by its two bones."""
    elevation, reach = angles["shoulder_elevation"], angles["shoulder_reach"]
    scapula = _turn(
        np.array([0, -SCAPULA * max(0.0, elevation - 30.0) if elevation > REFERENCE["shoulder_elevation"] else 0, 0])
    )
    pointing = _pointing(elevation, reach)
    half_twist = _about(UPPER_ARM, angles["shoulder_rotation"] / 2)
    half_roll = _about(FOREARM, angles["forearm_pronation"] / 2)
    hand = _about(ACROSS_HAND, angles["wrist_flexion"]) * _about(BACK_OF_HAND, -angles["wrist_deviation"])
    turns = {
        "clavicle": scapula,
        "upperarm01": scapula.inv() * pointing * half_twist,
        "upperarm02": half_twist,
        "lowerarm01": _about(ELBOW, angles["elbow_flexion"] - REFERENCE["elbow_flexion"]),
        "lowerarm02": half_roll,
        "wrist": half_roll * hand,
    }
    for finger, share in FINGERS.items():
        curl = _about(ACROSS_HAND, angles["finger_curl"] * share)
        turns |= {f"finger{finger}-{joint}": curl for joint in (1, 2, 3)}
    thumb = _about((ACROSS_HAND + FOREARM) / np.sqrt(2), angles["finger_curl"] / 3)
    turns |= {f"finger1-{joint}": thumb for joint in (2, 3)}
    return turns


def _pointing(elevation: float, reach: float) -> Rotation:
    """What brings the upper arm from its reference to a direction: swing forwards, then lift sideways."""
    lower = _turn(np.array([0, REFERENCE["shoulder_elevation"], 0]))
    return _turn(np.array([0, -elevation, 0])) * _turn(np.array([-reach, 0, 0])) * lower


def _arm_angles(shoulder: Rotation, elbow: Rotation, wrist: Rotation, finger: Rotation) -> dict[str, float]:
    x, y, z = shoulder.apply(UPPER_ARM)
    elevation, reach = float(np.degrees(np.arctan2(x, -z))), float(np.degrees(np.arcsin(np.clip(-y, -1, 1))))
    if elevation < -90:  # far beyond the top rather than behind the back
        elevation += 360
    twist = (_pointing(elevation, reach).inv() * shoulder).as_rotvec(degrees=True) @ UPPER_ARM
    return {
        "shoulder_elevation": elevation,
        "shoulder_reach": reach,
        "shoulder_rotation": float(twist),
        "elbow_flexion": float(elbow.as_rotvec(degrees=True) @ ELBOW) + REFERENCE["elbow_flexion"],
        "finger_curl": float(finger.as_rotvec(degrees=True) @ ACROSS_HAND),
        **_hand_angles(wrist),
    }


def _hand_angles(wrist: Rotation) -> dict[str, float]:
    """Roll about the forearm, then flexion, then deviation: angles of Tait and Bryan about three square axes."""
    roll, flexion, deviation = (HAND * wrist * HAND.inv()).as_euler("XYZ", degrees=True)
    return {"forearm_pronation": float(roll), "wrist_flexion": float(flexion), "wrist_deviation": -float(deviation)}


def _leg(angles: Mapping[str, float]) -> dict[str, Rotation]:
    """Left leg: out to the side, then forwards; the thigh's twist is shared by its two bones."""
    outwards = _turn(np.array([0, REFERENCE["hip_abduction"] - angles["hip_abduction"], 0]))
    half_twist = _about(THIGH, -angles["hip_rotation"] / 2)
    ankle = np.array([angles["ankle_flexion"], angles["ankle_inversion"], -angles["ankle_adduction"]])
    return {
        "upperleg01": _turn(np.array([-angles["hip_flexion"], 0, 0])) * outwards * half_twist,
        "upperleg02": half_twist,
        "lowerleg01": _turn(np.array([angles["knee_flexion"] - REFERENCE["knee_flexion"], 0, 0])),
        "foot": _turn(ankle),
    }


def _leg_angles(hip: Rotation, knee: Rotation, ankle: Rotation) -> dict[str, float]:
    # hip = forwards about x, outwards about y, twist about the thigh: where the thigh points gives the first two
    x, y, z = hip.apply(THIGH)
    radius = np.hypot(THIGH[0], THIGH[2])
    offset = np.arctan2(THIGH[0], -THIGH[2])
    abduction = np.degrees(np.arcsin(np.clip(x / radius, -1, 1)) - offset)
    level = radius * np.cos(np.radians(abduction) + offset)
    flexion = np.degrees(np.arctan2(-y, -z) - np.arctan2(-THIGH[1], level))
    flexion = (flexion + 180) % 360 - 180
    swing = _turn(np.array([-flexion, 0, 0])) * _turn(np.array([0, -abduction, 0]))
    twist = (swing.inv() * hip).as_rotvec(degrees=True) @ THIGH
    plantar, inversion, abducted = ankle.as_rotvec(degrees=True)
    return {
        "hip_flexion": float(flexion),
        "hip_abduction": float(abduction) + REFERENCE["hip_abduction"],
        "hip_rotation": -float(twist),
        "knee_flexion": float(knee.as_rotvec(degrees=True)[0]) + REFERENCE["knee_flexion"],
        "ankle_flexion": float(plantar),
        "ankle_inversion": float(inversion),
        "ankle_adduction": -float(abducted),
    }
