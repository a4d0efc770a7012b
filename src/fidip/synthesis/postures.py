"""What infants and adults do with their bodies: ranges of joint angles by posture, drawn with both sides in concert.

The ranges are hand-set from what infants of the first two years and standing, walking, sitting and lying adults do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from fidip.synthesis.anatomy import MOTIONS, REFERENCE, SIDES, Side, flat_hand, mirrored
from fidip.synthesis.bodies.protocol import Population

Posture = Literal["supine", "prone", "side", "sitting", "crawling", "standing", "walking"]

POSTURES: dict[Population, tuple[Posture, ...]] = {
    "infant": ("supine", "prone", "side", "sitting", "crawling", "standing"),
    "adult": ("standing", "walking", "sitting", "supine", "side"),
}
"""What each population is seen doing; a standing infant is held or holds on."""

POSTURE_NAMES: dict[Posture, str] = {
    "supine": "Supine", "prone": "Prone", "side": "Side", "sitting": "Sitting", "crawling": "Crawling",
    "standing": "Standing", "walking": "Standing",
}  # fmt: skip
"""The ``posture`` field of an exported annotation."""

YEARS: dict[tuple[Population, Posture], tuple[float, float]] = {
    ("infant", "sitting"): (0.35, 2.0),
    ("infant", "crawling"): (0.45, 1.4),
    ("infant", "standing"): (0.45, 2.0),
}
"""Ages of a posture that not everybody of its population takes: from about the earliest of the WHO's motor milestones
(Multicentre Growth Reference Study, 2006: sitting 3.8, crawling 5.2, standing with help 4.8 months) on."""

Ranges = dict[str, tuple[float, float]]  # degrees; names without a side are drawn for both
Change = Callable[[np.random.Generator, dict[str, float]], dict[str, float]]  # of the angles drawn for a posture
TOGETHER = 0.5
"""Correlation of the two sides of one motion."""

IDLE: Ranges = {
    "spine_bend": (-10, 10), "spine_twist": (-12, 12), "neck_bend": (-14, 14), "neck_twist": (-45, 45),
    "forearm_pronation": (-30, 50), "wrist_flexion": (-15, 30), "wrist_deviation": (-10, 15), "finger_curl": (5, 55),
    "ankle_flexion": (-15, 30), "ankle_inversion": (-5, 20), "ankle_adduction": (-5, 10),
}  # fmt: skip

RANGES: dict[Population, dict[Posture, Ranges]] = {
    "infant": {
        "supine": {
            "lean": (-95, -85), "spine_flexion": (0, 18), "neck_flexion": (-5, 20), "neck_twist": (-75, 75),
            "shoulder_elevation": (10, 155), "shoulder_reach": (-5, 45), "shoulder_rotation": (-75, 50),
            "elbow_flexion": (25, 125),
            "hip_flexion": (30, 110), "hip_abduction": (12, 60), "hip_rotation": (5, 60), "knee_flexion": (25, 115),
        },
        "prone": {
            "lean": (82, 95), "spine_flexion": (-25, 5), "neck_flexion": (-50, 5), "neck_twist": (-65, 65),
            "shoulder_elevation": (30, 150), "shoulder_reach": (15, 65), "shoulder_rotation": (-60, 40),
            "elbow_flexion": (45, 125), "forearm_pronation": (10, 75),
            "hip_flexion": (0, 65), "hip_abduction": (10, 55), "hip_rotation": (5, 60), "knee_flexion": (10, 95),
            "ankle_flexion": (10, 45),
        },
        "side": {
            "lean": (-95, -85), "spine_flexion": (5, 35), "neck_flexion": (-15, 20), "neck_twist": (-25, 25),
            "spine_twist": (-8, 8),
            "shoulder_elevation": (0, 70), "shoulder_reach": (45, 90), "shoulder_rotation": (-30, 20),
            "elbow_flexion": (30, 115),
            "hip_flexion": (45, 110), "hip_abduction": (-2, 18), "hip_rotation": (-5, 25), "knee_flexion": (45, 115),
        },
        "sitting": {
            "lean": (-10, 18), "spine_flexion": (5, 32), "neck_flexion": (-38, 8),
            "shoulder_elevation": (5, 60), "shoulder_reach": (30, 90), "shoulder_rotation": (-30, 25),
            "elbow_flexion": (30, 110),
        },
        "crawling": {
            "lean": (76, 94), "spine_flexion": (-15, 10), "neck_flexion": (-50, -5), "neck_twist": (-40, 40),
            "shoulder_elevation": (0, 20), "shoulder_reach": (68, 85), "shoulder_rotation": (-15, 25),
            "elbow_flexion": (5, 25), "forearm_pronation": (40, 80), "finger_curl": (0, 20),
            "hip_flexion": (65, 105), "hip_abduction": (4, 20), "hip_rotation": (0, 15), "knee_flexion": (75, 105),
            "ankle_flexion": (30, 55), "ankle_inversion": (0, 15),
        },
        "standing": {
            "lean": (-3, 6), "spine_flexion": (-10, 15), "neck_flexion": (-20, 15),
            "shoulder_elevation": (15, 75), "shoulder_reach": (20, 80), "shoulder_rotation": (-20, 40),
            "elbow_flexion": (15, 80),
            "hip_flexion": (5, 35), "hip_abduction": (0, 14), "hip_rotation": (5, 30), "knee_flexion": (5, 40),
        },
    },
    "adult": {
        "standing": {
            "lean": (-3, 6), "spine_flexion": (-8, 15), "neck_flexion": (-15, 25),
            "shoulder_elevation": (10, 34), "shoulder_reach": (-15, 35), "shoulder_rotation": (-5, 55),
            "elbow_flexion": (8, 100),
            "hip_flexion": (-3, 10), "hip_abduction": (0, 9), "hip_rotation": (0, 20), "knee_flexion": (0, 12),
        },
        "walking": {
            "lean": (0, 8), "spine_flexion": (0, 12), "neck_flexion": (-15, 20),
            "shoulder_elevation": (10, 24), "shoulder_rotation": (0, 25), "elbow_flexion": (10, 50),
            "hip_abduction": (0, 6), "hip_rotation": (0, 12),
        },
        "sitting": {
            "lean": (-10, 18), "spine_flexion": (5, 35), "neck_flexion": (-15, 25),
            "shoulder_elevation": (5, 45), "shoulder_reach": (35, 80), "shoulder_rotation": (-25, 30),
            "elbow_flexion": (15, 90),
        },
        "supine": {
            "lean": (-95, -85), "spine_flexion": (-2, 8), "neck_flexion": (0, 20), "neck_twist": (-60, 60),
            "shoulder_elevation": (12, 140), "shoulder_reach": (-5, 12), "shoulder_rotation": (-60, 50),
            "elbow_flexion": (10, 110),
            "hip_flexion": (0, 45), "hip_abduction": (4, 25), "hip_rotation": (5, 35), "knee_flexion": (0, 75),
        },
        "side": {
            "lean": (-95, -85), "spine_flexion": (5, 30), "neck_flexion": (-10, 20), "neck_twist": (-20, 20),
            "spine_twist": (-8, 8),
            "shoulder_elevation": (0, 70), "shoulder_reach": (40, 90), "shoulder_rotation": (-30, 25),
            "elbow_flexion": (25, 115),
            "hip_flexion": (25, 95), "hip_abduction": (0, 12), "hip_rotation": (0, 15), "knee_flexion": (30, 110),
        },
    },
}  # fmt: skip
"""Angles that a posture draws from; what is not named comes from ``IDLE``. The lean is that of the pelvis: forwards is
positive, 90 lies on the belly."""

SEATS: dict[Population, dict[str, tuple[float, Ranges]]] = {
    "infant": {
        "ring": (
            0.55,
            {"hip_flexion": (93, 110), "hip_abduction": (28, 50), "hip_rotation": (58, 82), "knee_flexion": (45, 105)},
        ),
        "long": (
            0.45,
            {"hip_flexion": (86, 98), "hip_abduction": (12, 38), "hip_rotation": (5, 45), "knee_flexion": (5, 40)},
        ),
    },
    "adult": {
        "crossed": (
            0.3,
            {"hip_flexion": (96, 110), "hip_abduction": (30, 48), "hip_rotation": (62, 82), "knee_flexion": (95, 125)},
        ),
        "long": (
            0.3,
            {"hip_flexion": (86, 96), "hip_abduction": (3, 20), "hip_rotation": (0, 30), "knee_flexion": (0, 25)},
        ),
        "knees up": (
            0.4,
            {"hip_flexion": (116, 130), "hip_abduction": (5, 18), "hip_rotation": (0, 12), "knee_flexion": (75, 105)},
        ),
    },
}
"""Ways to sit on the floor: how often, and the legs' angles while the pelvis is upright."""

