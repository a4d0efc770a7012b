"""Area policies: what they divide by, and what is found out about a file's own areas."""

import numpy as np
import pytest

from fidip.annotations import LabelledImage, Person
from fidip.errors import DataError, DataWarning
from fidip.evaluation.area import areas_of, check_areas, choose_area

RNG = np.random.default_rng(0)


def image_of(*areas, sizes=None, **fields):
    """One image; people whose boxes all differ (100 × 80, 110 × 88, …) unless their sizes are given."""
    sizes = sizes or [(100.0 + 10 * i, 80.0 + 8 * i) for i in range(len(areas))]
    keypoints = np.full((17, 3), 2.0)
    people = [Person(keypoints, box=(0.0, 0.0, *size), area=a, **fields) for a, size in zip(areas, sizes, strict=True)]
    return LabelledImage(7, "a.jpg", 640, 480, tuple(people))


def honest(count):
    """People whose silhouettes fill between 30 and 70 % of their boxes, in whole pixels."""
    shares = RNG.uniform(0.3, 0.7, count)
    return [round((100 + 10 * i) * (80 + 8 * i) * share) for i, share in enumerate(shares)]


@pytest.mark.parametrize(("policy", "expected"), [("file", 5000.0), ("bbox", 8000.0), ("0.53bbox", 4240.0)])
def test_each_policy_takes_its_area(policy, expected):
    assert areas_of(image_of(5000.0), policy) == pytest.approx([expected])


def test_a_missing_area_names_the_policy_to_use():
    with pytest.raises(DataError, match=r"image 7: person 2 of 2 has no area: evaluate with the area policy bbox or"):
        areas_of(image_of(5000.0, None), "file")
    assert areas_of(image_of(5000.0, None), "bbox") == pytest.approx([8000, 9680])


@pytest.mark.parametrize("policy", ["file", "bbox"])
def test_who_has_neither_area_nor_box_is_not_sent_to_another_policy(policy):
    image = LabelledImage(7, "a.jpg", 640, 480, (Person(np.full((17, 3), 2.0)),))
    with pytest.raises(DataError, match=r"person 1 of 1 has no .*: add its area or its box"):
        areas_of(image, policy)


@pytest.mark.parametrize("box", [None, (3.0, 4.0, 0.0, 50.0)])
def test_a_missing_or_empty_box_names_the_policy_to_use(box):
    image = LabelledImage(7, "a.jpg", 640, 480, (Person(np.full((17, 3), 2.0), box=box, area=50.0),))
    with pytest.raises(DataError, match=r"person 1 of 1 has no box, or one of no size, .* policy file, or add its box"):
        areas_of(image, "0.53bbox")
    assert areas_of(image, "file") == pytest.approx([50])


def test_honest_areas_are_believed_in_silence():
    images = [image_of(*honest(40))]
    assert check_areas(images) == []
    assert choose_area(images) == "file"


@pytest.mark.parametrize(
    ("areas", "problem"),
    [
        ([14232.769] * 30, "30 of 30 people have an area that is the same although their boxes differ"),
        ([3000.0, 3000.0], "2 of 2 people have an area that is the same although"),
        ([8500.0, 11000.0, 6000.0], "2 of 3 people have an area that is larger than their box"),
        ([500.0, 600.0, 6000.0], "2 of 3 people have an area that is less than 10% of their box"),
        ([None, 5000.0, 6000.0], "1 of 3 people have no area"),
    ],
)
def test_impossible_areas_are_named_and_replaced_by_the_box(areas, problem):
    images = [image_of(*areas)]
    assert any(found.startswith(problem) for found in check_areas(images))
    with pytest.warns(DataWarning, match=problem):
        assert choose_area(images) == "bbox"


def test_constants_are_found_in_a_file_merged_of_two():
    areas = [14232.769] * 20 + [24432.98] * 50
    images = [image_of(*areas, sizes=[(200.0 + i, 210.0) for i in range(70)])]
    assert check_areas(images) == ["70 of 70 people have an area that is the same although their boxes differ"]


def test_equal_areas_of_equal_boxes_are_no_defect():
    assert check_areas([image_of(4000.0, 4000.0, 4000.0, sizes=[(100.0, 80.0)] * 3)]) == []


def test_two_silhouettes_of_one_size_are_no_defect_among_many():
    areas = honest(40)
    areas[1] = areas[0]
    assert check_areas([image_of(*areas)]) == []


def test_one_impossible_area_among_many_warns_and_changes_nothing():
    areas = honest(40)
    areas[3] = 10**6
    with pytest.warns(DataWarning, match=r"1 of 40 .* larger than their box: OKS uses the area policy file"):
        assert choose_area([image_of(*areas)]) == "file"


def test_one_missing_area_rules_the_file_out():
    with pytest.warns(DataWarning, match="1 of 41 people have no area"):
        assert choose_area([image_of(*honest(40), None)]) == "bbox"


def test_a_missing_area_of_a_crowd_counts_too():
    images = [image_of(*honest(3)), image_of(None, crowd=True)]
    with pytest.warns(DataWarning, match="1 of 4 people have no area: OKS uses the area policy bbox"):
        assert choose_area(images) == "bbox"


def test_crowds_and_unlabelled_people_are_not_judged():
    bare = Person(np.zeros((17, 3)), box=(0.0, 0.0, 10.0, 10.0), area=900.0)
    images = [image_of(10**6, crowd=True), LabelledImage(8, "b.jpg", 640, 480, (bare,)), image_of(*honest(3))]
    assert check_areas(images) == []
    assert choose_area(images) == "file"


def test_an_empty_file_has_no_defect():
    assert check_areas([]) == []
    assert choose_area([]) == "file"
