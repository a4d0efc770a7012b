"""Visibility of keypoints against brute force: one exact ray through each keypoint, tried on every triangle.

::

    python benchmarks/label_visibility.py --json benchmarks/results/label_visibility.json

``fidip synth`` decides visibility by what the renderer met in the pixel of a keypoint and in its eight neighbours.
Here a ray goes from the camera through the keypoint itself, in double precision, and the first triangle that it hits
decides. Both use the same depths that a visible joint may lie under the surface; the search among triangles, the holes
of textures and the place of the ray share no code.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fidip.files import write_json
from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import KEYPOINT_PARTS, PARTS
from fidip.synthesis.labels import allowed_depths
from fidip.synthesis.renderers import RENDERERS
from fidip.synthesis.sample import Sample, Settings, make_sample
from fidip.synthesis.scene import SCENE_STYLES
from fidip.synthesis.world import OPAQUE, Mesh

STYLES = ("infant-photo", "infant-flat", "adult-photo", "adult-flat")


def hits(mesh: Mesh, eye: np.ndarray, ray: np.ndarray) -> list[tuple[float, int]]:
    """Distances along a ray and parts of everything that it meets of a mesh (Möller and Trumbore 1997)."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]].astype(float) for corner in range(3))
    ab, ac = b - a, c - a
    across = np.cross(ray, ac)
    volume = np.einsum("fi,fi->f", ab, across)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.einsum("fi,fi->f", eye - a, across) / volume
        along = np.cross(eye - a, ab)
        v = along @ ray / volume
        distance = np.einsum("fi,fi->f", ac, along) / volume
        inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    met = np.flatnonzero((np.abs(volume) > 1e-15) & inside & (distance > 1e-6))
    return [(float(distance[f]), int(mesh.parts[f])) for f in met if solid(mesh, int(f), float(u[f]), float(v[f]))]


def solid(mesh: Mesh, face: int, u: float, v: float) -> bool:
    """Whether the nearest texel is no hole."""
    x, y = np.array([1 - u - v, u, v]) @ mesh.uvs[mesh.faces[face]].astype(float)
    height, width = mesh.texture.shape[:2]
    return bool(mesh.texture[int((1 - y % 1) * height) % height, int(x % 1 * width) % width, 3] >= OPAQUE)


def brute_force(sample: Sample) -> np.ndarray:  # (K,) 0, 1 or 2
    """Visibility by exact rays."""
    camera, keypoints = sample.drawn.scene.camera, sample.drawn.subject.keypoints
    projected, allowed = camera.project(keypoints), allowed_depths(keypoints)
    forward = camera.rotation[2]
    found = np.zeros(len(keypoints), int)
    for k, (x, y, depth) in enumerate(projected):
        if not (depth > 0 and -0.5 <= x < camera.size[0] - 0.5 and -0.5 <= y < camera.size[1] - 0.5):
            continue
        ray = keypoints[k] - camera.position
        met = [hit for mesh in sample.drawn.scene.meshes for hit in hits(mesh, camera.position, ray)]
        share, part = min(met, default=(np.inf, -1))
        surface = share * float(ray @ forward)
        own = part in [PARTS.index(name) for name in KEYPOINT_PARTS[k]]
        found[k] = 2 if own and depth - surface <= allowed[k] else 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="images of each style")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    body = AnnyBody.load()
    equal, seen, total = np.zeros(len(COCO_17)), np.zeros(len(COCO_17)), np.zeros(len(COCO_17))
    report: dict[str, Any] = {"images": given.count * len(STYLES), "size": given.size, "seed": 11, "styles": {}}
    for style in STYLES:
        renderer = RENDERERS[SCENE_STYLES[style].renderer]()
        settings = Settings(style, given.count, (given.size, given.size), seed=11)
        same = counted = 0
        for number in range(given.count):
            sample = make_sample(settings, number, body, renderer)
            stored, exact = sample.label.people[0].keypoints[:, 2].astype(int), brute_force(sample)
            inside = exact > 0
            equal += (stored == exact) & inside
            seen += (exact == 2) & inside
            total += inside
            same, counted = same + int((stored == exact)[inside].sum()), counted + int(inside.sum())
        report["styles"][style] = round(same / counted, 4)
        print(f"{style:14} {same / counted:.2%} of {counted} keypoints", flush=True)
    report["equal"] = round(equal.sum() / total.sum(), 4)
    report["visible"] = round(seen.sum() / total.sum(), 4)
    report["keypoints"] = {name: round(e / t, 4) for name, e, t in zip(COCO_17.keypoints, equal, total, strict=True)}
    print(f"{'all':14} {report['equal']:.2%}, {report['visible']:.1%} of them visible")
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