TONIC_NECK = 0.2
"""Share of supine infants in the fencer's posture of the asymmetric tonic neck reflex."""


def draw_angles(
    generator: np.random.Generator, posture: Posture, population: Population
) -> tuple[dict[str, float], float]:
    """Angles of a posture in degrees, each within its limits, and how far the pelvis leans forwards (90: on the belly).

    Raises ``ValueError`` where a population does not take a posture.
    """
    if posture not in RANGES[population]:
        raise ValueError(f"no {posture} {population}: choose among {', '.join(RANGES[population])}")
    angles = _draw(generator, IDLE | RANGES[population][posture])
    if change := SPECIAL.get((population, posture)):
        angles = change(generator, angles)
    lean = angles.pop("lean")
    return {name: float(np.clip(value, *MOTIONS[name])) for name, value in angles.items()}, lean


def _draw(generator: np.random.Generator, ranges: Ranges) -> dict[str, float]:
    """Mostly from the middle of each range: normal, two deviations at its ends, and cut there."""
    angles = {}
    for name, (low, high) in ranges.items():
        own, shared = generator.standard_normal(2), generator.standard_normal()
        mixed = np.sqrt(TOGETHER) * shared + np.sqrt(1 - TOGETHER) * own
        levels = (low + high) / 2 + (high - low) / 2 * (mixed / 2).clip(-1, 1)
        if name in MOTIONS or name == "lean":
            angles[name] = float(levels[0])
        else:
            angles |= {f"{side}_{name}": float(level) for side, level in zip(SIDES, levels, strict=True)}
    return angles


