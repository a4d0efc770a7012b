"""How well bodies fit 2-D poses: the sampler's infants from all sides, or the poses of a file.

::

    python benchmarks/fitting.py --json benchmarks/results/fitting.json                     # 1000 bodies, twice
    python benchmarks/fitting.py --thresholds 600 --seed 7 --json benchmarks/results/fitting_thresholds.json
    python benchmarks/fitting.py --left-out 300 --json benchmarks/results/fitting_left_out.json
    python benchmarks/fitting.py --poses POSES.json --json benchmarks/results/fitting_real.json
    python benchmarks/fitting.py --derivatives 64                                           # ours against autograd's
    python benchmarks/fitting.py --body-file forged --count 300 --json benchmarks/results/fitting_smpl.json
    python benchmarks/fitting.py --body-file forged --poses POSES.json --json benchmarks/results/fitting_smpl_real.json

Bodies take every infant posture, are seen from below to straight above, from all round, with any roll, and the fit is
told neither focal length nor posture nor age. Noise is 2 px on a person whose size is 100 px, whatever its size here.
Times are of one thread. The shipped prior was learnt from the same sampler; ``--left-out`` fits each posture with a
prior that was learnt from the others. ``--body-file`` fits another body to the same infants: that of a converted SMPL
or SMIL file, or the one that the tests forge of the bundled body's surface.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from build_pose_prior import sampled_poses

from fidip.annotations import LabelledImage, Person
from fidip.coco import read_coco
from fidip.files import write_json
from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.camera import Camera
from fidip.synthesis.fit_bodies import CPU, FIT_BODIES, Fittable
from fidip.synthesis.fit_check import Measured, fit_faults
from fidip.synthesis.fit_people import Fit, Subject, fit_people, posed, subjects
from fidip.synthesis.fits import Fits
from fidip.synthesis.framing import View, draw_camera
from fidip.synthesis.habits import draw_habit
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.postures import POSTURES, YEARS, Posture
from fidip.synthesis.priors import PosePrior, learn_prior

ALL_ROUND = View(weight=1.0, elevation=(-25, 89))
SIZE = (640, 640)
NOISE = 0.02
EXAGGERATED = 1.6
HIPS = [COCO_17.keypoints.index(f"{side}_hip") for side in ("left", "right")]


class Drawn(NamedTuple):
    """One body whose every number is known."""

    posture: Posture
    rotations: np.ndarray  # (J, 3)
    vertices: np.ndarray  # (V, 3)
    keypoints: np.ndarray  # (K, 3) in the camera's frame
    pixels: np.ndarray  # (K, 2)
    camera: Camera


def draw_bodies(count: int, seed: int, exaggeration: float = 1.0) -> list[Drawn]:
    body, drawn = AnnyBody.load(), []
    for index in range(count):
        generator = np.random.default_rng([seed, index])
        posture = POSTURES["infant"][index % len(POSTURES["infant"])]
        shape = body.draw_shape(generator, "infant", YEARS.get(("infant", posture)))[0]
        pose = draw_habit(generator, body, shape, draw_pose(generator, posture, body))
        rotations = pose.rotations * np.float32(exaggeration)
        rotations[0] = pose.rotations[0]
        with torch.no_grad():
            result = body(shape[None], torch.from_numpy(rotations)[None], torch.zeros(1, 3))
        vertices, keypoints = result.vertices[0].numpy(), result.keypoints[0].numpy().astype(np.float64)
        lift = np.array([0.0, 0.0, -float(vertices[:, 2].min())])
        keypoints = keypoints + lift
        camera = draw_camera(generator, ALL_ROUND, vertices[::15] + lift, SIZE)
        while not in_view(camera, keypoints):
            camera = draw_camera(generator, ALL_ROUND, vertices[::15] + lift, SIZE)
        pixels = camera.project(keypoints)[:, :2]
        drawn.append(Drawn(posture, rotations, vertices, camera.to_camera(keypoints), pixels, camera))
    return drawn


def in_view(camera: Camera, keypoints: np.ndarray) -> bool:
    """Before the camera and nearly in the frame: looking upwards, the floor may push the camera into the body."""
    x, y, depth = camera.project(keypoints).T
    with np.errstate(invalid="ignore"):
        inside = (np.abs(x / SIZE[0] - 0.5) < 0.6) & (np.abs(y / SIZE[1] - 0.5) < 0.6)
    return bool(((depth > 0.1) & inside).all())


def as_subjects(drawn: list[Drawn], noise: float, seed: int) -> tuple[list[Subject], np.ndarray]:  # and true sizes (N,)
    """The bodies as a reader of annotations would meet them; noise in shares of the clean size."""
    sizes = np.array([subject.scale for subject in _subjects([body.pixels for body in drawn])])
    generator = np.random.default_rng([seed, 1])
    noises = noise * sizes[:, None, None] * generator.standard_normal((len(drawn), len(COCO_17), 2))
    return _subjects([body.pixels + shift for body, shift in zip(drawn, noises, strict=True)]), sizes


def _subjects(pixels: list[np.ndarray]) -> list[Subject]:
    images = []
    for number, points in enumerate(pixels, start=1):
        person = Person(np.concatenate([points, np.full((len(points), 1), 2.0)], 1), id=number)
        images.append(LabelledImage(number, f"{number}.png", *SIZE, people=(person,)))
    found, unfit = subjects(images)
    assert not unfit, unfit
    return found


def fitted(
    people: list[Subject], prior: PosePrior | None = None, body: Fittable | None = None
) -> tuple[Fits, list[Fit], dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    fits, records = fit_people(people, body=body or "anny", prior=prior)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    seconds = {"cpu_seconds_each": cpu / len(people), "wall_seconds_each": wall / len(people)}
    return fits, records, seconds | {"wall_seconds_each_fit_alone": records[0].seconds}


def accuracy(
    drawn: list[Drawn], noise: float, seed: int, prior: PosePrior | None = None, other: Fittable | None = None
) -> dict[str, Any]:
    people, sizes = as_subjects(drawn, noise, seed)
    fits, records, seconds = fitted(people, prior, other)
    body = AnnyBody.load() if other is None else other.model
    reprojection, joints, aligned = np.zeros((3, len(drawn)))
    for i, true in enumerate(drawn):
        _, keypoints = posed(body, fits, i)
        camera = fits.camera(i)
        reprojection[i] = np.median(np.linalg.norm(camera.project(keypoints)[:, :2] - true.pixels, axis=1)) / sizes[i]
        found, truth = (points - points[HIPS].mean(0) for points in (camera.to_camera(keypoints), true.keypoints))
        joints[i] = np.linalg.norm(found - truth, axis=1).mean()
        aligned[i] = np.linalg.norm(found * (found * truth).sum() / (found**2).sum() - truth, axis=1).mean()
    nan = int((~np.isfinite(reprojection) | ~np.isfinite(joints)).sum())
    postures = np.array([true.posture for true in drawn])

    def figures(rows: np.ndarray) -> dict[str, Any]:
        return {
            "bodies": int(rows.sum()),
            "reprojection_median": round(float(np.median(reprojection[rows])), 5),
            "reprojection_p95": round(float(np.percentile(reprojection[rows], 95)), 5),
            "joints_mm_median": round(1000 * float(np.median(joints[rows])), 1),
            "joints_mm_median_size_aligned": round(1000 * float(np.median(aligned[rows])), 1),
            "plausible": round(float(np.mean([records[i].plausible for i in np.flatnonzero(rows)])), 4),
        }

    return {
        "noise": noise,
        "nan": nan,
        "over_5_percent": int((reprojection > 0.05).sum()),
        **{name: round(value, 4) for name, value in seconds.items()},
        "all": figures(np.ones(len(drawn), bool)),
        **{posture: figures(postures == posture) for posture in POSTURES["infant"] if posture in postures},
    }


def left_out(count: int, seed: int) -> dict[str, Any]:
    """Each posture's bodies, with noise, by a prior that has seen the other postures only."""
    drawn, found = draw_bodies(count, seed), {}
    for posture in POSTURES["infant"]:
        others = [each for each in POSTURES["infant"] if each != posture]
        prior = learn_prior(sampled_poses(0, 1500, others), 10)
        found[posture] = accuracy([body for body in drawn if body.posture == posture], NOISE, seed, prior)["all"]
        print(posture, found[posture], flush=True)
    return found


