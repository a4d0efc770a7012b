"""Pickles of other programs: what is data is read, everything else is refused and nothing is ever run."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from body_files import Ch, Mahalanobis, disguised
from evil_pickles import ARRAY, CALLS, CANARY, FLOAT, NAMES, OTHERS, forms, named, sparse, text
from fidip import pickles
from fidip.errors import DataError
from fidip.pickled_arrays import Refused, flatten
from fidip.pickles import read_pickle, unpickle

WATCHED = ("open", "import", "exec", "compile", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "code.")

heard: list[str] = []
listening = False


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if listening and event.startswith(WATCHED):
        heard.append(f"{event} {arguments}")


sys.addaudithook(_listen)


@pytest.fixture
def _nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file is opened or made, no module imported, no program started while the test runs."""
    monkeypatch.chdir(tmp_path)
    refusal(b"Vx\n.")  # encodings and the like are loaded before anyone listens
    heard.clear()
    yield
    assert heard == []
    assert not (tmp_path / CANARY).exists()


def refusal(data: bytes) -> Refused | None:
    global listening
    listening = True
    try:
        flatten(unpickle(data), None)
    except Refused as error:
        return error
    finally:
        listening = False
    return None


def content() -> dict[str, Any]:
    """Everything that may be in a file, in one dictionary."""
    dense = np.arange(12.0).reshape(3, 4) * (np.arange(12).reshape(3, 4) % 3 == 0)
    return {
        "vertices": Ch(np.arange(12.0).reshape(4, 3), _dirty_vars={"x"}, _itr=None, _depends_on_deps={}),
        "chosen": Ch(1),
        "weights": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "faces": np.array([[0, 1, 2]], dtype=">u4"),
        "flags": np.array([True, False]),
        "turned": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        "csc": scipy.sparse.csc_matrix(dense),
        "csr": scipy.sparse.csr_matrix(dense),
        "coo": scipy.sparse.coo_matrix(dense),
        "scale": np.float64(0.25),
        "names": ["lbs", "é", ("a", 1, None, True, 2.5, 2**70)],
        "info": {"gender": "infant"},
    }


@pytest.mark.parametrize("protocol", range(6))
def test_data_is_read_at_every_protocol(tmp_path: Path, protocol: int) -> None:
    file, expected = tmp_path / "body.pkl", content()
    dense = expected["csc"].toarray()
    with disguised(Ch, "chumpy.ch"):
        file.write_bytes(pickle.dumps(expected, protocol))
    found = read_pickle(file)
    np.testing.assert_array_equal(found["vertices"], expected["vertices"].x)
    for name in ("weights", "faces", "flags", "turned"):
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype == expected[name].dtype.newbyteorder("=")
    for name in ("csc", "csr", "coo"):
        np.testing.assert_array_equal(found[name], dense)
    assert found["scale"] == 0.25
    assert found["names"] == ["lbs", "é", ["a", 1, None, True, 2.5, 2**70]]
    assert found["info"] == {"gender": "infant"}


def test_data_of_python_2_is_read(tmp_path: Path) -> None:
    """Arrays as strings of bytes, in the binary and in the text protocol, with an object of an old-style class."""
    values = np.array([1.5, -2.0, np.pi])
    data = values.tobytes()
    binary = b"\x80\x02" + ARRAY + b"(K\x01K\x03\x85" + FLOAT + b"K\x00U" + bytes([len(data)]) + data + b"tb."
    escaped = "".join(f"\\x{byte:02x}" for byte in data).encode()
    words = (
        b"(i__main__\nMahalanobis\n(dS'mean'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I3\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + escaped + b"'\ntbsb."
    )
    file = tmp_path / "old.pkl"
    file.write_bytes(binary)
    np.testing.assert_array_equal(read_pickle(file), values)
    file.write_bytes(words)
    np.testing.assert_array_equal(read_pickle(file, ["mean"], ["__main__.Mahalanobis"])["mean"], values)


@pytest.mark.parametrize("protocol", range(6))
def test_an_object_of_a_class_that_the_caller_names_gives_its_attributes(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "prior.pkl"
    with disguised(Ch, "chumpy.ch"), disguised(Mahalanobis, "__main__"):
        file.write_bytes(pickle.dumps(Mahalanobis(np.arange(3.0), Ch(np.eye(3)), 3), protocol))
    found = read_pickle(file, objects=["__main__.Mahalanobis"])
    assert found["prefix"] == 3
    np.testing.assert_array_equal(found["prec"], np.eye(3))
    with pytest.raises(DataError, match=r"prior.pkl: asks for __main__.Mahalanobis"):
        read_pickle(file)


def test_chosen_elements_of_an_array_are_read(tmp_path: Path) -> None:
    class Select(Ch):
        pass

    array, file = np.arange(24.0).reshape(2, 3, 4), tmp_path / "body.pkl"
    chosen = np.arange(24).reshape(2, 3, 4)[..., :2]
    select = Select(a=Ch(array), idxs=chosen.ravel(), preferred_shape=(2, 3, 2))
    Select.__qualname__ = "Select"
    with disguised(Ch, "chumpy.ch"), disguised(Select, "chumpy.reordering"):
        file.write_bytes(pickle.dumps(select, 2))
        np.testing.assert_array_equal(read_pickle(file), array[..., :2])
        select.idxs = select.idxs + 20
        file.write_bytes(pickle.dumps(select, 2))
    with pytest.raises(DataError, match="selects elements that its array does not have"):
        read_pickle(file)


def test_only_the_keys_asked_for_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "body.pkl"
    with disguised(Ch, "chumpy.ch"):
        file.write_bytes(pickle.dumps({"x": np.ones(2), "J": Ch(A=1, b=2)}, 2))
    assert list(read_pickle(file, ["x"])) == ["x"]
    with pytest.raises(DataError, match=r"body.pkl: J: holds an object of chumpy.ch.Ch, which has no value"):
        read_pickle(file)
    with pytest.raises(DataError, match=r"body.pkl: y: is missing; the file holds x, J"):
        read_pickle(file, ["x", "y"])
    file.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="holds a list where a dictionary with x is expected"):
        read_pickle(file, ["x"])


