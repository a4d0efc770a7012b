"""A sheet of random scenes for the README, as ``fidip synth`` draws them; nothing is picked by hand.

::

    python benchmarks/contact_sheet.py --out docs/images/infants.jpg
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from fidip.coco import image_paths
from fidip.files import write_bytes
from fidip.images import encode_image, read_image
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings

COLUMNS, GAP = 6, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/infants.jpg"))
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--side", type=int, default=220, help="pixels of one picture on the sheet")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        settings = Settings("infant-photo", given.count, (2 * given.side, 2 * given.side), given.seed)
        images = generate(out, settings, crew=2)
        pictures = [read_image(path) for path in image_paths(out / "annotations.json", images)]
    step = given.side + GAP
    rows = -(-given.count // COLUMNS)
    sheet = np.full((rows * step - GAP, COLUMNS * step - GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // COLUMNS * step, number % COLUMNS * step
        small = cv2.resize(picture, (given.side, given.side), interpolation=cv2.INTER_AREA)
        sheet[y : y + given.side, x : x + given.side] = small
    write_bytes(given.out, encode_image(sheet, ".jpg", quality=86))
    print(f"{given.out}: {given.count} scenes, seed {given.seed}")


if __name__ == "__main__":
    main()
