"""``fidip doctor``: what is installed, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro
from packaging.requirements import Requirement

import fidip
from fidip.cli.output import write_report
from fidip.errors import FidipError
from fidip.platform import cache_dir, memory_bytes

MODULES = {
    "faster-coco-eval": "faster_coco_eval",
    "lightning-fabric": "lightning_fabric",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
}
"""Packages whose module has another name."""

BUNDLED = ("*.safetensors", "*.npz")
"""What the package carries besides code: weights and bodies."""


class Package(NamedTuple):
    """One package that fidip asks for; ``extra`` is empty for the core."""

    name: str
    wanted: str
    extra: str
    installed: str | None
    problem: str


def doctor(*, json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None) -> None:
    """Say what is installed, what is missing and how to get it.

    The exit code is 0 if the core works: prediction, training and evaluation. Missing extras are named with the line
    that installs them and change nothing.

    Args:
        json: Also write the findings to this file.
    """
    packages = _packages()
    problems = [package.problem for package in packages if package.problem and not package.extra]
    report: dict[str, Any] = {
        "fidip": fidip.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "packages": [package._asdict() for package in packages],
        "devices": _devices(),
        "cache": _cache(),
        "bundled": _bundled(),
        "problems": problems,
    }
    print("\n".join(_lines(report)))
    write_report(json, report)
    if problems:
        raise FidipError(f"the core does not work: {'; '.join(problems)}")


def _packages() -> list[Package]:
    try:
        described = metadata.metadata("fidip")
    except metadata.PackageNotFoundError as error:
        raise FidipError("fidip runs from its sources without being installed: pip install -e .") from error
    extras = ["", *sorted(described.get_all("Provides-Extra") or [], key="all".__eq__)]  # "all" repeats the others
    requirements = [Requirement(line) for line in metadata.requires("fidip") or []]
    packages: dict[str, Package] = {}
    for extra in extras:
        for wanted in requirements:
            applies = not wanted.marker or wanted.marker.evaluate({"extra": extra})
            if applies and wanted.name not in {"fidip", *packages}:
                packages[wanted.name] = _package(wanted, extra)
    return list(packages.values())


def _package(requirement: Requirement, extra: str) -> Package:
    remedy = f"pip install 'fidip[{extra}]'" if extra else f"pip install '{requirement.name}{requirement.specifier}'"
    wanted = str(requirement.specifier)
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Package(requirement.name, wanted, extra, None, f"{requirement.name} is missing: {remedy}")
    if not requirement.specifier.contains(installed, prereleases=True):
        problem = f"{requirement.name} {installed} does not fit {wanted}: {remedy}"
    else:
        problem = "" if extra else _problem_of_import(requirement.name)
    return Package(requirement.name, wanted, extra, installed, problem)


def _problem_of_import(name: str) -> str:
    try:
        import_module(MODULES.get(name, name))
    except Exception as error:  # a broken library may raise anything
        return f"{name} cannot be loaded ({' '.join(str(error).split())}): pip install --force-reinstall {name}"
    return ""


def _devices() -> list[str]:
    try:
        import torch
    except Exception:  # reported with the packages
        return []
    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(f"cuda:{index} ({properties.name}, {_size(properties.total_memory)})")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def _cache() -> dict[str, Any]:
    """The cache's folder, whether it can be written to, and the size of each thing in it."""
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            problem = ""
        sizes = {entry.name: _bytes_in(entry) for entry in sorted(folder.iterdir())}
    except OSError as error:
        return {
            "folder": folder,
            "problem": f"{error.strerror}; set FIDIP_CACHE to a folder you can write to",
            "bytes": {},
        }
    return {"folder": folder, "problem": problem, "bytes": sizes}


def _bytes_in(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())


def _bundled() -> dict[str, int]:
    root = Path(fidip.__file__).parent
    files = sorted(file for pattern in BUNDLED for file in root.rglob(pattern))
    return {file.relative_to(root).as_posix(): file.stat().st_size for file in files}


def _lines(report: dict[str, Any]) -> list[str]:
    memory = report["memory_bytes"]
    cache = report["cache"]
    lines = [
        f"fidip {report['fidip']}, Python {report['python']}, {report['system']}",
        f"{report['cpus']} CPUs" + (f", {_size(memory)} of memory" if memory else ""),
        "devices: " + (", ".join(report["devices"]) or "none, torch does not load"),
        "",
    ]
    for package in report["packages"]:
        extra = f" [{package['extra']}]" if package["extra"] else ""
        state = package["problem"] or "ok"
        lines.append(f"{package['name'] + extra:<32}{package['installed'] or '-':<16}{package['wanted']:<10}{state}")
    lines += ["", f"cache {cache['folder']}: {cache['problem'] or 'can be written to'}"]
    lines += [f"  {name:<30}{_size(size)}" for name, size in cache["bytes"].items()]
    lines += ["bundled with this installation:" + ("" if report["bundled"] else " no weights, no bodies")]
    lines += [f"  {name:<50}{_size(size)}" for name, size in report["bundled"].items()]
    return lines


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
