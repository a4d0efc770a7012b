from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

import fidip.downloads
import fidip.files
import fidip.networks.registry as registry
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.networks.importing import export_weights, write_state
from fidip.networks.weights import load_pose_net
from file_server import FileServer, serving
from published_files import pose_mobilenet, random_state, torchvision_resnet
from test_networks_foreign import evil

NAME = "fidip-mobilenet-v2-224x224"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state(pose_mobilenet())


@pytest.fixture(scope="module")
def data(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("published") / "mobile_fidip.pth"
    torch.save(OrderedDict((f"module.{name}", tensor) for name, tensor in state.items()), path)
    return path.read_bytes()


@pytest.fixture
def server(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server with the file, and a registry that knows it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    known = replace(registry.registry()[NAME], sha256=hashlib.sha256(data).hexdigest(), size=len(data), megabytes=None)
    monkeypatch.setattr(registry, "registry", lambda: MappingProxyType({NAME: known}))
    monkeypatch.setattr(registry.fetch, "__defaults__", (None, registry.Patience(20, 2, 0.001), None, ""))
    with serving(FileServer(data)) as served:
        yield served


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["weights", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_from_a_server_to_a_network_and_back(
    server: FileServer, state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, ours, theirs = tmp_path / "cache", tmp_path / "ours.safetensors", tmp_path / "theirs.pth"
    server.break_after = [1000]
    code, out, err = run(capsys, "fetch", NAME, "--address", server.address, "--cache", cache, "--json", cache / "r")
    assert (code, err) == (SUCCESS, "")
    fetched, digest = cache / NAME / "mobile_fidip.pth", hashlib.sha256(server.data).hexdigest()
    assert "licence non-commercial, by the authors' README" in out
    assert f"sha256 {digest}: as it should be" in out
    assert f"next: fidip weights import {fetched} --layout fidip-mobilenet --out {NAME}.safetensors" in out
    assert json.loads((cache / "r").read_text())["sha256"] == digest
    assert server.asked_ranges() == [None, "bytes=1000-"]

    assert "in the cache" in run(capsys, "list", "--cache", cache)[1]
    code, out, _ = run(capsys, "import", fetched, "--layout", "fidip-mobilenet", "--out", ours)
    assert code == SUCCESS
    assert f"{fetched}: sha256 {digest}" in out
    assert "input 224x224 (W x H), RGB" in out
    net = load_pose_net(ours)
    origin = net.card.training["origin"]
    assert (origin["sha256"], origin["published_as"]) == (digest, NAME)
    exported = export_weights(net, "fidip-mobilenet")
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in state.items())

    code, out, _ = run(capsys, "inspect", ours, "--json", tmp_path / "inspect.json")
    assert code == SUCCESS
    assert "mobilenet-v2, width 1, head pixel-shuffle, 4,102,176 parameters" in out
    assert "G multiply-adds an image" in out
    assert json.loads((tmp_path / "inspect.json").read_text())["card"]["training"]["origin"] == origin
    code, out, _ = run(capsys, "export", ours, "--layout", "fidip-mobilenet", "--out", theirs)
    assert code == SUCCESS
    written = torch.load(theirs, weights_only=True)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in state.items())
    _, out, _ = run(capsys, "inspect", theirs)
    assert "of somebody else's, layout: fidip-mobilenet" in out

    fetched.write_bytes(server.data[:-1] + bytes([server.data[-1] ^ 1]))
    code, _, err = run(capsys, "import", fetched, "--layout", "fidip-mobilenet", "--out", ours)
    assert code == MISTAKE
    assert "SHA-256" in err
    assert f"remove it and fetch {NAME} again" in err


def test_one_wrong_byte_is_a_mistake_of_one_line_and_leaves_nothing(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.data = server.data[:5000] + bytes([server.data[5000] ^ 1]) + server.data[5001:]
    code, _, err = run(capsys, "fetch", NAME, "--address", server.address, "--cache", tmp_path)
    assert code == MISTAKE
    assert err.startswith(f"fidip: {server.address}: its SHA-256 is ")
    assert err.count("\n") == 1
    assert [entry.name for entry in (tmp_path / NAME).iterdir()] == [".lock"]


@pytest.mark.parametrize("call", ["_write", "_replace"])
def test_no_space_left_is_one_line_and_leaves_nothing(
    call: str, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever call the disk is full, ``import`` leaves no file; ``fetch`` keeps what came and goes on."""
    cache, out = tmp_path / "cache", tmp_path / "out"
    out.mkdir()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(fidip.files, call, full)
        patch.setattr(fidip.downloads, "_write", full)
        code, _, err = run(capsys, "fetch", NAME, "--address", server.address, "--cache", cache)
    assert code == MISTAKE
    assert "cannot be written: the disk is full; free some space" in err
    assert err.count("\n") == 1
    assert run(capsys, "fetch", NAME, "--address", server.address, "--cache", cache)[0] == SUCCESS
    arguments = (
        "import", cache / NAME / "mobile_fidip.pth", "--layout", "fidip-mobilenet", "--out", out / "ours.safetensors"
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(fidip.files, call, full)
        code, _, err = run(capsys, *arguments)
    assert code == MISTAKE
    assert f"{out / 'ours.safetensors'}: cannot be written: the disk is full; free some space" in err
    assert err.count("\n") == 1
    assert list(out.iterdir()) == []
    if call == "_replace":
        assert run(capsys, *arguments)[0] == SUCCESS


def test_what_a_person_must_fetch_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "fetch", "pose-resnet-50-384x288")
    assert code == MISTAKE
    assert err.startswith("fidip: pose-resnet-50-384x288: no program may fetch it: open https://drive.google.com/")
    assert "save pose_resnet_50_384x288.pth.tar, then: fidip weights import" in err
    code, _, err = run(capsys, "fetch", "infant-small")
    assert code == MISTAKE
    assert "comes with this package" in err


def test_the_list_names_embedded_and_published_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--cache", tmp_path, "--json", tmp_path / "list.json")
    assert code == SUCCESS
    report = json.loads((tmp_path / "list.json").read_text())
    assert report["embedded"] == ["adult-small", "infant-small"]
    assert report["published"].keys() == registry.registry().keys()
    for name in (*report["embedded"], *report["published"]):
        assert f"  {name} " in out
    assert {entry["cached"] for entry in report["published"].values()} == {None}


def test_a_new_head_and_what_was_left_out_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out_file = tmp_path / "resnet18.safetensors", tmp_path / "ours.safetensors"
    write_state(random_state(torchvision_resnet(18, 8)), file)
    arguments = ("import", file, "--layout", "torchvision-resnet", "--out", out_file, "--seed", 3)
    code, out, _ = run(capsys, *arguments)
    assert code == SUCCESS
    assert "left out, since no pose network needs it: fc" in out
    assert "head: newly drawn with seed 3, not trained" in out
    first = out_file.read_bytes()
    run(capsys, *arguments)
    assert out_file.read_bytes() == first


def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out, canary = tmp_path / "file.pth", tmp_path / "ours.safetensors", tmp_path / "canary"
    file.write_bytes(evil("checkpoint", canary))
    resnet, cut = tmp_path / "resnet18.safetensors", tmp_path / "cut.safetensors"
    write_state(random_state(torchvision_resnet(18, 8)), resnet)
    before = resnet.read_bytes()
    cut.write_bytes(before[:90_000])
    cases = [
        (("import", file, "--layout", "fidip", "--out", out), "refused, nothing in it was run"),
        (("import", cut, "--layout", "fidip", "--out", out), "cut.safetensors: damaged"),
        (("import", resnet, "--layout", "fidip", "--out", out), "layout torchvision-resnet"),
        (("import", resnet, "--layout", "caffe", "--out", out), "no layout 'caffe'"),
        (("import", file, "--layout", "fidip", "--out", out, "--seed", "-1"), "a seed is 0 or more"),
        (("import", file, "--layout", "fidip", "--out", "net.pth"), "let the name end in .safetensors"),
        (("import", resnet, "--layout", "torchvision-resnet", "--out", resnet), "would replace the file that is read"),
        (("export", resnet, "--layout", "fidip", "--out", resnet), "would replace the file that is read"),
        (("export", "infant-small", "--layout", "vitpose", "--out", out), "has no such networks"),
        (("fetch", "resnet-51"), "not in the registry"),
        (("inspect", "resnet-51"), "no such weights"),
    ]
    for arguments, words in cases:
        code, _, err = run(capsys, *arguments)
        assert code == MISTAKE
        assert words in err
        assert err.count("\n") == 1
    assert not out.exists()
    assert not canary.exists()
    assert resnet.read_bytes() == before
