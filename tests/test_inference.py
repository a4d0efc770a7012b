"""Prediction with a network that finds coloured dots, so that the true pose is known to a fraction of a pixel."""

import json

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fidip.annotations import LabelledImage, Person
from fidip.cli import main
from fidip.coco import read_coco, read_results, write_coco
from fidip.data.samples import cut, person_crop, to_input, to_planes
from fidip.errors import DataError, DataWarning, FidipError, ImageError
from fidip.geometry import apply_affine, crop_to_input
from fidip.images import read_image, write_image
from fidip.inference.photos import plan_photos, predict_photos, write_predictions
from fidip.inference.predictor import Predictor
from fidip.networks.card import NetworkCard
from fidip.networks.estimation import estimate_keypoints
from fidip.networks.pose import PoseOutput, build_pose_net
from fidip.networks.weights import save_pose_net

CARD = NetworkCard(backbone="resnet-18", width=8, head_width=8, input_size=(96, 128), blur_kernel=5, name="dots")
COLOURS = np.array([[r, g, b] for r in (40, 140, 240) for g in (40, 140, 240) for b in (40, 240)][:17])
SIZE = (200, 160)


class DotFinder(nn.Module):
    """Heatmap k is how much a patch's colour resembles colour k."""

    def __init__(self) -> None:
        super().__init__()
        self.card = CARD
        self.register_buffer("colours", torch.from_numpy(COLOURS).float().view(1, 17, 3, 1, 1) / 255)

    def forward(self, images: torch.Tensor) -> PoseOutput:
        likeness = torch.exp(-60 * ((images[:, None] - self.colours) ** 2).sum(dim=2))
        smooth = nn.functional.avg_pool2d(likeness, 3, stride=1, padding=1)
        maps = nn.functional.interpolate(smooth, size=(32, 24), mode="bilinear", align_corners=True)
        return PoseOutput(maps, maps)


