"""Pickles that want more than to be data, assembled opcode by opcode."""

from __future__ import annotations

import struct
from collections.abc import Iterator

CANARY = "canary-of-the-pickles"
"""The file that these pickles would make in the working folder."""

NAMES = (
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("os", "popen"), ("os", "execv"), ("os", "remove"),
    ("subprocess", "Popen"), ("subprocess", "check_output"), ("pty", "spawn"), ("platform", "popen"),
    ("builtins", "eval"), ("builtins", "exec"), ("builtins", "open"), ("builtins", "getattr"),
    ("builtins", "__import__"), ("builtins", "compile"), ("builtins", "type"), ("builtins", "vars"),
    ("__builtin__", "eval"), ("__builtin__", "file"), ("__builtin__", "apply"), ("builtins", "frozenset"),
    ("importlib", "import_module"), ("runpy", "run_path"), ("code", "interact"), ("timeit", "timeit"),
    ("functools", "partial"), ("operator", "attrgetter"), ("operator", "methodcaller"), ("types", "CodeType"),
    ("types", "FunctionType"), ("ctypes", "CDLL"), ("sys", "exit"), ("shutil", "rmtree"), ("socket", "socket"),
    ("webbrowser", "open"), ("pickle", "loads"), ("_pickle", "loads"), ("marshal", "loads"), ("torch", "load"),
    ("numpy", "load"), ("numpy", "fromfile"), ("numpy", "memmap"), ("numpy", "genfromtxt"), ("numpy", "vectorize"),
    ("numpy.testing._private.utils", "runstring"), ("numpy.core.multiarray", "fromfile"), ("numpy", "array"),
    ("scipy.sparse", "load_npz"), ("scipy.sparse._csc", "csc_array"), ("scipy.io", "loadmat"),
    ("copyreg", "__newobj__"), ("copyreg", "add_extension"), ("_codecs", "decode"), ("codecs", "open"),
    ("chumpyx.ch", "Ch"), ("xchumpy", "Ch"), ("__main__", "Mahalanobis"), ("fidip.files", "write_text"), ("", "x"),
    # dotted names, by which protocol 4 walks from an innocent object to another
    ("numpy", "ndarray.__class__"), ("numpy", "ndarray.tofile"), ("numpy", "dtype.__init__"), ("numpy", "lib.npyio"),
    ("chumpy.ch", "Ch.__init__.__globals__"), ("chumpy", "ch.os.system"), ("builtins", "object.__subclasses__"),
    ("copyreg", "_reconstructor.__globals__"), ("_codecs", "encode.__self__"), ("scipy.sparse._csc", "csc_matrix.dot"),
    ("numpy.core.multiarray", "_reconstruct.__call__"), ("os.path", "os.system"), ("builtins", "set.__doc__"),
)  # fmt: skip
"""What they name."""


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def named(module: str, name: str, stacked: bool = False) -> bytes:
    return text(module) + text(name) + b"\x93" if stacked else f"c{module}\n{name}\n".encode()


ARGUMENT = text(f"open({CANARY!r}, 'w').close()")
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
FLOAT = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def forms(module: str, name: str) -> Iterator[bytes]:
    """The ways to call or use what a name stands for, bare and hidden in something innocent."""
    old, new = named(module, name), named(module, name, stacked=True)
    call = old + ARGUMENT + b"\x85R"
    yield b"\x80\x02" + call + b"."  # REDUCE
    yield b"\x80\x04" + new + ARGUMENT + b"\x85R."
    yield old + b"(" + ARGUMENT + b"tR."  # protocol 0 and 1
    yield b"(" + ARGUMENT + f"i{module}\n{name}\n.".encode()  # INST
    yield b"(" + old + ARGUMENT + b"o."  # OBJ
    yield b"\x80\x02" + old + ARGUMENT + b"\x85\x81."  # NEWOBJ
    yield b"\x80\x04" + new + ARGUMENT + b"\x85}\x92."  # NEWOBJ_EX
    yield b"\x80\x02}" + text("v_template") + call + b"s."  # in a dictionary
    yield b"\x80\x02]" + call + b"a."  # in a list
    yield b"\x80\x02" + ARRAY + call + b"b."  # as the state of an array
    yield b"\x80\x02cchumpy.ch\nCh\n)\x81}" + text("x") + call + b"sb."  # in a leaf of chumpy
    yield b"\x80\x02c_codecs\nencode\n" + call + text("latin1") + b"\x86R."  # as an argument of what is allowed
    yield b"\x80\x02" + old + b"0N."  # named and thrown away


CALLS = [form for module, name in NAMES for form in forms(module, name)]


def array(shape: bytes, dtype: bytes = FLOAT, data: bytes = b"U\x08" + bytes(8)) -> bytes:
    """An array as the old protocols write it, one number unless told."""
    return b"\x80\x02" + ARRAY + b"(K\x01" + shape + dtype + b"K\x00" + data + b"tb."


def turned(axes: bytes) -> bytes:
    """An array of one axis as protocol 5 writes those that do not lie in order."""
    buffer = b"\x96" + struct.pack("<Q", 8) + bytes(8)
    name = text("numpy._core.numeric") + text("_frombuffer") + b"\x93"
    return b"\x80\x05" + name + b"(" + buffer + FLOAT + b"K\x01\x85" + text("K") + axes + b"tR."


