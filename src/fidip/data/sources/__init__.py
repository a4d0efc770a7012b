"""Published data sets in their original folders, turned into COCO keypoint folders; one file a data set."""

from __future__ import annotations

from fidip.data.sources.coco import Coco
from fidip.data.sources.conversion import Source
from fidip.data.sources.mini_rgbd import MiniRgbd
from fidip.data.sources.prestage import Prestage
from fidip.data.sources.surreal import Surreal
from fidip.data.sources.syrip import Syrip

SOURCES: dict[str, type[Source]] = {
    "coco": Coco,
    "mini-rgbd": MiniRgbd,
    "prestage": Prestage,
    "surreal": Surreal,
    "syrip": Syrip,
}
"""What ``fidip convert`` knows, by name."""
