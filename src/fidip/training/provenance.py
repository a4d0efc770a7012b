"""By what and on what a network was trained: versions and machine, without anything that names a person or a place."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import torch

PACKAGES = (
    "fidip",
    "torch",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "faster-coco-eval",
    "safetensors",
    "lightning-fabric",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def machine(device: torch.device) -> dict[str, Any]:
    """Processor, system, threads and accelerator."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "system": platform.system(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "accelerator": accelerator,
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
