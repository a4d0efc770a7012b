"""Bodies of Anny for the bundle: infants who grow as the WHO standards say, adults as Anny draws them.

A part of ``build_body_bundle.py``; it needs the package ``anny``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anny
import numpy as np
import torch
from anny.shape_distribution import SimpleShapeDistribution
from growth_standards import DENSITY, head_circumference, who

BATCH = 32

SPREAD = {"length": 0.036, "weight": 0.11, "head": 0.028}  # standard deviations as shares of the median

# Local sliders that make a baby: how far each goes per unit of fat (on both sides where there are two). Many small
# ones, since each alone bulges where it ends.
FAT = {
    "upperleg-fat": 0.35, "upperleg-scale-horiz": 0.2, "upperleg-scale-depth": 0.2, "lowerleg-fat": 0.35,
    "lowerleg-scale-horiz": 0.15, "lowerleg-scale-depth": 0.15, "upperarm-fat": 0.5, "lowerarm-fat": 0.5,
    "cheek-volume": 0.6, "head-fat": 0.4, "neck-double": 0.3, "torso-scale-depth": 0.35, "torso-scale-horiz": 0.1,
    "hip-scale-depth": 0.25, "hip-scale-horiz": 0.1, "stomach-pregnant": 0.25, "buttocks-volume": 0.3,
}  # fmt: skip
HEAD = ("head-scale-vert", "head-scale-horiz", "head-scale-depth")
LEGS = ("upperlegs-height", "lowerlegs-height")  # short in the newborn: crown to rump is two thirds of the length
FACES = (
    "nose-scale-vert", "nose-scale-horiz", "nose-point-up", "nose-volume", "mouth-scale-horiz", "mouth-upperlip-volume",
    "mouth-lowerlip-volume", "eye-scale", "eye-height2", "eye-trans-out", "chin-height", "chin-prominent", "chin-width",
    "cheek-volume", "forehead-temple", "forehead-scale-vert", "ear-scale", "ear-wing", "eyebrows-trans-up",
)  # fmt: skip


@dataclass
class Bodies:
    """Sampled parameters of N bodies and the factor by which each is scaled."""

    phenotypes: torch.Tensor  # (N, P)
    sliders: torch.Tensor  # (N, L)
    scale: torch.Tensor  # (N,)
    years: np.ndarray  # (N,)

    def __len__(self) -> int:
        return len(self.scale)

    def part(self, rows: slice | np.ndarray) -> Bodies:
        return Bodies(self.phenotypes[rows], self.sliders[rows], self.scale[rows], self.years[rows])


class Model:
    """Anny with the names of its sliders and the measures that a nurse takes."""

    def __init__(self) -> None:
        self.anny = anny.Anny(skinning_method="lbs", local_changes="default", phenotypes="all").to(torch.float32)
        self.faces = self.anny.faces
        crown = self.anny.bone_labels.index("head")
        weights = self.anny.dense_vertex_bone_weights
        self.head = torch.nonzero(weights[:, crown] > 0.9).squeeze(1)
        self.eye = self.anny.bone_labels.index("eye.L")

    def columns(self, slider: str) -> list[int]:
        names = [f"{side}{slider}" for side in ("", "l-", "r-")]
        found = [i for i, label in enumerate(self.anny.local_change_labels) for n in names if label in (n, n + "-incr")]
        if not found:
            raise ValueError(f"Anny has no slider {slider}")
        return found

    def measures(self, bodies: Bodies) -> np.ndarray:  # (N, 3)
        """Crown to heel, volume, head circumference in the reference pose: metres, cubic metres, metres."""
        return np.array([self.measure(points) for points in self.reference(bodies)])

    def measure(self, points: torch.Tensor) -> tuple[float, float, float]:  # (V + J, 3)
        V = len(self.anny.template_vertices)
        corners = points[self.faces]
        volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
        length = points[:V, 2].amax() - points[:V, 2].amin()
        around = head_circumference(points[self.head].double().numpy(), float(points[V + self.eye, 2]))
        return float(length), float(volume), around

    def reference(self, bodies: Bodies) -> torch.Tensor:  # (N, V + J, 3)
        """Vertices, then joints, in the reference pose, scaled, from the root joint."""
        out = self.anny(phenotype_kwargs=bodies.phenotypes, local_changes_kwargs=bodies.sliders)
        points = torch.cat([out["vertices"], out["bone_poses"][..., :3, 3]], 1)
        return points * bodies.scale[:, None, None]


def draw_growth(
    generator: np.random.Generator, months: np.ndarray, male: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # (N,) metres, (N, 2) targets of ``proportions``
    """Length, and what weight and head circumference mean for the proportions, about the WHO medians."""
    z = generator.standard_normal((len(months), 3))
    length = who("length", months, male) / 100 * np.exp(SPREAD["length"] * z[:, 0])
    # Among infants of one age weight goes with length (r about 0.7), head circumference with both (about 0.5).
    weight = who("weight", months, male) * np.exp(SPREAD["weight"] * (0.7 * z[:, 0] + 0.71 * z[:, 1]))
    around = who("head", months, male) / 100 * np.exp(SPREAD["head"] * (0.5 * z[:, 0] + 0.3 * z[:, 1] + 0.81 * z[:, 2]))
    return length, np.log(np.stack([weight / DENSITY / length**3, around / length], 1))


def sample_infants(model: Model, generator: np.random.Generator, count: int) -> Bodies:
    """Infants whose length, weight and head circumference follow the WHO standards."""
    months = np.sort(24 * generator.random(count) ** 1.3)  # more of the young ones, who change fastest
    male = generator.random(count) < 0.5
    length, target = draw_growth(generator, months, male)
    build = infant_builder(model, generator, months, male)
    levels = solve(lambda x: proportions(measure_all(model, build(x))), target, np.tile([0.6, 0.3], (count, 1)))
    bodies = build(levels)
    measures = measure_all(model, bodies)
    bodies.scale = torch.tensor(length / measures[:, 0], dtype=torch.float32)
    # Where the sliders do not reach, Newton's method leaves bodies that are no babies.
    met = np.flatnonzero((np.abs(proportions(measures) - target) < 0.03).all(1) & (levels[:, 1] < 1.5))
    ends = {
        name: np.percentile(x[met], (1, 50, 99)).round(2).tolist()
        for name, x in zip(("fat", "head"), levels.T, strict=True)
    }
    print(f"{len(met)} of {count} infants met their targets; sliders at 1, 50, 99 %: {ends}")
    return bodies.part(met)


def infant_builder(
    model: Model, generator: np.random.Generator, months: np.ndarray, male: np.ndarray
) -> Callable[[np.ndarray], Bodies]:
    """Draw all about the infants but two levels (N, 2), of fat and of head size; these make the bodies."""
    count, labels = len(months), model.anny.phenotype_labels
    values = {label: np.full(count, 0.5) for label in labels}
    values["age"] = np.interp(months, (0, 12, 24), (0.0, 0.05, 0.10)) + generator.normal(0, 0.01, count)
    values["gender"] = np.where(male, 0.15, 0.85)
    values["height"] = generator.uniform(0.05, 0.45, count)
    values["muscle"] = generator.uniform(0.2, 0.6, count)
    races = generator.dirichlet(np.full(3, 0.5), count)
    values.update({race: races[:, i] for i, race in enumerate(("african", "asian", "caucasian"))})
    phenotypes = torch.tensor(np.stack([values[label] for label in labels], 1), dtype=torch.float32)
    fixed = face_sliders(model, generator, count)
    fixed[:, model.columns("stomach-tone")] = -0.15
    short = np.interp(months, (0, 6, 12, 24), (-0.2, -0.12, -0.04, 0.0)) + generator.normal(0, 0.04, count)
    for name in LEGS:
        fixed[:, model.columns(name)] = torch.tensor(short, dtype=torch.float32)[:, None]
    gains = np.array(list(FAT.values())) * generator.normal(1, 0.2, (count, len(FAT))).clip(0.4, 1.6)
    offsets = generator.normal(0, 0.12, (count, len(HEAD)))

    def build(levels: np.ndarray) -> Bodies:
        sliders, people = fixed.clone(), phenotypes.clone()
        people[:, labels.index("weight")] = torch.tensor((0.5 + 0.45 * levels[:, 0]).clip(0, 1), dtype=torch.float32)
        steps = np.concatenate([gains * levels[:, :1], levels[:, 1:] + offsets], 1)
        for name, step in zip((*FAT, *HEAD), torch.tensor(steps, dtype=torch.float32).T, strict=True):
            sliders[:, model.columns(name)] += step[:, None]
        return Bodies(people, sliders, torch.ones(count), months / 12)

    return build


def proportions(measures: np.ndarray) -> np.ndarray:  # (N, 3) -> (N, 2)
    """Logarithms of volume / length³ and of head circumference / length."""
    length, volume, around = measures.T
    return np.log(np.stack([volume / length**3, around / length], 1))


def measure_all(model: Model, bodies: Bodies) -> np.ndarray:  # (N, 3)
    return np.concatenate([model.measures(bodies.part(s)) for s in batches(len(bodies))])


def solve(function: Callable[[np.ndarray], np.ndarray], target: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Newton's method with difference quotients for many pairs of unknowns at once, kept in the sliders' range."""
    x, step = start.copy(), 0.1
    for _ in range(4):
        here = function(x)
        slopes = np.stack([(function(x + step * axis) - here) / step for axis in np.eye(2)], 2)  # (N, 2, 2)
        x = (x + np.linalg.solve(slopes, (target - here)[..., None])[..., 0]).clip((-0.6, -1.5), (1.7, 2.0))
    return x


def sample_adults(model: Model, generator: np.random.Generator, count: int) -> Bodies:
    """Adults of both sexes, all builds, 18 to 75 years."""
    torch.manual_seed(int(generator.integers(2**31)))
    distribution = SimpleShapeDistribution(
        model.anny, torch.distributions.Uniform(torch.tensor(18.0), torch.tensor(75.0))
    )
    years, values = distribution.sample(count)
    order = torch.argsort(years)
    phenotypes = torch.stack([values[label] for label in model.anny.phenotype_labels], 1).to(torch.float32)[order]
    return Bodies(phenotypes, face_sliders(model, generator, count), torch.ones(count), years[order].numpy())


def face_sliders(model: Model, generator: np.random.Generator, count: int) -> torch.Tensor:  # (N, L)
    sliders = torch.zeros(count, len(model.anny.local_change_labels))
    for name in FACES:
        value = torch.tensor(generator.normal(0, 0.2, count).clip(-0.5, 0.5), dtype=torch.float32)
        sliders[:, model.columns(name)] = value[:, None]
    return sliders


def batches(count: int) -> list[slice]:
    return [slice(i, min(i + BATCH, count)) for i in range(0, count, BATCH)]
