from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import fidip.networks.foreign as foreign
from fidip.errors import WeightsError
from fidip.networks.foreign import read_foreign, state_in, without_prefix

STATE = OrderedDict(
    (
        ("conv1.weight", torch.arange(24.0).reshape(2, 3, 2, 2)),
        ("bn1.running_mean", torch.tensor([1.0, -2.0])),
        ("bn1.num_batches_tracked", torch.tensor(3)),
        ("half", torch.tensor([1.5], dtype=torch.float16)),
    )
)


def saved(content: Any, old_format: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not old_format)
    return stream.getvalue()


def checkpoint(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]).state_dict()
    return {"epoch": 3, "model": "pose_resnet", "perf": np.float64(0.7), "optimizer": optimizer, "state_dict": state}


PREFIXED = OrderedDict(("module." + name, tensor) for name, tensor in STATE.items())
CONTENTS = {
    "bare": STATE,
    "prefixed": PREFIXED,
    "checkpoint": checkpoint(PREFIXED),
    "checkpoint with best": checkpoint(OrderedDict()) | {"best_state_dict": STATE},
    "parameters": OrderedDict((n, torch.nn.Parameter(t) if t.is_floating_point() else t) for n, t in STATE.items()),
}


def assert_is_the_state(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == STATE.keys()
    for name, tensor in STATE.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
        assert not found[name].requires_grad


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("kind", CONTENTS)
def test_every_published_way_to_save_is_read(kind: str, old_format: bool) -> None:
    assert_is_the_state(without_prefix(state_in(io.BytesIO(saved(CONTENTS[kind], old_format)))))


@pytest.mark.parametrize("old_format", [False, True])
def test_a_process_of_its_own_reads_the_same(tmp_path: Path, old_format: bool) -> None:
    file = tmp_path / "pose_resnet.pth.tar"
    shared = torch.zeros(4)
    file.write_bytes(saved(checkpoint(PREFIXED | {"module.a": shared, "module.b": shared[:2]}), old_format))
    found = read_foreign(file)
    assert torch.equal(found.pop("a"), torch.zeros(4))
    assert torch.equal(found.pop("b"), torch.zeros(2))
    assert_is_the_state(found)


def test_safetensors_are_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(dict(PREFIXED), file, {"format": "pt"})
    assert_is_the_state(read_foreign(str(file)))
    data = file.read_bytes()
    for length in (0, 5, 60, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(WeightsError, match=r"model\.safetensors: damaged, or no safetensors file"):
            read_foreign(file)
    safetensors.torch.save_file({"x": torch.zeros(2, dtype=torch.int8)}, file)
    with pytest.raises(WeightsError, match=r"x is of another type than F64, F32"):
        read_foreign(file)


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def evil(kind: str, canary: Path) -> bytes:
    payload = Payload(canary)
    if kind == "plain pickle":
        return pickle.dumps(payload)
    content = {"state_dict": {"conv1.weight": torch.zeros(1)}, "epoch": payload} if kind == "checkpoint" else payload
    return saved(content, old_format=kind == "old format")


@pytest.mark.parametrize("kind", ["zip", "old format", "plain pickle", "checkpoint"])
def test_a_file_that_would_run_code_is_refused_and_nothing_runs(kind: str, tmp_path: Path) -> None:
    file, canary = tmp_path / "evil.pth", tmp_path / "canary"
    file.write_bytes(evil(kind, canary))
    if kind == "checkpoint":
        with pytest.raises(WeightsError, match=r"evil\.pth: refused, nothing in it was run: it holds more") as caught:
            read_foreign(file)
        assert "\n" not in str(caught.value)
    with file.open("rb") as stream, pytest.raises(foreign._RefusedError, match="refused, nothing in it was run"):
        state_in(stream)
    assert not canary.exists()


def test_should_the_reader_have_a_hole_the_process_still_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader without any restriction stands in for the hole."""
    file, canary = tmp_path / "evil.pth", tmp_path / "canary"
    file.write_bytes(evil("zip", canary))
    hole = tmp_path / "sitecustomize.py"
    hole.write_text(
        "import torch\nload = torch.load\n"
        "torch.load = lambda f, **options: load(f, **{**options, 'weights_only': False})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(WeightsError, match=r"evil\.pth: refused: reading it would lead to 'open'.*do not trust it"):
        read_foreign(file)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("event", "arguments", "refused"),
    [
        ("open", ("x", "w", 0), True),
        ("open", ("x", "r+b", 0), True),
        ("open", ("x", "rb", 0), False),
        ("open", (3, None, 0), False),
        ("open", ("x", None, 0o1101), True),  # os.open: O_WRONLY | O_CREAT | O_TRUNC
        ("open", ("x", None, 0o2000000), False),  # O_CLOEXEC alone
        ("socket.connect", (None, None), True),
        ("subprocess.Popen", ("sh", [], None, None), True),
        ("os.system", (b"true",), True),
        ("os.listdir", (".",), False),
        ("import", ("x",), False),
    ],
)
def test_what_the_reading_process_may_not_do(event: str, arguments: tuple[Any, ...], refused: bool) -> None:
    if refused:
        with pytest.raises(foreign._RefusedError, match="do not trust it"):
            foreign._forbid(event, arguments)
    else:
        foreign._forbid(event, arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "holds no state dict"),
        ({}, "holds no state dict"),
        ({3: torch.zeros(2)}, "holds no state dict"),
        ({"conv1.weight": torch.zeros(2), "epoch": 3}, "epoch no tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(content: Any, message: str) -> None:
    with pytest.raises(foreign._RefusedError, match=message):
        state_in(io.BytesIO(saved(content)))


@pytest.mark.parametrize("odd", [torch.zeros(2, dtype=torch.complex64), torch.zeros(2, dtype=torch.int8)])
def test_numbers_of_a_type_that_no_network_has_are_refused(odd: torch.Tensor) -> None:
    with pytest.raises(foreign._RefusedError, match="x of a type that no network here has"):
        state_in(io.BytesIO(saved({"x": odd})))


def test_mutants_are_read_or_refused_and_never_fail_otherwise() -> None:
    rng = np.random.default_rng(0)
    files = [saved(content, old_format) for content in CONTENTS.values() for old_format in (False, True)]
    read, refused = 0, []
    for n in range(1500):
        data = bytearray(files[n % len(files)])
        for _ in range(rng.integers(1, 5)):
            at, kind = int(rng.integers(len(data))), int(rng.integers(3))
            if kind == 0:
                data[at] ^= int(rng.integers(1, 256))
            elif kind == 1:
                del data[at : at + int(rng.integers(1, 40))]
            else:
                data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        try:
            state_in(io.BytesIO(bytes(data)))
            read += 1
        except foreign._RefusedError as error:
            refused.append(str(error))
    assert len(refused) > 1000
    assert read > 20
    assert not any("\n" in message for message in refused)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.pth").write_bytes(saved({"conv\ud800": torch.zeros(1)}))
    with pytest.raises(WeightsError, match=r"odd\.pth: holds a name that is no text"):
        read_foreign(tmp_path / "odd.pth")


def test_a_small_file_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.pth"
    file.write_bytes(saved({"conv1.weight": torch.zeros(1).expand(1 << 30)}))  # 4 GiB of one number
    assert file.stat().st_size < 2000
    with pytest.raises(WeightsError, match=r"bomb\.pth: asks for far more memory than a file of its size may"):
        read_foreign(file)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for old_format in (False, True):
        data = saved(STATE, old_format)
        for length in (0, 5, 300, len(data) // 2, len(data) - 60):
            with pytest.raises(foreign._RefusedError, match=r"damaged|refused"):
                state_in(io.BytesIO(data[:length]))
    file = tmp_path / "cut.pth"
    file.write_bytes(saved(STATE)[:700])
    with pytest.raises(WeightsError, match=r"cut\.pth: (damaged|refused)"):
        read_foreign(file)
    with pytest.raises(WeightsError, match=r"none\.pth: cannot be read: No such file"):
        read_foreign(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_foreign(tmp_path)
