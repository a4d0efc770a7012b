"""Reading COCO keypoint files: what is right survives a round trip, what is wrong is named with its place."""

import copy
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import image_paths, person_categories, read_coco, read_results, write_coco, write_results
from fidip.errors import DataError, DataWarning
from fidip.skeleton import COCO_17

CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints), "skeleton": [[16, 14]]}


def document() -> dict:
    """Two images and two people in SyRIP's words."""
    keypoints = [v for k in range(17) for v in (10 + k, 20 + k, 2)]
    return {
        "info": {},
        "images": [
            {"id": 4, "file_name": "a.jpg", "width": 64, "height": 48, "is_synthetic": True, "posture": "Prone"},
            {"id": 9, "file_name": "b.jpg", "width": 64, "height": 48, "is_synthetic": False, "image_source": "v3"},
        ],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17,
             "bbox": [8, 18, 30.5, 25], "area": 400.25, "iscrowd": 0, "track_id": 0},
            {"id": 2, "image_id": 9, "category_id": 1, "keypoints": list(keypoints), "num_keypoints": 17,
             "bbox": [8, 18, 30, 25], "area": 400, "iscrowd": 0},
        ],
        "categories": [copy.deepcopy(CATEGORY)],
    }  # fmt: skip


def written(tmp_path, content):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    return path


def same(a: LabelledImage, b: LabelledImage) -> bool:
    fields = ("id", "file_name", "width", "height", "domain", "posture", "source", "subject", "body_seed")
    return (
        all(getattr(a, f) == getattr(b, f) for f in fields)
        and dict(a.extras) == dict(b.extras)
        and len(a.people) == len(b.people)
        and all(
            np.array_equal(p.keypoints, q.keypoints)
            and (p.box, p.area, p.score, p.crowd, p.id, dict(p.extras))
            == (q.box, q.area, q.score, q.crowd, q.id, dict(q.extras))
            for p, q in zip(a.people, b.people, strict=True)
        )
    )


def test_reads_the_fields_and_keeps_the_others(tmp_path):
    first, second = read_coco(written(tmp_path, document()))
    assert (first.id, first.file_name, first.width, first.height) == (4, "a.jpg", 64, 48)
    assert (first.domain, first.posture, second.domain, second.source) == (
        Domain.SYNTHETIC, "Prone", Domain.REAL, "v3",
    )  # fmt: skip
    assert second.origins == {("source", "v3")}
    person = first.people[0]
    assert person.keypoints.shape == (17, 3)
    assert person.keypoints[3].tolist() == [13, 23, 2]
    assert (person.box, person.area, person.id, dict(person.extras)) == ((8, 18, 30.5, 25), 400.25, 1, {"track_id": 0})