def _supine(generator: np.random.Generator, angles: dict[str, float]) -> dict[str, float]:
    """Some lie like fencers: the face to one side, that side's arm and leg stretched, the others bent."""
    if generator.random() >= TONIC_NECK:
        return angles
    fencer = angles | {
        "neck_twist": generator.uniform(50, 80),
        "left_shoulder_elevation": generator.uniform(65, 110), "left_shoulder_reach": generator.uniform(-5, 15),
        "left_elbow_flexion": generator.uniform(5, 30), "left_knee_flexion": generator.uniform(5, 35),
        "left_hip_flexion": generator.uniform(5, 40), "right_elbow_flexion": generator.uniform(85, 130),
        "right_shoulder_elevation": generator.uniform(60, 110), "right_shoulder_rotation": generator.uniform(-90, -50),
        "right_knee_flexion": generator.uniform(60, 110), "right_hip_flexion": generator.uniform(50, 90),
    }  # fmt: skip
    return fencer if generator.random() < 0.5 else mirrored(fencer)


def _prone(generator: np.random.Generator, angles: dict[str, float]) -> dict[str, float]:
    """Half of them keep the head down and turned; the others lift it on their arms."""
    if generator.random() < 0.5:
        return angles | {"neck_flexion": generator.uniform(-10, 0), "spine_flexion": generator.uniform(-8, 3)}
    reach = {f"{side}_shoulder_reach": generator.uniform(45, 75) for side in SIDES}
    return angles | reach | {"neck_flexion": generator.uniform(-55, -30), "spine_flexion": generator.uniform(-28, -12)}


def _crawling(generator: np.random.Generator, angles: dict[str, float]) -> dict[str, float]:
    """On both hands and knees, palms flat on the floor."""
    angles = alike(
        angles, "shoulder_elevation", "shoulder_reach", "elbow_flexion", "hip_flexion", "knee_flexion", share=0.3
    )
    root = Rotation.from_euler("x", angles["lean"], degrees=True)
    motions = {name: value for name, value in angles.items() if name != "lean"}
    for side in SIDES:
        angles |= flat_hand(motions, side, root, generator.uniform(-25, 25))
    return angles


