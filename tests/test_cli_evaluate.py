"""The command on files: its table, its JSON, and the id that pycocotools loses."""

import contextlib
import io
import json
from dataclasses import asdict

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fidip.cli import main
from fidip.coco import read_coco, read_results
from fidip.evaluation.average_precision import evaluate
from fidip.evaluation.statistics import paired_difference
from fidip.skeleton import COCO_17


@pytest.fixture
def files(tmp_path):
    """Ten infants with annotation ids from 0, as published infant files have them; every second pose is far off."""
    images, annotations, results = [], [], []
    for i in range(10):
        keypoints = [v for k in range(17) for v in (10 + 5 * k + i, 20 + 3 * k, 2)]
        images.append({"id": 100 + i, "file_name": f"{i}.jpg", "width": 200, "height": 200})
        annotations.append(
            {"id": i, "image_id": 100 + i, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17,
             "bbox": [10 + i, 20, 80 + i, 48], "area": 2000 + i, "iscrowd": 0}
        )  # fmt: skip
        shifted = [v + (60 if n % 3 == 0 and i % 2 else 0) for n, v in enumerate(keypoints)]
        results.append({"image_id": 100 + i, "category_id": 1, "keypoints": shifted, "score": 0.9 - 0.05 * i})
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints), "skeleton": []}]
    truth, found = tmp_path / "truth.json", tmp_path / "results.json"
    document = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    truth.write_text(json.dumps(document))
    found.write_text(json.dumps(results))
    return truth, found


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def number(path, first):
    def renumber(content):
        for i, annotation in enumerate(content["annotations"], start=first):
            annotation["id"] = i

    rewrite(path, renumber)


def judged(truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(str(results)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def report_of(truth, results, *options):
    out = truth.with_name("report.json")
    assert main(["evaluate", str(truth), str(results), "--json", str(out), *options]) == 0
    return json.loads(out.read_text())


def test_ids_from_zero_give_what_ids_from_one_give(files):
    truth, results = files
    ours, theirs = report_of(truth, results), judged(truth, results)
    number(truth, first=1)
    assert report_of(truth, results) == ours
    assert ours["AP"] == pytest.approx(judged(truth, results), abs=1e-6)
    assert theirs < ours["AP"] - 0.05


def test_people_may_have_another_number_in_the_truth(files):
    truth, results = files
    before = report_of(truth, results)

    def renumber(content):
        for entry in content["annotations"] if isinstance(content, dict) else content:
            entry["category_id"] = 7
        if isinstance(content, dict):
            content["categories"][0]["id"] = 7

    rewrite(truth, renumber)
    assert report_of(truth, results) == before  # results as fidip predict writes them
    rewrite(results, renumber)
    assert report_of(truth, results) == before


def test_the_table_names_the_area_policy_and_the_interval(files, capsys):
    report = report_of(*files, "--area", "0.53bbox")
    shown = " ".join(capsys.readouterr().out.split())
    low, high = (f"{100 * x:.1f}" for x in report["ci95"])
    assert "area policy 0.53bbox" in shown
    assert f"AP {100 * report['AP']:.1f}, 95 % interval {low} to {high}; images 10, people 10" in shown
    assert f"{100 * report['AR75']:.1f}" in shown


def test_the_report_has_the_promised_keys_as_fractions_of_one(files):
    report = report_of(*files)
    assert {"AP", "AP50", "AP75", "AR", "AR50", "AR75", "area", "ci95", "images", "people"} <= report.keys()
    assert (report["area"], report["images"], report["people"]) == ("file", 10, 10)
    assert 0 < report["ci95"][0] <= report["AP"] <= report["ci95"][1] <= 1
    assert report["AP_large"] is None
    assert report["AR50"] == 0.5


def test_empty_results_give_zero(files):
    truth, results = files
    results.write_text("[]")
    report = report_of(truth, results)
    assert (report["AP"], report["AR"], report["ci95"]) == (0, 0, [0, 0])


def test_impossible_areas_are_warned_of(files, capsys):
    truth, results = files
    rewrite(truth, lambda content: [a.update(area=2443298.476) for a in content["annotations"]])
    assert report_of(truth, results)["area"] == "bbox"
    assert "fidip: warning: 10 of 10 people have an area that is the same" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda c: c.update(annotations=[]), [], "truth.json: annotations: none of the 10 images holds a person"),
        (lambda c: [a.update(keypoints=[0] * 51) for a in c["annotations"]], [], "none of the 10 images holds"),
        (lambda c: c["annotations"][4].pop("area"), ["--area", "file"], "truth.json: image 104: person 1 of 1"),
        (lambda c: c["annotations"][4].pop("bbox"), ["--area", "bbox"], "image 104: person 1 of 1 has no box"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::fidip.errors.DataWarning")
def test_a_truth_that_cannot_be_used_is_one_line_and_exit_code_2(files, capsys, change, options, message):
    truth, results = files
    rewrite(truth, change)
    out = truth.with_name("report.json")
    assert main(["evaluate", str(truth), str(results), "--json", str(out), *options]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert not out.exists()


def test_a_result_of_another_image_names_the_results_file(files, capsys):
    truth, results = files
    rewrite(results, lambda content: content[2].update(image_id=7))
    assert main(["evaluate", str(truth), str(results)]) == 2
    assert "results.json: [2].image_id: 7 is no image of the truth file" in capsys.readouterr().err


def test_an_unknown_policy_is_refused(files, capsys):
    assert main(["evaluate", *map(str, files), "--area", "segment"]) == 2
    assert "0.53bbox" in capsys.readouterr().err


def test_another_result_is_compared_on_the_same_resamples(files, tmp_path, capsys):
    truth, results = files
    others = tmp_path / "others.json"
    content = json.loads(results.read_text())
    for entry in content[:6]:
        entry["keypoints"][::3] = [x + 45 for x in entry["keypoints"][::3]]
    others.write_text(json.dumps(content))
    report = report_of(truth, results, "--against", str(others), "--area", "bbox")
    printed = capsys.readouterr().out
    images = read_coco(truth)
    first, second = (evaluate(images, read_results(file, images), area="bbox") for file in (results, others))
    expected = paired_difference(first, second, np.random.default_rng(0))
    assert report["AP"] == first.AP
    assert report["against"]["AP"] == second.AP
    assert report["against"]["difference"] == asdict(expected)
    assert expected.observed > 0
    low, high = 100 * expected.low, 100 * expected.high
    assert f"against {others}: AP {100 * second.AP:.1f}, difference {100 * expected.observed:+.1f}, 95 % int" in printed
    assert f"interval {low:+.1f} to {high:+.1f}, p " in printed
    same = report_of(truth, results, "--against", str(results))["against"]["difference"]
    assert (same["observed"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps([content[0] | {"image_id": 7}]))
    assert main(["evaluate", str(truth), str(results), "--against", str(broken)]) == 2
    assert "broken.json: [0].image_id: 7 is no image" in capsys.readouterr().err