coordinate = st.floats(0, 4000, allow_nan=False)
visible_keypoint = st.tuples(coordinate, coordinate, st.sampled_from([1.0, 2.0]))
keypoint = st.one_of(st.just((0.0, 0.0, 0.0)), visible_keypoint)
person = st.builds(
    lambda keypoints, box, area, crowd: Person(np.array(keypoints), box=box, area=area, crowd=crowd),
    st.lists(keypoint, min_size=17, max_size=17),
    st.none() | st.tuples(coordinate, coordinate, coordinate, coordinate),
    st.none() | coordinate,
    st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(people=st.lists(person, max_size=3), domain=st.sampled_from([None, *Domain]), seed=st.none() | st.integers(0, 9))
def test_round_trip(tmp_path_factory, people, domain, seed):
    people = tuple(people)
    image = LabelledImage(
        3, "é b.png", 4000, 4000, people, domain, "Supine", "src", "S1", seed, {"camera": {"focal": 2.5}}
    )
    path = tmp_path_factory.mktemp("round") / "x.json"
    write_coco(path, [image])
    (once,) = read_coco(path)
    write_coco(path.with_name("y.json"), [once])
    (twice,) = read_coco(path.with_name("y.json"))
    assert same(once, twice)
    assert [p.id for p in once.people] == list(range(1, len(people) + 1))
    assert all(np.array_equal(p.keypoints, q.keypoints) for p, q in zip(once.people, people, strict=True))


def test_published_defects_are_read_safely(tmp_path):
    content = document()
    del content["info"]
    content["annotations"][0]["id"] = 0
    content["annotations"][0]["keypoints"][:6] = [-45, -45, 0, -45, -45, 1]
    with pytest.warns(DataWarning) as caught:
        first, _ = read_coco(written(tmp_path, content))
    assert first.people[0].id == 0
    assert first.people[0].keypoints[:2].tolist() == [[0, 0, 0], [0, 0, 0]]
    messages = " ".join(str(w.message) for w in caught)
    assert "num_keypoints is not the number of labelled keypoints, recounted (1 of them)" in messages
    assert "(-45, -45)" in messages


def test_annotations_of_other_categories_are_left_out(tmp_path):
    content = document()
    content["categories"].append({"id": 2, "name": "bicycle"})
    content["annotations"][1]["category_id"] = 2
    first, second = read_coco(written(tmp_path, content))
    assert (len(first.people), len(second.people)) == (1, 0)


def broken(*steps):
    """A change of the document at a path such as ("annotations", 0, "keypoints"); the last step is the new value."""

    def change(content):
        target = content
        for step in steps[:-2]:
            target = target[step]
        if steps[-1] is Ellipsis:
            del target[steps[-2]]
        else:
            target[steps[-2]] = steps[-1]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken("annotations", 1, "keypoints", [1] * 50), "annotations[1].keypoints: expected 51 numbers, found 50"),
        (broken("annotations", 1, "keypoints", ...), "annotations[1].keypoints: expected 51 numbers, found nothing"),
        (broken("annotations", 0, "keypoints", 4, "7"), "annotations[0].keypoints[4]: expected a finite number"),
        (broken("annotations", 0, "keypoints", 5, 3), "annotations[0].keypoints[5]: the visibility of left_eye is 3"),
        (broken("annotations", 0, "keypoints", 4, 10**400), "annotations[0].keypoints[4]: expected a finite number"),
        (broken("annotations", 0, "image_id", 77), "annotations[0].image_id: no image of this file has the id 77"),
        (broken("annotations", 0, "image_id", True), "annotations[0].image_id: expected a whole number, found True"),
        (broken("annotations", 0, "id", 2), "annotations: the id 2 stands in the file more than once"),
        (broken("annotations", 0, "bbox", [1, 2, 3]), "annotations[0].bbox: expected 4 numbers, found 3"),
        (broken("annotations", 0, "bbox", [1, 2, -3, 4]), "annotations[0].bbox: expected x, y, width, height"),
        (broken("annotations", 0, "area", -1), "annotations[0].area: expected an area in pixels squared"),
        (broken("annotations", 0, "iscrowd", 2), "annotations[0].iscrowd: expected true or false, found 2"),
        (broken("annotations", 0, []), "annotations[0]: expected an object, found list"),
        (broken("annotations", {}), "annotations: expected a list, found dict"),
        (broken("annotations", ...), "annotations: missing"),
        (broken("images", 0, "width", 0), "images[0].width: expected a size in pixels, found 0"),
        (broken("images", 0, "file_name", ...), "images[0].file_name: expected text, found nothing"),
        (broken("images", 0, "id", 9), "images: the id 9 stands in the file more than once"),
        (broken("images", 1, "is_synthetic", "no"), "images[1].is_synthetic: expected true or false, found 'no'"),
        (broken("categories", 0, "keypoints", ["neck"]), "categories[0].keypoints: another skeleton"),
        (broken("categories", []), "categories: the file needs a category whose keypoints are the 17 names"),
    ],
)
def test_errors_name_the_place(tmp_path, change, message):
    content = document()
    change(content)
    path = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_coco(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def mutate(value, generator):
    """Change one random place of a JSON value."""
    junk = [None, True, -1, 2**70, 1e308, "", "x" * 50, [], {}, [[]], 0.5, float("1e300")]
    if isinstance(value, dict) and value and generator.random() < 0.85:
        key = generator.choice(sorted(value))
        if generator.random() < 0.15:
            del value[key]
        else:
            value[key] = mutate(value[key], generator)
        return value
    if isinstance(value, list) and value and generator.random() < 0.85:
        i = generator.randrange(len(value))
        if generator.random() < 0.15:
            del value[i]
        else:
            value[i] = mutate(value[i], generator)
        return value
    return generator.choice(junk)


@pytest.mark.filterwarnings("ignore::fidip.errors.DataWarning")
def test_mutated_files_raise_nothing_but_data_errors(tmp_path):
    generator = random.Random(0)
    path = tmp_path / "mutant.json"
    refused = 0
    for _ in range(1500):
        content = copy.deepcopy(document())
        for _ in range(generator.choice([1, 1, 2, 5])):
            content = mutate(content, generator)
        path.write_text(json.dumps(content))
        try:
            read_coco(path)
        except DataError:
            refused += 1
    assert refused > 500


def test_results_round_trip(tmp_path):
    images = read_coco(written(tmp_path, document()))
    people = {9: [Person(np.arange(51, dtype=float).reshape(17, 3) / 7, box=(1, 2, 3, 4.5), score=0.5)]}
    write_results(tmp_path / "results.json", people)
    again = read_results(tmp_path / "results.json", images)
    assert list(again) == [9]
    assert np.array_equal(again[9][0].keypoints, people[9][0].keypoints)
    assert (again[9][0].box, again[9][0].score) == ((1, 2, 3, 4.5), 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 5}, "[1].image_id: 5 is no image of the truth file"),
        ({"score": None}, "[1].score: expected a finite number, found None"),
        ({"category_id": 3}, "[1].category_id: expected 1 (person), found 3"),
        ({"keypoints": [0.5] * 54}, "[1].keypoints: expected 51 numbers, found 54"),
    ],
)
def test_result_errors_name_the_place(tmp_path, change, message):
    images = read_coco(written(tmp_path, document()))
    result = {"image_id": 4, "category_id": 1, "keypoints": [0.5] * 51, "score": 0.9}
    path = tmp_path / "results.json"
    path.write_text(json.dumps([result, {**result, **change}]))
    with pytest.raises(DataError) as caught:
        read_results(path, images)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_results_may_speak_of_people_by_the_truth_files_number(tmp_path):
    content = document()
    content["categories"][0]["id"] = 7
    for annotation in content["annotations"]:
        annotation["category_id"] = 7
    truth, path = written(tmp_path, content), tmp_path / "results.json"
    assert person_categories(truth) == {7}
    images = read_coco(truth)
    assert any(image.people for image in images)
    result = {"image_id": 4, "keypoints": [0.5] * 51, "score": 0.9}
    for category in ({"category_id": 7}, {}):
        path.write_text(json.dumps([{**result, **category}]))
        assert len(read_results(path, images, categories=person_categories(truth))[4]) == 1
    path.write_text(json.dumps([{**result, "category_id": 3}]))
    with pytest.raises(DataError, match=r"category_id: expected 1 or 7 \(person\), found 3"):
        read_results(path, images, categories={1, 7})


