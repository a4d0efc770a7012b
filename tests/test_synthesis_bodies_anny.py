from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from fidip.skeleton import COCO_17
from fidip.synthesis.bodies import BODY_MODELS
from fidip.synthesis.bodies.anny import BUNDLE, AnnyBody
from fidip.synthesis.bodies.protocol import KEYPOINT_PARTS, PARTS

GOLDEN = json.loads(Path(__file__).with_name("anny_golden.json").read_text())
"""Keypoints that Anny 0.6.2 itself gives two bodies in random poses, written by build_body_bundle.py --golden."""

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


@pytest.fixture(scope="module")
def inputs(body: AnnyBody) -> Inputs:
    """An infant and an adult in poses that no one takes, somewhere in the world."""
    generator = np.random.default_rng(7)
    shapes = [body.draw_shape(generator, population)[0] for population in ("infant", "adult")]
    rotations = generator.normal(0, 0.3, (2, len(body.bone_names), 3))
    translation = generator.normal(0, 1, (2, 3))
    return (
        torch.stack(shapes),
        torch.tensor(rotations, dtype=torch.float32),
        torch.tensor(translation, dtype=torch.float32),
    )


def slow_vertices(body: AnnyBody, shape: torch.Tensor, rotations: torch.Tensor, at: torch.Tensor) -> np.ndarray:
    """One body, bone by bone and weight by weight, in NumPy and double precision."""
    with np.load(BUNDLE, allow_pickle=False) as bundle:
        template, basis = bundle["template"].astype(float), bundle["basis"].astype(float)
        bones, weights = bundle["skin_bones"], bundle["skin_weights"].astype(float)
        parents = bundle["bone_parents"]
    rest = template + np.tensordot(shape.numpy().astype(float), basis, 1)
    V = len(bones)
    vertices, joints = rest[:V], rest[V:]
    turn: list[np.ndarray] = []
    head: list[np.ndarray] = []
    for bone, parent in enumerate(parents):
        own = Rotation.from_rotvec(rotations[bone].numpy().astype(float)).as_matrix()
        if parent < 0:
            turn.append(own)
            head.append(at.numpy().astype(float))
        else:
            turn.append(turn[parent] @ own)
            head.append(head[parent] + turn[parent] @ (joints[bone] - joints[parent]))
    posed = np.zeros_like(vertices)
    for column in range(bones.shape[1]):
        for bone in range(len(parents)):
            mine = bones[:, column] == bone
            moved = (vertices[mine] - joints[bone]) @ turn[bone].T + head[bone]
            posed[mine] += weights[mine, column, None] * moved
    return posed / weights.sum(1, keepdims=True)


def test_agrees_with_a_slow_and_obvious_skinning(body: AnnyBody, inputs: Inputs) -> None:
    fast = body(*inputs).vertices
    for row in range(2):
        slow = slow_vertices(body, *(tensor[row] for tensor in inputs))
        np.testing.assert_allclose(fast[row].numpy(), slow, atol=1e-5)


@pytest.mark.parametrize("population", ["infant", "adult"])
def test_agrees_with_anny_on_bodies_that_the_bundle_has_not_seen(body: AnnyBody, population: str) -> None:
    shape, rotations, keypoints = (torch.tensor(GOLDEN[population][n]) for n in ("shape", "rotations", "keypoints"))
    ours = body.keypoints(shape[None], rotations[None], torch.zeros(1, 3))[0]
    assert (ours - keypoints).norm(dim=1).max() < 0.004


def test_keypoints_alone_equal_those_of_the_whole_body(body: AnnyBody, inputs: Inputs) -> None:
    posed = body(*inputs)
    torch.testing.assert_close(body.keypoints(*inputs), posed.keypoints, atol=1e-6, rtol=0)
    with np.load(BUNDLE, allow_pickle=False) as bundle:
        regressed = torch.zeros(2, len(COCO_17), 3)
        rows, columns = torch.tensor(bundle["keypoint_rows"]).long(), torch.tensor(bundle["keypoint_columns"]).long()
        weights = torch.tensor(bundle["keypoint_weights"])
        regressed.index_add_(1, rows, posed.vertices[:, columns] * weights[:, None])
        shares = torch.zeros(len(COCO_17)).index_add_(0, rows, weights)
    torch.testing.assert_close(posed.keypoints, regressed / shares[:, None], atol=1e-5, rtol=0)


def test_the_root_turns_and_moves_everything_rigidly(body: AnnyBody, inputs: Inputs) -> None:
    shape, rotations, translation = inputs
    rotations = rotations.clone()
    rotations[:, 0] = 0
    still = body(shape, rotations, torch.zeros_like(translation))
    turn = torch.tensor([[0.4, -1.1, 2.0], [2.5, 0.3, -0.2]])
    rotations[:, 0] = turn
    moved = body(shape, rotations, translation)
    matrix = torch.tensor(Rotation.from_rotvec(turn.numpy()).as_matrix(), dtype=torch.float32)
    for before, after in zip(
        (still.vertices, still.joints, still.keypoints), (moved.vertices, moved.joints, moved.keypoints), strict=True
    ):
        torch.testing.assert_close(after, before @ matrix.mT + translation[:, None], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.joints[:, 0], translation)


