"""The picture of the gallery in the documents: a headless Chromium's view of 36 rendered infants, one rejected.

::

    python benchmarks/gallery_picture.py --out docs/images/gallery.jpg

Chromium is named by ``FIDIP_CHROMIUM`` or found on the PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fidip.files import write_bytes
from fidip.images import encode_image, read_image
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings

WINDOW = (1280, 757)
REJECTED = 7
"""The id of one whose pose somebody might not like."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/gallery.jpg"))
    given = parser.parse_args()
    chromium = os.environ.get("FIDIP_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        raise SystemExit("no Chromium: install one, or name it by FIDIP_CHROMIUM")
    with tempfile.TemporaryDirectory() as folder:
        made, shot = Path(folder) / "set", Path(folder) / "shot.png"
        generate(made, Settings("infant-photo", 36, (256, 256), seed=3), crew=2)
        fidip = Path(sys.executable).with_name("fidip")
        for extra in (["--reject", str(REJECTED)], []):
            subprocess.run([fidip, "gallery", made, *extra], check=True, capture_output=True)
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=8000"]
        size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
        page = (made / "gallery.html").resolve().as_uri()
        subprocess.run([chromium, *options, size, f"--screenshot={shot}", page], check=True, capture_output=True)
        write_bytes(given.out, encode_image(read_image(shot), ".jpg", quality=85))
    print(given.out)


if __name__ == "__main__":
    main()
