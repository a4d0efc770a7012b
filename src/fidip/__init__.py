"""Infant pose estimation from small data: synthesise, adapt, evaluate, predict.

The names below are loaded when first used, so that ``import fidip`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fidip.annotations import Domain, LabelledImage, Person
    from fidip.coco import read_coco, read_results, write_coco, write_results
    from fidip.errors import FidipError
    from fidip.evaluation.average_precision import evaluate
    from fidip.images import read_image, write_image
    from fidip.inference.predictor import Predictor
    from fidip.networks.weights import load_pose_net

__version__ = "0.1.0"

__all__ = [
    "Domain",
    "FidipError",
    "LabelledImage",
    "Person",
    "Predictor",
    "evaluate",
    "load_pose_net",
    "read_coco",
    "read_image",
    "read_results",
    "write_coco",
    "write_image",
    "write_results",
]

_HOMES = {
    "Domain": "fidip.annotations",
    "FidipError": "fidip.errors",
    "LabelledImage": "fidip.annotations",
    "Person": "fidip.annotations",
    "Predictor": "fidip.inference.predictor",
    "evaluate": "fidip.evaluation.average_precision",
    "load_pose_net": "fidip.networks.weights",
    "read_coco": "fidip.coco",
    "read_image": "fidip.images",
    "read_results": "fidip.coco",
    "write_coco": "fidip.coco",
    "write_image": "fidip.images",
    "write_results": "fidip.coco",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fidip' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