def test_the_reference_pose_is_symmetric_and_the_left_is_positive_x(body: AnnyBody, inputs: Inputs) -> None:
    keypoints = body.rest(inputs[0]).keypoints
    size = torch.tensor([0.6, 1.7])[:, None, None]
    mirrored = keypoints[:, list(COCO_17.flip_permutation)] * torch.tensor([-1.0, 1.0, 1.0])
    assert ((keypoints - mirrored).abs() / size).max() < 0.02
    lefts = [left for left, _ in COCO_17.flip_pairs]
    assert (keypoints[:, lefts, 0] > 0).all()
    nose, left_ear = COCO_17.keypoints.index("nose"), COCO_17.keypoints.index("left_ear")
    left_ankle = COCO_17.keypoints.index("left_ankle")
    assert (keypoints[:, nose, 1] < keypoints[:, left_ear, 1]).all()  # the face looks along −y
    assert (keypoints[:, nose, 2] > keypoints[:, left_ankle, 2]).all()  # z is up


def test_keypoints_lie_at_their_parts(body: AnnyBody, inputs: Inputs) -> None:
    """Within a limb's thickness of the parts on which they are said to lie."""
    posed = body(*inputs)
    for keypoint, names in enumerate(KEYPOINT_PARTS):
        ids = [PARTS.index(name) for name in names]
        surface = torch.from_numpy(np.unique(body.faces[np.isin(body.face_parts, ids)])).long()
        gaps = (posed.vertices[:, surface] - posed.keypoints[:, keypoint, None]).norm(dim=-1).amin(1)
        assert (gaps < torch.tensor([0.05, 0.13])).all(), (COCO_17.keypoints[keypoint], gaps)


def test_every_part_has_faces_on_its_own_side(body: AnnyBody, inputs: Inputs) -> None:
    middles = body.rest(inputs[0]).vertices[0].numpy()[body.faces].mean(1)
    for part, name in enumerate(PARTS):
        x = middles[body.face_parts == part, 0]
        assert len(x) > 100, name
        if name.startswith(("left", "right")):
            assert np.sign(x.mean()) == (1 if name.startswith("left") else -1), name
    assert body.face_uvs.max() < len(body.uvs)
    assert body.faces.max() < len(middles)
    assert body.face_uvs.shape == body.faces.shape == (len(body.face_parts), 3)
    assert body.uvs.min() >= 0
    assert body.uvs.max() <= 1


def test_the_surface_is_closed_enough_to_have_a_weight(body: AnnyBody) -> None:
    """Faces turn outwards: the volume inside is positive and that of an infant."""
    shape = body.draw_shape(np.random.default_rng(0), "infant", (0.4, 0.6))[0]
    vertices = body.rest(shape[None]).vertices[0].double().numpy()
    a, b, c = np.moveaxis(vertices[body.faces], 1, 0)
    assert 5.0 < 1030 * np.einsum("fi,fi->", a, np.cross(b, c)) / 6 < 10.5  # kg at six months


@pytest.mark.parametrize(
    ("years", "centimetres", "kilograms"),
    [((0.0, 0.05), 50.9, 3.6), ((0.22, 0.28), 60.6, 6.1), ((0.45, 0.55), 66.7, 7.6), ((0.95, 1.05), 74.9, 9.25)],
)
def test_infants_grow_like_the_who_standards(
    body: AnnyBody, years: tuple[float, float], centimetres: float, kilograms: float
) -> None:
    generator = np.random.default_rng(1)
    shapes = torch.stack([body.draw_shape(generator, "infant", years)[0] for _ in range(40)])
    vertices = body.rest(shapes).vertices
    lengths = (vertices[..., 2].amax(1) - vertices[..., 2].amin(1)) * 100
    a, b, c = vertices[:, body.faces].unbind(2)
    weights = 1030 * (a * torch.linalg.cross(b, c)).sum((1, 2)) / 6
    assert lengths.median().item() == pytest.approx(centimetres, rel=0.03)
    assert weights.median().item() == pytest.approx(kilograms, rel=0.08)


def girth_above_the_brows(body: AnnyBody, vertices: np.ndarray, eye: float) -> float:
    """The longest of the level outlines that a tape would follow, by SciPy's convex hull."""
    head = vertices[body.bone_weights("head") > 0.9]
    top = head[:, 2].max()
    levels = eye + np.linspace(0.3, 0.6, 7) * (top - eye)
    slabs = (head[np.abs(head[:, 2] - level) < 0.06 * (top - eye), :2] for level in levels)
    return max(float(ConvexHull(slab).area) for slab in slabs)  # a polygon's "area" is its perimeter there