def dots(seed: int, origin=(0.0, 0.0), spread=(200.0, 160.0)) -> tuple[np.ndarray, np.ndarray]:
    """A black image with seventeen coloured dots on a loose grid, and their centres."""
    generator = np.random.default_rng(seed)
    cells = np.array([[0.12 + 0.19 * (k % 5), 0.14 + 0.24 * (k // 5)] for k in generator.permutation(20)[:17]])
    points = np.array(origin) + (cells + generator.uniform(-0.03, 0.03, (17, 2))) * np.array(spread)
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for point, colour in zip(points, COLOURS, strict=True):
        center = np.round(point * 16).astype(int).tolist()
        cv2.circle(image, center, round(0.035 * max(spread) * 16), colour.tolist(), -1, cv2.LINE_AA, 4)
    return image, points


@pytest.fixture
def predictor():
    return Predictor(DotFinder(), flip_test=False)  # type: ignore[arg-type]


def test_keypoints_come_back_in_pixels_of_the_image(predictor):
    image, points = dots(0, (60, 30), (100, 110))
    (person,) = predictor(image, [(60, 30, 100, 110)])
    assert person.box == (60, 30, 100, 110)
    assert np.abs(person.keypoints[:, :2] - points).max() < 1.5
    assert person.score == pytest.approx(person.keypoints[person.keypoints[:, 2] > 0.2, 2].mean())


def test_one_person_a_box_in_their_order(predictor):
    image, _ = dots(1)
    assert predictor(image, []) == []
    boxes = [(0.0, 0.0, 200.0, 160.0), (20.0, 20.0, 100.0, 90.0)]
    assert [person.box for person in predictor(image, boxes)] == boxes


def test_without_a_box_the_first_pose_refines_the_second(predictor):
    image, points = dots(2, (75, 45), (120, 110))
    (person,) = predictor(image)
    (coarse,) = predictor(image, [(0, 0, *SIZE)])
    error, coarse_error = (np.abs(p.keypoints[:, :2] - points).mean() for p in (person, coarse))
    assert error < coarse_error
    x, y, width, height = person.box
    assert x <= points[:, 0].min()
    assert points[:, 0].max() <= x + width
    assert y <= points[:, 1].min()
    assert points[:, 1].max() <= y + height


def test_a_box_is_cleaned_as_in_training(predictor):
    """Validation during training and prediction in the same boxes look at the same pixels."""
    image, _ = dots(1)
    box = (-9.0, 20.0, 300.0, 90.0)
    (person,) = predictor(image, [box])
    crop = person_crop(Person(np.ones((17, 3)), box=box), SIZE, CARD.input_size, CARD.affine)
    window = cut(image, crop, CARD.input_size, CARD.affine)
    seen = estimate_keypoints(predictor.net, to_input(to_planes(window[None])), flip_test=False)[0].double().numpy()
    there = apply_affine(crop_to_input(crop, CARD.input_size, CARD.affine), person.keypoints[:, :2])
    assert np.allclose(there, seen[:, :2], atol=1e-4)
    assert person.box == box


def test_a_box_outside_the_image_is_refused(predictor):
    image, _ = dots(1)
    for box in ((500.0, 10.0, 50.0, 50.0), (10.0, 10.0, 0.0, 0.0)):
        with pytest.raises(FidipError, match="box 2 of 2"):
            predictor(image, [(20.0, 20.0, 100.0, 90.0), box])


def test_a_pose_in_one_point_is_not_refined(predictor):
    image = np.full((SIZE[1], SIZE[0], 3), COLOURS[0], np.uint8)
    predictor.net.colours[:] = predictor.net.colours[:, :1]  # every keypoint is seen, all in the same place
    (person,) = predictor(image)
    assert person.box == (0.0, 0.0, *SIZE)


def test_nothing_seen_is_a_score_of_zero(predictor):
    (person,) = predictor(np.zeros((50, 60, 3), np.uint8))
    assert person.score == 0.0
    assert person.box == (0.0, 0.0, 60.0, 50.0)


def folder_of_photos(tmp_path, count=2):
    photos = []
    for i in range(count):
        image, _ = dots(i, (30, 20), (120, 120))
        photos.append(tmp_path / f"photo{i}.png")
        write_image(photos[-1], image)
    return photos


def test_files_are_written_and_joined_by_name(predictor, tmp_path):
    photos = folder_of_photos(tmp_path)
    pose = np.ones((17, 3))
    truth = [
        LabelledImage(0, "elsewhere/photo1.png", *SIZE, (Person(pose, box=(30, 20, 120, 120), score=0.5),)),
        LabelledImage(7, "photo0.png", *SIZE, (Person(pose, box=(30, 20, 120, 120)),)),
    ]
    planned, _ = plan_photos(photos, truth, None)
    assert [photo.record.id for photo in planned] == [7, 0]
    people = {photo.record.id: found for photo, found in predict_photos(predictor, planned, tmp_path)}
    write_predictions(tmp_path, people, planned)
    results = read_results(tmp_path / "results.json", truth)
    assert set(results) == {0, 7}
    assert np.allclose(results[7][0].keypoints, people[7][0].keypoints)
    certain = people[0][0].keypoints[:, 2]
    assert results[0][0].score == pytest.approx(0.5 * certain[certain > 0.2].mean())
    labelled = {image.id: image for image in read_coco(tmp_path / "predictions.json")}
    assert labelled[0].file_name == "elsewhere/photo1.png"
    assert np.allclose(labelled[7].people[0].extras["keypoint_scores"], people[7][0].keypoints[:, 2], atol=1e-6)
    overlay = read_image(tmp_path / "photo0.png.png")
    assert overlay.shape == (SIZE[1], SIZE[0], 3)
    assert not np.array_equal(overlay, read_image(photos[0]))


def test_a_damaged_photo_does_not_lose_the_others(predictor, tmp_path):
    photos = folder_of_photos(tmp_path)
    planned, _ = plan_photos(photos, None, None)
    photos[0].write_bytes(photos[0].read_bytes()[:-400])
    found = [result for _, result in predict_photos(predictor, planned, tmp_path)]
    assert isinstance(found[0], ImageError)
    assert str(photos[0]) in str(found[0])
    assert len(found[1]) == 1


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "net.safetensors"
    save_pose_net(build_pose_net(CARD, torch.Generator().manual_seed(0)), path)
    return str(path)


def test_the_command_writes_its_three_outputs(tmp_path, weights, capsys):
    (tmp_path / "in").mkdir()
    folder_of_photos(tmp_path / "in")
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "in"), "--weights", weights, "--out", str(out)]) == 0
    assert "2 people in 2 photos" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["overlays", "predictions.json", "results.json"]
    assert sorted(p.name for p in (out / "overlays").iterdir()) == ["photo0.png.png", "photo1.png.png"]
    assert [entry["image_id"] for entry in json.loads((out / "results.json").read_text())] == [1, 2]


def test_a_folder_with_damaged_and_hidden_photos_is_looked_at_as_far_as_it_can_be(tmp_path, weights, capsys):
    (tmp_path / "in").mkdir()
    photos = folder_of_photos(tmp_path / "in", 3)
    photos[0].write_bytes(b"no picture at all")
    photos[1].write_bytes(photos[1].read_bytes()[:-400])
    (tmp_path / "in" / "._photo0.png").write_bytes(b"what macOS leaves")
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "in"), "--weights", weights, "--out", str(out)]) == 2
    shown, complaint = capsys.readouterr()
    assert "1 people in 1 photos" in shown
    assert "2 of 3 photos could not be read" in complaint
    assert all(str(photo) in complaint for photo in photos[:2])
    assert "._photo0" not in complaint
    assert len(complaint.strip().splitlines()) == 1
    assert [entry["image_id"] for entry in json.loads((out / "results.json").read_text())] == [3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        ([], "no photo given"),
        (["{photo}", "{photo}"], "two photos have this file name"),
        (["{empty}"], "no photo in this folder"),
        (["{photo}", "--boxes", "{truth}"], "no image is named photo0.png"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, weights, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    (photo,) = folder_of_photos(tmp_path, 1)
    truth = tmp_path / "truth.json"
    write_coco(truth, [LabelledImage(1, "another.png", *SIZE)])
    names = {"photo": photo, "empty": tmp_path / "empty", "truth": truth}
    out = tmp_path / "out"
    code = main(["predict", *(a.format(**names) for a in arguments), "--weights", weights, "--out", str(out)])
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not out.exists()


def test_a_photo_of_another_size_than_its_truth_is_refused(tmp_path, weights, capsys):
    (photo,) = folder_of_photos(tmp_path, 1)
    truth = tmp_path / "truth.json"
    write_coco(truth, [LabelledImage(1, "photo0.png", 20, 30)])
    arguments = ["predict", str(photo), "--weights", weights, "--boxes", str(truth), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "photo0.png is 20x30 there, but the photo is 200x160" in capsys.readouterr().err


def test_photos_that_share_a_name_in_the_truth_are_refused(tmp_path):
    photos = folder_of_photos(tmp_path, 1)
    truth = [LabelledImage(1, "a/photo0.png", *SIZE), LabelledImage(2, "b/photo0.png", *SIZE)]
    with pytest.raises(DataError, match=r"2 images are named photo0\.png"):
        plan_photos(photos, truth, tmp_path / "truth.json")


def test_boxes_outside_the_image_are_left_out_and_told(tmp_path):
    photos = folder_of_photos(tmp_path, 1)
    boxes = [(30, 20, 120, 120), (10, 10, 0, 0), (900, 10, 40, 40)]
    people = tuple(Person(np.ones((17, 3)), box=box, score=0.5) for box in boxes)
    with pytest.warns(DataWarning, match=r"truth.json: 2 boxes of photo0.png"):
        (photo,), _ = plan_photos(photos, [LabelledImage(1, "photo0.png", *SIZE, people)], tmp_path / "truth.json")
    assert (photo.boxes, photo.box_scores) == (((30, 20, 120, 120),), (0.5,))


def test_a_device_that_is_not_there_is_refused(tmp_path, weights, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (photo,) = folder_of_photos(tmp_path, 1)
    out = tmp_path / "out"
    assert main(["predict", str(photo), "--weights", weights, "--device", "cuda", "--out", str(out)]) == 2
    assert "the device cuda is not available here" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_in_use_is_not_written_to(tmp_path, weights, capsys):
    (photo,) = folder_of_photos(tmp_path, 1)
    assert main(["predict", str(photo), "--weights", weights, "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
