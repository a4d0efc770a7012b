"""``python -m fidip``, and ``torchrun … -m fidip``: the command line."""

from __future__ import annotations

import sys

from fidip.cli import main

if __name__ == "__main__":
    sys.exit(main())
