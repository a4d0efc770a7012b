"""Rules about the whole repository: sizes, forbidden calls, versions, and documents that keep up with the code."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fidip
from fidip.cli import COMMANDS
from fidip.files import sha256_of

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CODE = sorted(
    file for folder in ("src", "tests", "soak", "compat", "benchmarks") for file in (ROOT / folder).rglob("*.py")
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

FORBIDDEN = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load",
    "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "shutil.unpack_archive",
    "torch.hub.load", "torch.hub.load_state_dict_from_url", "tempfile.mktemp",
}  # fmt: skip
"""Calls that run what a file says, or write where it says."""


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    return next((ast.literal_eval(each.value) for each in call.keywords if each.arg == name), None)


@pytest.mark.parametrize("file", CODE, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_file_is_longer_than_400_lines(file) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_call_runs_what_a_file_says() -> None:
    found = []
    for file in SOURCES:
        for name, call in calls(file):
            bad = (
                name in FORBIDDEN
                or name.endswith((".extractall", ".extract"))
                or (name == "torch.load" and keyword(call, "weights_only") is not True)
                or (name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") is not False)
                or (name.startswith("subprocess.") and keyword(call, "shell"))
            )
            found += [f"{file.relative_to(ROOT)}:{call.lineno}: {name}"] if bad else []
    assert found == []


def test_one_module_alone_reads_pickles() -> None:
    """Others may know the errors that readers of pickles raise, and nothing else of the module."""
    users = {}
    for file in SOURCES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "pickle"}
        imported = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module in ("pickle", "_pickle")]
        if imported or names - {"UnpicklingError", "PicklingError", "PickleError"}:
            users[file.relative_to(ROOT / "src" / "fidip").as_posix()] = names
    assert users == {"pickles.py": {"_Unpickler"}}


def test_one_module_alone_opens_connections_to_servers() -> None:
    """Only ``fidip weights fetch`` leads there; the addresses it knows are encrypted."""
    clients = ("urllib.request", "urllib.error", "http.client", "ftplib", "smtplib", "requests", "httpx", "aiohttp")
    users = {}
    for file in SOURCES:
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        if found := {name for name in names if name.startswith(clients)}:
            users[file.relative_to(ROOT / "src" / "fidip").as_posix()] = found
    assert users.keys() == {"connections.py", "downloads.py"}
    assert users["downloads.py"] == {"http.client", "urllib.request"}  # the types of a question and an answer
    assert not re.search(r"http://", text_of("src/fidip/networks/registry.toml"))


def test_the_version_is_one() -> None:
    newest = re.search(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert fidip.__version__ == PROJECT["version"] == newest[1]
    assert f"version: {fidip.__version__}\n" in text_of("CITATION.cff")


def test_public_names_are_where_the_package_says() -> None:
    assert sorted(fidip.__all__) == sorted(fidip._HOMES)
    for name in fidip.__all__:
        assert getattr(fidip, name) is getattr(import_module(fidip._HOMES[name]), name)
        assert name in dir(fidip)
    with pytest.raises(AttributeError, match="no attribute 'predictor'"):
        _ = fidip.predictor


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import fidip, sys; print(fidip.__version__, sorted({'torch', 'numpy', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{fidip.__version__} []\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name) -> None:
    section = re.search(rf"^## fidip {name}\n(.*?)(?=^## |\Z)", text_of("docs/commands.md"), re.MULTILINE | re.DOTALL)
    assert section, f"docs/commands.md has no section 'fidip {name}'"
    module, function = COMMANDS[name].target.split(":")
    for parameter in inspect.signature(getattr(import_module(module), function)).parameters.values():
        option = parameter.name.replace("_", "-")
        shown = f"--{option}" if parameter.kind is parameter.KEYWORD_ONLY else option.upper().removesuffix("S")
        assert shown in section[1], f"{shown} of fidip {name} is not in docs/commands.md"


def test_every_dependency_is_pinned_and_has_its_reason() -> None:
    pins = {Requirement(line).name for line in text_of("constraints.txt").splitlines() if line and line[0] != "#"}
    optional = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    reasons = text_of("docs/dependencies.md")
    for line in [*PROJECT["dependencies"], *optional]:
        name = Requirement(line).name
        assert name == "fidip" or name in pins, f"{name} is not in constraints.txt"
        assert name == "fidip" or f"| {name} |" in reasons, f"{name} has no line in docs/dependencies.md"


def test_whatever_an_installation_brings_is_pinned() -> None:
    """All that is needed by what the product needs, as the installed packages themselves say."""
    lines = [line for line in text_of("constraints.txt").splitlines() if line and line[0] != "#"]
    pins = {canonicalize_name(Requirement(line).name) for line in lines}
    optional = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    waiting = [Requirement(line) for line in (*PROJECT["dependencies"], *optional)]
    seen, unpinned = set(), {}
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        if (name, *sorted(need.extras)) in seen or name == "fidip":
            continue
        seen.add((name, *sorted(need.extras)))
        try:
            needs = [Requirement(line) for line in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        if name not in pins:
            unpinned[name] = metadata.version(name)
        extras = ("", *need.extras)
        waiting += [n for n in needs if n.marker is None or any(n.marker.evaluate({"extra": e}) for e in extras)]
    gpu = {name for name in unpinned if name.startswith(("nvidia-", "cuda-", "triton"))}  # torch pins these itself
    assert {name: version for name, version in unpinned.items() if name not in gpu} == {}
    assert len(seen) > 40


def test_pins_name_versions_and_nothing_of_one_machine() -> None:
    for line in text_of("constraints.txt").splitlines():
        assert not line or line[0] == "#" or re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
        assert "://" in target or (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_document_is_in_the_index() -> None:
    index = text_of("docs/index.md")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


def test_every_listed_asset_has_its_hash() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", text_of("docs/assets.md"), re.MULTILINE)
    assets = {file.name: file for pattern in ("*.npz", "*.safetensors") for file in (ROOT / "src").rglob(pattern)}
    assert {name for name, _ in rows} == set(assets)
    for name, digest in rows:
        assert sha256_of(assets[name]) == digest, name


def test_the_licence_is_the_apache_licence_and_travels_with_the_notice() -> None:
    licence = text_of("LICENSE")
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert PROJECT["license"] == "Apache-2.0"
    assert {"LICENSE", "NOTICE"} <= set(PROJECT["license-files"])
    assert "12,567,173" in text_of("NOTICE")
    assert "12,567,173" in text_of("README.md")
