"""More than a thousand broken image files of many kinds, the same ones every time."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP"}
ALWAYS_BAD = ("halved", "noise", "bomb", "foreign", "empty")


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, FORMATS[kind], **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], depth: int, color: int, rows: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG from its packed rows (each with its filter byte); chunks before and behind the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + chunk(b"IEND", b"")


def corrupt_images(seed: int = 0) -> Iterator[tuple[str, str, bytes]]:
    """Kind, file name and content of every broken file."""
    generator = np.random.default_rng(seed)
    pixels = np.kron(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8))
    whole = {kind: encoded(pixels, kind) for kind in FORMATS}
    for kind, data in whole.items():
        for i in range(160):
            for fault, make in FAULTS.items():
                if i < SHARES[fault]:
                    yield f"{fault}_{kind}", f"{fault}_{i}.{kind}", make(bytearray(data), generator)
        others = [other for other in whole if other != kind]
        for other in others:
            cut = len(data) // 2
            yield f"spliced_{kind}", f"spliced_{other}.{kind}", data[:cut] + whole[other][len(whole[other]) // 2 :]
        yield "empty", f"empty.{kind}", b""
        for i in range(5):
            yield "noise", f"noise_{i}.{kind}", generator.bytes(int(generator.choice([1, 10, 1000, 20_000])))
    for width, height in ((20_000, 20_000), (65_535, 65_535), (2**31 - 1, 1), (0, 10), (10, 0), (8001, 8000)):
        yield "bomb", f"bomb_{width}x{height}.png", png((width, height), 8, 2, bytes(1000))
    for name, data in FOREIGN.items():
        yield "foreign", name, data
    for i in range(40):
        exif = b"Exif\0\0" + [b"II*\0", b"MM\0*", b""][i % 3] + generator.bytes(i)
        data = whole["jpg"]
        yield "exif_jpg", f"exif_{i}.jpg", data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
        late = chunk(b"eXIf", exif[6:])
        yield "exif_png", f"exif_{i}.png", whole["png"][:-12] + late + whole["png"][-12:]


def halved(data: bytearray, generator: np.random.Generator) -> bytes:
    return bytes(data[: generator.integers(1, len(data) // 2)])


def truncated(data: bytearray, generator: np.random.Generator) -> bytes:
    return bytes(data[: generator.integers(len(data) // 2, len(data))])


def flipped(data: bytearray, generator: np.random.Generator) -> bytes:
    for _ in range(generator.choice([1, 3, 10, 100])):
        data[generator.integers(len(data))] = generator.integers(256)
    return bytes(data)


def header(data: bytearray, generator: np.random.Generator) -> bytes:
    """Damage where sizes, depths and offsets stand."""
    for _ in range(generator.integers(1, 4)):
        data[generator.integers(2, min(64, len(data)))] = generator.choice([0, 1, 127, 128, 255])
    return bytes(data)


def zeroed(data: bytearray, generator: np.random.Generator) -> bytes:
    start = int(generator.integers(len(data)))
    end = min(len(data), start + int(generator.integers(1, 400)))
    data[start:end] = bytes(end - start)
    return bytes(data)


def doubled(data: bytearray, generator: np.random.Generator) -> bytes:
    start = int(generator.integers(len(data)))
    return bytes(data[:start] + data[start : start + 50] + data[start:])


FAULTS = {
    "halved": halved,
    "truncated": truncated,
    "flipped": flipped,
    "header": header,
    "zeroed": zeroed,
    "doubled": doubled,
}
SHARES = {"halved": 30, "truncated": 30, "flipped": 60, "header": 40, "zeroed": 20, "doubled": 15}

FOREIGN = {
    "zip.jpg": b"PK\x03\x04" + bytes(100),
    "page.png": b"<html><script>alert(1)</script>",
    "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "document.jpg": b"%PDF-1.7\n" + bytes(100),
    "photoshop.jpg": b"8BPS\0\1" + bytes(100),
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "fits.tif": b"SIMPLE  =                    T" + bytes(100),
    "netpbm.bmp": b"P6 2 2 255\n" + bytes(12),
    "pickle.jpg": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}