def test_repeated_results_are_kept_and_told(tmp_path):
    images = read_coco(written(tmp_path, document()))
    result = {"image_id": 4, "category_id": 1, "keypoints": [0.5] * 51, "score": 0.9}
    path = tmp_path / "results.json"
    path.write_text(json.dumps([result, result]))
    with pytest.warns(DataWarning, match="1 detections stand in the file more than once"):
        assert len(read_results(path, images)[4]) == 2


def test_images_are_found_beside_the_file_or_in_a_named_folder(tmp_path):
    path = written(tmp_path, document())
    images = read_coco(path)
    (tmp_path / "images").mkdir()
    for place in ("images/a.jpg", "b.jpg"):
        (tmp_path / place).touch()
    assert image_paths(path, images) == [tmp_path / "images/a.jpg", tmp_path / "b.jpg"]
    with pytest.raises(DataError, match=r"a.jpg and 1 more not found in .*elsewhere; name the folder with --images"):
        image_paths(path, images, tmp_path / "elsewhere")


def test_a_file_name_cannot_leave_its_folder(tmp_path):
    content = document()
    content["images"][0]["file_name"] = "../secret.jpg"
    path = written(tmp_path, content)
    with pytest.raises(DataError, match="secret"):
        image_paths(path, read_coco(path))