def thresholds(count: int, seed: int) -> dict[str, Any]:
    """Shares that pass: of drawn poses themselves, and of fits to their noisy keypoints."""
    model, view = FIT_BODIES["anny"](CPU, torch.float64)
    shares: dict[str, Any] = {}
    for name, exaggeration in (("sampler", 1.0), ("exaggerated", EXAGGERATED)):
        drawn = draw_bodies(count, seed, exaggeration)
        energies = view.prior.energy(np.array([view.pose(body.rotations) for body in drawn]))
        passed = [
            not fit_faults((model, view), body.rotations, body.vertices, Measured(0.0, float(energy), 0.0))
            for body, energy in zip(drawn, energies, strict=True)
        ]
        _, records, _ = fitted(as_subjects(drawn, NOISE, seed)[0])
        shares[name] = {
            "poses": round(float(np.mean(passed)), 4),
            "poses_by_posture": {
                posture: round(
                    float(np.mean([p for p, b in zip(passed, drawn, strict=True) if b.posture == posture])), 4
                )
                for posture in POSTURES["infant"]
            },
            "fits": round(float(np.mean([record.plausible for record in records])), 4),
            "fits_refused_by": reasons(records),
        }
    return shares


def body_of(file: str | None) -> Fittable | None:
    if file == "forged":
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from smpl_cases import fittable

        return fittable(wrinkled=False)
    return None if file is None else Fittable.load("smpl", Path(file))


