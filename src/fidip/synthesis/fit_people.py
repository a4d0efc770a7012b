"""From annotated people to fitted bodies: who can be fitted, with which camera, and what came of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.annotations import LabelledImage, Person
from fidip.errors import RecipeError
from fidip.geometry import box_around
from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fit import fit
from fidip.synthesis.fit_bodies import CPU, Fittable
from fidip.synthesis.fit_body import FitBody
from fidip.synthesis.fit_check import Measured, fit_faults
from fidip.synthesis.fit_terms import Evaluation, Objective, Observed, State
from fidip.synthesis.fits import CAMERA_ROTATION, Fits
from fidip.synthesis.priors import PosePrior
from fidip.synthesis.threads import single_thread

LEAST_LABELLED = 7
"""Keypoints without which a body is not determined even by the priors."""

FARTHEST = 1e6
"""Pixels within which keypoints and sizes are believed."""

LEAST_SPREAD = 0.1
"""Of keypoints, in shares of the person's size: less is no pose."""

GUESSED_FOCAL = 1.1
"""Focal length over the longer side of the image: a field of view of 49 degrees, between a phone's and a monitor's."""

KEYPOINT_WEIGHTS = tuple(0.5 if name.endswith("hip") else 1.0 for name in COCO_17.keypoints)
"""γ: annotators place hips least precisely (COCO's OKS sigmas), and infants' lie under a diaper."""

TORSO = [COCO_17.keypoints.index(f"{side}_{name}") for name in ("shoulder", "hip") for side in ("left", "right")]

FocalMode = Literal["optimise", "guess"]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One person who is to be fitted."""

    id: int
    image: LabelledImage
    person: Person
    scale: float  # pixels


@dataclass(frozen=True, slots=True)
class Unfit:
    """One person who cannot be, and why."""

    id: int
    image_id: int
    file_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What is said of one fit; the arrays are in ``Fits``."""

    id: int
    image_id: int
    file_name: str
    reprojection_torso: float
    plausible: bool
    reasons: tuple[str, ...]
    energy: dict[str, float]
    seconds: float
    posture: str | None = None  # what the image is said to show


def subjects(images: Sequence[LabelledImage]) -> tuple[list[Subject], list[Unfit]]:
    """Everybody in the images: who can be fitted and who cannot, in the file's order.

    A person has the annotation's id, or a number from 1 where not all annotations have one.
    """
    everyone = [(image, person) for image in images for person in image.people]
    named = all(person.id is not None for _, person in everyone)
    found: list[Subject] = []
    unfit: list[Unfit] = []
    for number, (image, person) in enumerate(everyone, start=1):
        id_ = person.id if named and person.id is not None else number
        reason, scale = "", 0.0
        labelled = int(person.labelled.sum())
        if person.crowd:
            reason = "a crowd, not a person"
        elif labelled < LEAST_LABELLED:
            reason = f"{labelled} labelled keypoints, at least {LEAST_LABELLED} are needed"
        elif not np.abs(person.keypoints[person.labelled, :2]).max() <= FARTHEST:
            reason = f"a keypoint farther than {FARTHEST:.0f} pixels from the image's corner"
        else:
            scale = person_size(person)
            if not 1 <= scale <= FARTHEST:
                reason = f"{scale:.2g} pixels large"
            elif np.ptp(person.keypoints[person.labelled, :2], axis=0).max() < LEAST_SPREAD * scale:
                reason = "its labelled keypoints lie on one spot"
        if reason:
            unfit.append(Unfit(id_, image.id, image.file_name, reason))
        else:
            found.append(Subject(id_, image, person, scale))
    return found, unfit


def person_size(person: Person) -> float:
    """The larger of the torso's length and a quarter of √(box area), in pixels: torsos foreshorten.

    The box is the annotation's, or that of the labelled keypoints; the torso counts where shoulders and hips are
    labelled.
    """
    points = person.keypoints[:, :2]
    _, _, width, height = person.box or (0.0, 0.0, 0.0, 0.0)
    if width * height <= 0:
        _, _, width, height = box_around(points[person.labelled])
    torso = 0.0
    if person.labelled[TORSO].all():
        torso = float(np.linalg.norm(points[TORSO[:2]].mean(0) - points[TORSO[2:]].mean(0)))
    return max(torso, math.sqrt(width * height) / 4)


def fit_people(
    people: Sequence[Subject],
    *,
    body: str | Fittable = "anny",
    focal: float | FocalMode = "optimise",
    prior: PosePrior | None = None,
    device: torch.device = CPU,
    progress: Callable[[int], None] | None = None,
) -> tuple[Fits, list[Fit]]:
    """Fit a body to people: a bundled one by its name, or one that has been loaded for the same device.

    Nobody's result depends on the others or on their order.

    ``focal`` is the cameras' focal length in pixels, or whether it is guessed from the size of the image
    (``GUESSED_FOCAL``), or found together with the body starting from that guess. Computation is in double precision
    where the device has it, and on one thread of the CPU, since the steps are small. Raises ``RecipeError`` for a prior
    over other motions than the body's.
    """
    body = Fittable.load(body, device=device) if isinstance(body, str) else body
    model, fitted = body.model, body.seen
    prior = prior or fitted.prior
    if prior.motions != fitted.motions:
        raise RecipeError(
            f"the prior is over other motions than those of the body {body.name}; learn one from its fits"
        )
    objective = Objective(fitted, prior)
    start = time.perf_counter()
    with torch.no_grad(), single_thread():
        observed = observe(people, focal, device, fitted.limits.dtype)
        state, reached = fit(objective, observed, free_focal=focal == "optimise", progress=progress)
        seconds = (time.perf_counter() - start) / max(len(people), 1)
        fits = _collect(people, body, state)
        unlikely = fitted.prior.energy(state.pose.cpu().double().numpy())
        return fits, _judge(people, (model, fitted), fits, _energies(state, reached, unlikely), seconds)