def _sitting(population: Population) -> Change:
    def change(generator: np.random.Generator, angles: dict[str, float]) -> dict[str, float]:
        """Thighs along the floor however the pelvis leans, arms before the back however it bends."""
        shares, ranges = zip(*SEATS[population].values(), strict=True)
        legs = _draw(generator, ranges[generator.choice(len(shares), p=shares)])
        legs = alike(legs, "hip_flexion", share=0.5)
        for side in SIDES:
            legs[f"{side}_hip_flexion"] += angles["lean"]
            angles[f"{side}_shoulder_reach"] += 0.6 * angles["spine_flexion"]
        return angles | legs

    return change


def _adult_supine(generator: np.random.Generator, angles: dict[str, float]) -> dict[str, float]:
    """Knees bend as far as the feet stay on the floor."""
    knees = {f"{side}_knee_flexion": 2 * angles[f"{side}_hip_flexion"] + generator.uniform(0, 8) for side in SIDES}
    return angles | knees


def alike(angles: dict[str, float], *motions: str, share: float) -> dict[str, float]:
    """Keep only a share of what tells left from right, where both sides bear the weight."""
    both = {}
    for motion in motions:
        left, right = angles[f"left_{motion}"], angles[f"right_{motion}"]
        both[f"left_{motion}"] = (left + right + share * (left - right)) / 2
        both[f"right_{motion}"] = (left + right + share * (right - left)) / 2
    return angles | both


def _standing(generator: np.random.Generator, angles: dict[str, float]) -> dict[str, float]:
    """Legs nearly alike, the weight over level soles, the back upright whatever the pelvis does."""
    angles = alike(angles, "hip_flexion", "knee_flexion", "hip_abduction", share=0.1)
    hips, knees = (np.mean([angles[f"{side}_{motion}_flexion"] for side in SIDES]) for motion in ("hip", "knee"))
    angles["lean"] = float(hips - knees / 2) + generator.uniform(0, 4)
    angles["spine_flexion"] -= 0.7 * angles["lean"]
    return angles | _soles(angles)


def _soles(angles: dict[str, float]) -> dict[str, float]:
    """Ankles that undo lean, hip and knee; the reference pose has the knee a little bent over a level sole."""
    level = {}
    for side in SIDES:
        hip, knee = angles[f"{side}_hip_flexion"], angles[f"{side}_knee_flexion"]
        level[f"{side}_ankle_flexion"] = hip - knee + REFERENCE["knee_flexion"] - angles["lean"]
        level[f"{side}_ankle_inversion"] = angles[f"{side}_hip_abduction"] - REFERENCE["hip_abduction"]
        level[f"{side}_ankle_adduction"] = 0.0
    return level


def _walking(generator: np.random.Generator, angles: dict[str, float]) -> dict[str, float]:
    """A moment of a stride: hips and knees by phase, arms against the legs, the standing foot flat."""
    stride, start = generator.uniform(0.5, 1.1), generator.uniform(0, 2 * np.pi)
    gait = dict(angles)
    phases: dict[Side, float] = {"left": start, "right": start + np.pi}
    for side, phase in phases.items():
        swing = max(0.0, np.cos(phase))  # the leg moves forwards through the air
        gait[f"{side}_hip_flexion"] = 6 + stride * 26 * np.sin(phase)
        gait[f"{side}_knee_flexion"] = 6 + stride * 52 * swing
        gait[f"{side}_shoulder_reach"] = 4 - stride * 26 * np.sin(phase)
    soles = _soles(gait)
    for side, phase in phases.items():
        soles[f"{side}_ankle_flexion"] *= 1 - max(0.0, np.cos(phase))
    return gait | soles


SPECIAL: dict[tuple[Population, Posture], Change] = {
    ("infant", "supine"): _supine,
    ("infant", "prone"): _prone,
    ("infant", "crawling"): _crawling,
    ("infant", "sitting"): _sitting("infant"),
    ("infant", "standing"): _standing,
    ("adult", "standing"): _standing,
    ("adult", "walking"): _walking,
    ("adult", "sitting"): _sitting("adult"),
    ("adult", "supine"): _adult_supine,
}