def reasons(records: list[Fit]) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in records:
        for reason in {each.partition(":")[0] for each in record.reasons}:
            found[reason] = found.get(reason, 0) + 1
    return found


def of_file(path: Path, body: Fittable | None) -> dict[str, Any]:
    people, unfit = subjects(read_coco(path))
    _, records, seconds = fitted(people, body=body)
    errors = np.array([record.reprojection_torso for record in records])
    for record in records:
        print(f"  {record.id:5} {record.reprojection_torso:6.1%}  {'; '.join(record.reasons) or 'plausible'}")
    return {
        "people": len(records),
        "not_fitted": len(unfit),
        "reprojection_median": round(float(np.median(errors)), 5),
        "reprojection_max": round(float(errors.max()), 5),
        "plausible": sum(record.plausible for record in records),
        "refused_by": reasons(records),
        **{name: round(value, 4) for name, value in seconds.items()},
    }


def derivatives(count: int) -> dict[str, float]:
    """Microseconds a body for keypoints with all derivatives: in closed form, and by torch.func's forward mode."""
    _, view = FIT_BODIES["anny"](CPU, torch.float64)
    generator = torch.Generator().manual_seed(0)
    pose = torch.rand(count, len(view.motions), generator=generator, dtype=torch.float64)
    shape = torch.randn(count, view.shape_size, generator=generator, dtype=torch.float64)

    def automatic() -> Any:
        one = torch.func.jacfwd(lambda p, s: view.points(p[None], s[None])[0][0], argnums=(0, 1))
        return torch.func.vmap(one)(pose, shape)

    def closed() -> Any:
        return view.points(pose, shape)

    found = {}
    for name, compute in (("closed_form_us", closed), ("forward_mode_us", automatic)):
        compute()
        start = time.process_time()
        for _ in range(3):
            compute()
        found[name] = round((time.process_time() - start) / 3 / count * 1e6, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--thresholds", type=int, metavar="COUNT")
    parser.add_argument("--left-out", type=int, metavar="COUNT")
    parser.add_argument("--derivatives", type=int, metavar="COUNT")
    parser.add_argument("--body-file", metavar="BODY.npz|forged")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.poses:
        found = {"poses": of_file(given.poses, body_of(given.body_file))}
    elif given.thresholds:
        found = {"count": given.thresholds, "seed": given.seed, "shares": thresholds(given.thresholds, given.seed)}
    elif given.left_out:
        found = {"count": given.left_out, "seed": given.seed, "postures": left_out(given.left_out, given.seed)}
    elif given.derivatives:
        found = {"bodies": given.derivatives, **derivatives(given.derivatives)}
    else:
        drawn, body = draw_bodies(given.count, given.seed), body_of(given.body_file)
        found = {"count": given.count, "seed": given.seed, "body": given.body_file or "anny"}
        for name, noise in (("noiseless", 0.0), ("noisy", NOISE)):
            found[name] = accuracy(drawn, noise, given.seed, other=body)
            print(name, found[name]["all"], flush=True)
        if body is not None:
            exaggerated = draw_bodies(given.count, given.seed, EXAGGERATED)
            found["noisy_exaggerated"] = accuracy(exaggerated, NOISE, given.seed, other=body)
    report = {
        "machine": platform.platform(),
        "versions": {name: version(name) for name in ("fidip", "torch", "numpy")},
        **found,
    }
    print_tree(found)
    if given.json:
        given.json.parent.mkdir(exist_ok=True)
        write_json(given.json, report, indent=2)


def print_tree(found: dict[str, Any], depth: int = 0) -> None:
    for name, value in found.items():
        if isinstance(value, dict) and any(isinstance(each, dict) for each in value.values()):
            print("  " * depth + name)
            print_tree(value, depth + 1)
        else:
            print("  " * depth + f"{name}: {value}")


if __name__ == "__main__":
    main()