def observe(people: Sequence[Subject], focal: float | FocalMode, device: torch.device, dtype: torch.dtype) -> Observed:
    """What the objective is to explain."""

    def tensor(values: Any) -> torch.Tensor:
        return torch.as_tensor(np.array(values, dtype=np.float64), dtype=dtype, device=device)

    K = len(COCO_17)
    keypoints = np.array([subject.person.keypoints for subject in people]).reshape(-1, K, 3)
    sizes = np.array([(subject.image.width, subject.image.height) for subject in people], float).reshape(-1, 2)
    focals = GUESSED_FOCAL * sizes.max(1) if isinstance(focal, str) else np.full(len(people), focal)
    return Observed(
        tensor(keypoints[..., :2]),
        tensor((keypoints[..., 2] > 0) * np.array(KEYPOINT_WEIGHTS)),
        tensor([subject.scale for subject in people]),
        tensor((sizes - 1) / 2),
        tensor(np.log(focals)),
    )


def _collect(people: Sequence[Subject], fittable: Fittable, state: State) -> Fits:
    """Bodies and cameras as everybody else knows them: the camera stands still, the body is before it."""
    body, fitted, N = fittable.model, fittable.seen, len(people)
    to_world = torch.as_tensor(CAMERA_ROTATION.T.copy(), dtype=state.root.dtype, device=state.root.device)
    poses = state.pose.cpu().double().numpy()
    rotations = np.array([fitted.rotations(pose) for pose in poses], np.float32).reshape(N, len(body.bone_names), 3)
    rotations[:, 0] = rotation_vectors((to_world @ state.root).cpu().double().numpy())
    sizes = np.array([(subject.image.width, subject.image.height) for subject in people]).reshape(N, 2)
    return Fits(
        ids=np.array([subject.id for subject in people], np.int64),
        image_ids=np.array([subject.image.id for subject in people], np.int64),
        shape=fitted.full_shape(state.shape).cpu().numpy().astype(np.float32),
        rotations=rotations,
        translation=(state.translation() @ to_world.T).cpu().numpy().astype(np.float32),
        focal=state.log_focal.exp().cpu().double().numpy(),
        principal=(sizes - 1) / 2,
        size=sizes.astype(np.int64),
        camera_rotation=np.tile(CAMERA_ROTATION, (N, 1, 1)),
        camera_position=np.zeros((N, 3)),
        bone_names=body.bone_names,
        body=fittable.name,
    )


def _energies(state: State, reached: Evaluation, unlikely: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The objective's weighted terms and their sum; unweighted, what plausibility is judged by."""
    terms = {name: term.cpu().double().numpy() for name, term in reached.terms.items()}
    judged = {"pose_prior": unlikely, "shape_prior": state.shape.square().sum(1).cpu().double().numpy()}
    return terms | {"total": np.sum(list(terms.values()), axis=0)} | judged


def _judge(
    people: Sequence[Subject],
    bodies: tuple[BodyModel, FitBody],
    fits: Fits,
    energies: dict[str, NDArray[np.float64]],
    seconds: float,
) -> list[Fit]:
    records = []
    for i, subject in enumerate(people):
        vertices, keypoints = posed(bodies[0], fits, i)
        labelled = subject.person.keypoints
        visible = labelled[:, 2] == 2 if (labelled[:, 2] == 2).any() else labelled[:, 2] > 0
        away = np.linalg.norm(fits.camera(i).project(keypoints)[:, :2] - labelled[:, :2], axis=1)
        error = float(np.median(away[visible])) / subject.scale
        energy = {name: float(values[i]) for name, values in energies.items()}
        measured = Measured(error, energy["pose_prior"], energy["shape_prior"])
        reasons = fit_faults(bodies, fits.rotations[i], vertices, measured)
        image = subject.image
        name, posture = image.file_name, image.posture
        records.append(Fit(subject.id, image.id, name, error, not reasons, reasons, energy, seconds, posture))
    return records


def posed(body: BodyModel, fits: Fits, index: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Vertices (V, 3) and keypoints (K, 3) of one fit in the world."""
    parts = (fits.shape, fits.rotations, fits.translation)
    with torch.no_grad():
        result = body(*(torch.from_numpy(part[index : index + 1]) for part in parts))
    return result.vertices[0].numpy(), result.keypoints[0].numpy().astype(np.float64)


def rotation_vectors(matrices: NDArray[np.float64]) -> NDArray[np.float64]:  # (N, 3, 3) -> (N, 3)
    """Axis-angle of rotation matrices."""
    return np.asarray(Rotation.from_matrix(matrices).as_rotvec() if len(matrices) else np.zeros((0, 3)))