OTHERS = {
    "persistent id": b"Pos.system\n.",
    "binary persistent id": b"\x80\x02" + text("os.system") + b"Q.",
    "extension, one byte": b"\x80\x02\x82\x01.",
    "extension, two bytes": b"\x80\x02\x83\x01\x00.",
    "extension, four bytes": b"\x80\x02\x84\x01\x00\x00\x00.",
    "extension of a negative code": b"\x80\x02\x84\xff\xff\xff\xff.",
    "buffer from outside": b"\x80\x05\x97.",
    "read-only buffer from outside": b"\x80\x05\x97\x98.",
    "state of a function": b"\x80\x02c_codecs\nencode\nN}" + text("__defaults__") + b"Ns\x86b.",
    "state of a class": b"\x80\x02cnumpy\nndarray\n}" + text("origin") + text("x") + b"sb.",
    "array of another class": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncchumpy.ch\nCh\nK\x00\x85U\x01b\x87R.",
    "reconstruction of a function": b"ccopy_reg\n_reconstructor\nc_codecs\nencode\nc__builtin__\nobject\nN\x87R.",
    "reconstruction from another base": b"ccopy_reg\n_reconstructor\ncnumpy\nndarray\ncnumpy\nndarray\nN\x87R.",
    "reconstruction of a list": b"ccopy_reg\n_reconstructor\n]c__builtin__\nobject\nN\x87R.",
    "other encoding": b"\x80\x02c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R.",
    "encoding of no text": b"\x80\x02c_codecs\nencode\nK\x01" + text("latin1") + b"\x86R.",
    "set of a number": b"\x80\x02c__builtin__\nset\nK\x05\x85R.",
    "unknown protocol": b"\x80\xff.",
    "array of objects": array(b"K\x01\x85", FLOAT.replace(b"f8", b"O8"), b"]Na"),
    "list as the bytes of an array": array(b"K\x01\x85", data=b"]Na"),
    "array of text": array(b"K\x01\x85", FLOAT.replace(b"f8", b"U2")),
    "array without content": b"\x80\x02" + ARRAY + b".",
    "huge shape": array(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"),
    "negative shape": array(b"J\xff\xff\xff\xff\x85"),
    "too few bytes": array(b"K\x02\x85"),
    "strange byte order": array(b"K\x01\x85", FLOAT.replace(b"<", b"Z")),
    "shape that is no tuple": array(FLOAT),
    "array with an axis too many": turned(b"K\x01K\x00\x86"),
    "array with an axis twice": turned(b"K\x00K\x00\x86"),
    "expression of chumpy": b"\x80\x02cchumpy.ch\nMatVecMult\n)\x81}" + text("mtx") + b"Nsb.",
    "memo that was never filled": b"\x80\x02h\x07.",
    "long of no length": b"\x80\x02\x8b\xff\xff\xff\xff.",
    "endless number": b"I" + b"9" * 5000 + b"\n.",
    "text of 2^60 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.",
    "bytes of 2^60": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
    "bytes of 2^31": b"\x80\x03B" + struct.pack("<I", 1 << 31) + b"x.",
    "mutable bytes of 2^60": b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b"x.",
    "a thousand laughs": b"\x80\x02]N" + b"a" + b"q\x000" + b"".join(
        b"]" + b"(" + struct.pack("<cB", b"h", i) * 16 + b"e" + b"q" + bytes([i + 1]) + b"0" for i in range(30)
    ) + b"h\x1e.",
    "list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "dictionary that holds itself": b"\x80\x02}q\x00" + text("x") + b"h\x00s.",
    "dictionary with a number as a key": b"\x80\x02}K\x01Ns.",
    "a hundred thousand lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "complex number of a class": b"\x80\x02cchumpy.ch\nCh\n)\x81.",
    "leaf that holds itself": b"\x80\x02cchumpy.ch\nCh\n)\x81q\x00}" + text("x") + b"h\x00sb.",
    "nothing": b"",
    "no pickle": b"%PDF-1.7 not a pickle",
    "no end": b"\x80\x02N",
    "empty stack": b".",
    "mark alone": b"(.",
}  # fmt: skip
"""Pickles that are refused for another reason than a name."""


def sparse(indices: list[int], starts: list[int], rows: int = 2, columns: int = 2, kind: str = "csc") -> bytes:
    """A sparse matrix of ones."""

    def integers(values: list[int]) -> bytes:
        data = struct.pack(f"<{len(values)}i", *values)
        dtype = FLOAT.replace(b"f8", b"i4")
        return (
            ARRAY + b"(K\x01K" + bytes([len(values)]) + b"\x85" + dtype + b"K\x00U" + bytes([len(data)]) + data + b"tb"
        )

    size = b"J" + struct.pack("<i", rows) + b"J" + struct.pack("<i", columns) + b"\x86"
    entries = {
        "_shape": size,
        "data": integers([1] * len(indices)),
        "indices": integers(indices),
        "indptr": integers(starts),
    }
    state = b"}" + b"".join(text(key) + value + b"s" for key, value in entries.items())
    return f"\x80\x02cscipy.sparse.{kind}\n{kind}_matrix\n)".encode("latin-1") + b"\x81" + state + b"b."


OTHERS |= {
    "sparse matrix with an index beyond it": sparse([5, 0], [0, 1, 2]),
    "sparse matrix with a negative index": sparse([-1, 0], [0, 1, 2]),
    "sparse matrix with falling starts": sparse([0, 1], [0, 2, 1]),
    "sparse matrix with starts beyond its values": sparse([0, 1], [0, 1, 900]),
    "sparse matrix that does not start": sparse([0, 1], [1, 1, 2]),
    "sparse matrix of 2^60 numbers": sparse([0, 1], [0, 1, 2], 2**30, 2**30),
}