def test_the_stock_reader_would_have_run_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the pickles below are harmless is the reader's merit, not theirs."""
    monkeypatch.chdir(tmp_path)
    ran = 0
    for form in list(forms("builtins", "exec"))[:3]:
        pickle.loads(form)
        ran += Path(CANARY).exists()
        Path(CANARY).unlink()
    assert ran == 3


@pytest.mark.usefixtures("_nothing_happens")
def test_every_call_of_a_foreign_name_is_refused_by_that_name() -> None:
    assert len(CALLS) > 900
    for (module, name), calls in ((both, list(forms(*both))) for both in NAMES):
        for call in calls:
            error = refusal(call)
            assert error, call
            assert f"asks for {module}.{name}" in error.problem
            assert "\n" not in error.problem


@pytest.mark.usefixtures("_nothing_happens")
@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_whatever_else_is_not_data_is_refused(data: bytes) -> None:
    error = refusal(data)
    assert error
    assert error.problem.isascii()
    assert error.problem.isprintable()
    assert len(error.problem) < 250


@pytest.mark.usefixtures("_nothing_happens")
def test_single_opcodes_cuts_and_flips_end_in_data_or_a_refusal() -> None:
    """A reader that ends in any other error would show a defect of ours."""
    with disguised(Ch, "chumpy.ch"):
        whole = pickle.dumps(content(), 2)
    generator = random.Random(1)
    damaged = [bytes([first]) + rest for first in range(256) for rest in (b".", b"N.", b"\n\n.", b"\x01\x00\x00\x00.")]
    damaged += [whole[:end] for end in range(0, len(whole), 5)]
    for _ in range(800):
        flipped = bytearray(whole)
        for _ in range(generator.randint(1, 3)):
            flipped[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        damaged.append(bytes(flipped))
    refused = sum(refusal(data) is not None for data in damaged)
    assert refused > 0.5 * len(damaged)
    assert all(refusal(whole[:end]) for end in range(0, len(whole) - 1, 7))


def test_a_good_sparse_matrix_shows_that_the_bad_ones_are_bad() -> None:
    tree, arrays = flatten(unpickle(sparse([1, 0], [0, 1, 2], kind="csr")), None)
    assert tree == {"array": "a0"}
    np.testing.assert_array_equal(arrays[0], [[0, 1], [1, 0]])


def test_whole_way_refusals_name_the_file_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pkl"
    evil = [named("posix", "system") + text(f"touch {CANARY}") + b"\x85R.", *list(forms("builtins", "exec"))[:4]]
    for data in [
        *evil,
        OTHERS["a thousand laughs"],
        OTHERS["mutable bytes of 2^60"],
        b"",
        b"\x80\x02Nr\xff\xff\xff\xff0.",
    ]:
        file.write_bytes(data)
        with pytest.raises(DataError, match=r"evil\.pkl: ") as refused:
            read_pickle(file)
        assert "\n" not in str(refused.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["evil.pkl"]


def test_memory_and_time_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes that encode a text over and over: kept, they fill the memory; dropped, they take for ever."""
    encode = b"c_codecs\nencode\nq\x010"
    file, big = tmp_path / "bomb.pkl", text("x" * 50_000_000)
    once = b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R"
    file.write_bytes(b"\x80\x02" + encode + big + b"q\x000(" + once * 400 + b"l.")
    with pytest.raises(DataError, match="more memory"):
        read_pickle(file)
    file.write_bytes(b"\x80\x02" + encode + text("x" * 5_000_000) + b"q\x000" + (once + b"0") * 200_000 + b"N.")
    monkeypatch.setattr(pickles, "SECONDS", 1)
    with pytest.raises(DataError, match="was stopped"):
        read_pickle(file)


def test_files_that_are_not_there_too_large_or_converted_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_pickle(tmp_path / "none.pkl")
    with pytest.raises(DataError, match="a folder, not a file"):
        read_pickle(tmp_path)
    file = tmp_path / "body.pkl"
    for protocol in (0, 2):
        file.write_bytes(pickle.dumps({"x": np.arange(10.0), "y": 10}, protocol).replace(b"\n", b"\r\n"))
        with pytest.raises(DataError, match="every line ends in CR LF"):
            read_pickle(file)
    monkeypatch.setattr(pickles, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="larger than"):
        read_pickle(file)