@pytest.mark.parametrize(
    ("month", "centimetres", "kilograms", "head"),
    [
        (0, 49.5, 3.25, 34.2), (2, 57.75, 5.35, 38.7), (6, 66.65, 7.6, 42.75), (12, 74.85, 9.25, 45.5),
        (24, 87.1, 11.85, 47.75),
    ],
)  # fmt: skip
def test_infants_of_a_month_are_within_5_percent_of_the_who_medians(
    body: AnnyBody, month: float, centimetres: float, kilograms: float, head: float
) -> None:
    generator = np.random.default_rng(2)
    rest = body.rest(torch.stack([body.draw_shape(generator, "infant", months=(month, month))[0] for _ in range(100)]))
    lengths = (rest.vertices[..., 2].amax(1) - rest.vertices[..., 2].amin(1)) * 100
    a, b, c = rest.vertices[:, body.faces].unbind(2)
    weights = 1030 * (a * torch.linalg.cross(b, c)).sum((1, 2)) / 6
    eyes = rest.joints[:, body.bone_names.index("eye.L"), 2]
    girths = [girth_above_the_brows(body, v.numpy(), float(eye)) for v, eye in zip(rest.vertices, eyes, strict=True)]
    assert lengths.median().item() == pytest.approx(centimetres, rel=0.05)
    assert weights.median().item() == pytest.approx(kilograms, rel=0.05)
    assert 100 * float(np.median(girths)) == pytest.approx(head, rel=0.05)


def test_infants_are_drawn_by_months_alone(body: AnnyBody) -> None:
    first, again = (body.draw_shape(np.random.default_rng([3, 5]), "infant", months=(0, 12))[0] for _ in range(2))
    assert torch.equal(first, again)
    generator = np.random.default_rng(0)
    rest = body.rest(
        torch.stack([body.draw_shape(generator, "infant", months=(0, 12))[0] for _ in range(40)])
    ).vertices[..., 2]
    lengths = rest.amax(1) - rest.amin(1)
    assert lengths.min() < 0.58
    assert lengths.max() > 0.68
    for months in ((-1, 2), (5, 4), (12, 25)):
        with pytest.raises(ValueError, match="ages are 0 to 24, in order"):
            body.draw_shape(generator, "infant", months=months)


def test_adults_are_adults(body: AnnyBody) -> None:
    generator = np.random.default_rng(1)
    vertices = body.rest(torch.stack([body.draw_shape(generator, "adult")[0] for _ in range(40)])).vertices
    stature = vertices[..., 2].amax(1) - vertices[..., 2].amin(1)
    assert stature.min() > 1.35
    assert stature.max() < 2.1
    assert 1.6 < stature.median() < 1.8
    assert stature.std() > 0.05


def test_a_shape_depends_on_the_generator_alone(body: AnnyBody) -> None:
    first, again = (body.draw_shape(np.random.default_rng([3, 5]), "infant")[0] for _ in range(2))
    other = body.draw_shape(np.random.default_rng([3, 6]), "infant")[0]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    with pytest.raises(ValueError, match="no infant between"):
        body.draw_shape(np.random.default_rng(0), "infant", (30.0, 40.0))[0]


def test_gradients_are_those_of_difference_quotients(body: AnnyBody, inputs: Inputs) -> None:
    double = AnnyBody(dict(np.load(BUNDLE))).double()
    shape, rotations, translation = (tensor[:1].double() for tensor in inputs)
    elbow = body.bone_names.index("lowerarm01.L")

    def some(coefficients: torch.Tensor, turns: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        whole = torch.cat([coefficients, shape[:, 2:]], 1)
        pose = rotations.clone()
        pose[:, 0], pose[:, elbow] = turns[:, 0], turns[:, 1]  # the second one starts from no rotation at all
        posed = double(whole, pose, at)
        return posed.vertices[:, ::2000], posed.keypoints[:, ::4]

    free = (shape[:, :2], torch.stack([rotations[:, 0], torch.zeros(1, 3).double()], 1), translation)
    assert torch.autograd.gradcheck(some, [tensor.clone().requires_grad_() for tensor in free])


def test_bone_weights_share_each_vertex(body: AnnyBody) -> None:
    np.testing.assert_allclose(body.bone_weights(""), 1, atol=1e-5)
    left, right, both = (body.bone_weights(*names) for names in (["wrist.L"], ["wrist.R"], ["wrist"]))
    np.testing.assert_allclose(left + right, both, atol=1e-6)
    assert both.max() > 0.5
    with pytest.raises(ValueError, match="no bone starts with tail"):
        body.bone_weights("tail")


def test_wrong_shapes_are_refused(body: AnnyBody, inputs: Inputs) -> None:
    shape, rotations, translation = inputs
    with pytest.raises(ValueError, match="expected"):
        body(shape[:1], rotations, translation)


def test_the_bundle_is_small_loaded_once_and_listed(body: AnnyBody) -> None:
    assert BUNDLE.stat().st_size < 6_000_000
    assert AnnyBody.load() is body
    assert BODY_MODELS["anny"]() is body
