"""The picture of the README, from a finished demo: truth, the adult network and the adapted one on test images.

::

    python benchmarks/readme_picture.py --demo runs/demo --out docs/images/demo.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fidip.coco import image_paths, read_coco, read_results
from fidip.evaluation.keypoint_errors import keypoint_errors
from fidip.evaluation.plots import plot_pictures
from fidip.files import write_bytes
from fidip.images import read_image
from fidip.studies.demo import AREA
from fidip.studies.pictures import enlarged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/demo.jpg"))
    given = parser.parse_args()
    file = given.demo / "data" / "test" / "annotations.json"
    truth = read_coco(file)
    found = {name: read_results(given.demo / "arms" / name / "results.json", truth) for name in ("source", "fidip")}
    oks = keypoint_errors(truth, found["fidip"], area=AREA).oks
    ranked = sorted(range(len(truth)), key=lambda i: oks[truth[i].id] or 0.0)
    chosen = [
        ranked[int(share * (len(ranked) - 1))] for share in (0.97, 0.85, 0.7, 0.5)
    ]  # good to middling, not the best
    paths = image_paths(file, truth)
    people = [{image.id: image.people for image in truth}, found["source"], found["fidip"]]
    rows = [[enlarged(read_image(paths[i]), group.get(truth[i].id, ())) for i in chosen] for group in people]
    notes = ("truth", "adult network", "adapted by FiDIP")
    columns = [f"OKS {oks[truth[i].id] or np.nan:.2f}" for i in chosen]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(given.out, plot_pictures(rows, columns, notes))


if __name__ == "__main__":
    main()
