import collections
import io
import struct
import threading
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import corrupt_images
from corrupt_images import chunk, encoded, png
from fidip.errors import DataWarning, FidipError, ImageError
from fidip.images import MAX_PIXELS, encode_image, image_size, read_image, write_image

GENERATOR = np.random.default_rng(7)
NOISE = GENERATOR.integers(0, 256, (21, 30, 3), dtype=np.uint8)
BLOCKS = np.kron(GENERATOR.integers(20, 236, (3, 5, 3), dtype=np.uint8), np.ones((16, 16, 1), dtype=np.uint8))
GRAY = NOISE[..., 0]
DEEP = GENERATOR.integers(0, 65536, (21, 30, 3), dtype=np.uint16)
ALPHA = GENERATOR.integers(0, 256, (21, 30), dtype=np.uint8)


def gray(levels):
    """Levels of 0 to 255, with fractions, as a picture."""
    return np.repeat(np.asarray(levels, dtype=np.float64)[..., None], 3, axis=2)


def over_white(colors, alpha):
    share = np.asarray(alpha, dtype=np.float64)[..., None] / 255
    return share * colors + (1 - share) * 255


def rows(values, bits):
    """Rows of a PNG: a filter byte, then the samples packed, the first in the highest bits."""
    flat = values.reshape(len(values), -1)
    samples = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return b"".join(b"\0" + np.packbits(row).tobytes() for row in samples.astype(np.uint8).reshape(len(values), -1))


def tiff(data, size, bits, photometric=1, sample_format=1, order="<"):
    """A TIFF of one grey strip."""
    entries = {
        256: size[0],
        257: size[1],
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: size[1],
        279: len(data),
    }
    entries[339] = sample_format
    directory = struct.pack(f"{order}H", len(entries))
    directory += b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8 + len(data)) + data + directory + bytes(4)


def twelve_bits(values):
    bits = (values[..., None] >> np.arange(11, -1, -1)) & 1
    return b"".join(np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in bits)


def saved(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def palette(**options):
    image = Image.fromarray(GRAY % 8, mode="L").convert("P")
    image.putpalette(NOISE[0, :8].tobytes())
    return saved(image, **options)


def opencv(suffix, pixels):
    return cv2.imencode(suffix, pixels[..., ::-1])[1].tobytes()


SIZE = (30, 21)
COLORS = NOISE[0, :8][GRAY % 8]
EVEN = GRAY.astype(np.uint16) % 16 * 4096 // 16  # 12 bits
FLOAT = GENERATOR.random((21, 30), dtype=np.float32)
CMYK = GENERATOR.integers(0, 256, (21, 30, 4), dtype=np.uint8)
INK = 255 - np.kron(GENERATOR.integers(0, 200, (3, 5, 4), dtype=np.uint8), np.ones((16, 16, 1), dtype=np.uint8))


def without_ink(cmyk):
    return (255.0 - cmyk[..., :3]) * (255.0 - cmyk[..., 3:]) / 255


# Content, the picture that is meant, and how many levels a decoder may differ.
MODES = {
    "rgb.png": (encoded(NOISE, "png"), NOISE, 0),
    "rgb.bmp": (encoded(NOISE, "bmp"), NOISE, 0),
    "rgb.tif": (encoded(NOISE, "tif", compression="tiff_lzw"), NOISE, 0),
    "rgb.webp": (encoded(NOISE, "webp", lossless=True), NOISE, 0),
    "baseline.jpg": (encoded(BLOCKS, "jpg", quality=100, subsampling=0), BLOCKS, 1),
    "progressive.jpg": (encoded(BLOCKS, "jpg", quality=100, subsampling=0, progressive=True), BLOCKS, 1),
    "gray.jpg": (encoded(BLOCKS[..., 0], "jpg", quality=100), gray(BLOCKS[..., 0]), 1),
    "gray.png": (encoded(GRAY, "png"), gray(GRAY), 0),
    "gray_alpha.png": (png(SIZE, 8, 4, rows(np.stack([GRAY, ALPHA], 2), 8)), over_white(gray(GRAY), ALPHA), 1),
    "rgba.png": (encoded(np.dstack([NOISE, ALPHA]), "png"), over_white(NOISE, ALPHA), 1),
    "rgba.webp": (
        encoded(np.dstack([NOISE, ALPHA]), "webp", lossless=True, exact=True),
        over_white(NOISE, ALPHA),
        1,
    ),
    "rgba.tif": (encoded(np.dstack([NOISE, ALPHA]), "tif"), over_white(NOISE, ALPHA), 1),
    "key.png": (
        png(SIZE, 8, 2, rows(NOISE, 8), chunk(b"tRNS", struct.pack(">3H", *NOISE[4, 5]))),
        np.where((NOISE[4, 5] == NOISE).all(axis=2, keepdims=True), 255, NOISE),
        0,
    ),
    "palette.png": (palette(form="PNG"), COLORS, 0),
    "palette_key.png": (
        palette(form="PNG", transparency=bytes([255, 0, 128, 255])),
        over_white(COLORS, np.array([255, 0, 128, 255, 255, 255, 255, 255])[GRAY % 8]),
        1,
    ),
    "palette.gif": (palette(form="GIF"), COLORS, 0),
    "key.gif": (palette(form="GIF", transparency=3), np.where((GRAY % 8 == 3)[..., None], 255, COLORS), 0),
    "animation.gif": (
        palette(form="GIF", save_all=True, append_images=[Image.new("P", SIZE)]),
        COLORS,
        0,
    ),
    "bits1.png": (png(SIZE, 1, 0, rows(GRAY % 2, 1)), gray(GRAY % 2 * 255.0), 0),
    "bits2.png": (png(SIZE, 2, 0, rows(GRAY % 4, 2)), gray(GRAY % 4 * 85.0), 0),
    "bits4.png": (png(SIZE, 4, 0, rows(GRAY % 16, 4)), gray(GRAY % 16 * 17.0), 0),
    "bits16.png": (png(SIZE, 16, 0, rows(DEEP[..., 0], 16)), gray(DEEP[..., 0] / 257), 1),
    "bits16_key.png": (
        png(SIZE, 16, 0, rows(DEEP[..., 0], 16), chunk(b"tRNS", struct.pack(">H", DEEP[3, 4, 0]))),
        gray(np.where(DEEP[..., 0] == DEEP[3, 4, 0], 255, DEEP[..., 0] / 257)),
        1,
    ),
    "bits16_rgb.png": (opencv(".png", DEEP), DEEP / 257, 1),
    "bits16_rgb.tif": (opencv(".tiff", DEEP), DEEP / 257, 1),
    "bits16.tif": (tiff(DEEP[..., 0].tobytes(), SIZE, 16), gray(DEEP[..., 0] / 257), 1),
    "bits16_big.tif": (tiff(DEEP[..., 0].astype(">u2").tobytes(), SIZE, 16, order=">"), gray(DEEP[..., 0] / 257), 1),
    "bits16_white.tif": (tiff(DEEP[..., 0].tobytes(), SIZE, 16, photometric=0), gray(255 - DEEP[..., 0] / 257), 1),
    "bits12.tif": (tiff(twelve_bits(EVEN), SIZE, 12), gray(EVEN / 4095 * 255), 1),
    "bits8_white.tif": (tiff(GRAY.tobytes(), SIZE, 8, photometric=0), gray(255 - GRAY.astype(float)), 0),
    "float_unit.tif": (tiff(FLOAT.tobytes(), SIZE, 32, sample_format=3), gray(FLOAT * 255), 1),
    "float_bytes.tif": (tiff((FLOAT * 255).tobytes(), SIZE, 32, sample_format=3), gray(FLOAT * 255), 1),
    "float_words.tif": (tiff((FLOAT * 65535).tobytes(), SIZE, 32, sample_format=3), gray(FLOAT * 255), 1),
    "float_negative.tif": (
        tiff((FLOAT - 0.5).tobytes(), SIZE, 32, sample_format=3),
        gray((FLOAT - 0.5).clip(0) * 255),
        1,
    ),
    "int32_bytes.tif": (tiff(GRAY.astype("<i4").tobytes(), SIZE, 32, sample_format=2), gray(GRAY), 1),
    "int32_words.tif": (
        tiff(DEEP[..., 0].astype("<i4").tobytes(), SIZE, 32, sample_format=2),
        gray(DEEP[..., 0] / 257),
        1,
    ),
    "cmyk.tif": (saved(Image.fromarray(CMYK, mode="CMYK"), "TIFF"), without_ink(CMYK), 1),
    "cmyk.jpg": (saved(Image.fromarray(INK, mode="CMYK"), "JPEG", quality=100, subsampling=0), without_ink(INK), 2),
}


@pytest.mark.parametrize("name", MODES)
def test_every_kind_of_pixel_becomes_the_picture_that_is_meant(tmp_path, name):
    content, expected, tolerance = MODES[name]
    (tmp_path / name).write_bytes(content)
    image = read_image(tmp_path / name)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert image.flags.c_contiguous
    assert image.shape == expected.shape
    assert np.abs(image - np.asarray(expected, dtype=np.float64)).max() <= tolerance
    assert image_size(tmp_path / name) == image.shape[1::-1]


# EXIF 2.32, tag 0x0112: which side of the picture the first stored row and the first stored column are.
FIRST_ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def as_stored(upright, orientation):
    """The pixels as a camera held that way stores them."""
    height, width = upright.shape[:2]
    row_side, column_side = FIRST_ROW_AND_COLUMN[orientation]
    stored = np.empty((width, height, 3) if row_side in ("left", "right") else upright.shape, dtype=np.uint8)
    for row, column in np.ndindex(stored.shape[:2]):
        place = {}
        for side, index in ((row_side, row), (column_side, column)):
            axis, last = ("y", height - 1) if side in ("top", "bottom") else ("x", width - 1)
            place[axis] = index if side in ("top", "left") else last - index
        stored[row, column] = upright[place["y"], place["x"]]
    return stored


def exif(orientation):
    tags = Image.Exif()
    tags[274] = orientation
    return tags.tobytes()


def late(content, *chunks):
    return content[:-12] + b"".join(chunks) + content[-12:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "late.png", "xmp.png", "webp", "tif", "lzw.tif"])
def test_pictures_are_turned_upright(tmp_path, kind, orientation):
    stored = as_stored(BLOCKS if kind == "jpg" else NOISE, orientation)
    plain = encoded(stored, "png")
    xmp = f'<x xmlns:tiff="t" tiff:Orientation="{orientation}"/>'.encode()
    content = {
        "jpg": lambda: encoded(stored, "jpg", quality=100, subsampling=0, exif=exif(orientation)),
        "png": lambda: encoded(stored, "png", exif=exif(orientation)),
        "late.png": lambda: late(plain, chunk(b"eXIf", exif(orientation)[6:])),
        "xmp.png": lambda: late(plain, chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp)),
        "webp": lambda: encoded(stored, "webp", lossless=True, exif=exif(orientation)),
        "tif": lambda: encoded(stored, "tif", tiffinfo={274: orientation}),
        "lzw.tif": lambda: encoded(stored, "tif", tiffinfo={274: orientation}, compression="tiff_lzw"),
    }[kind]()
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    upright = BLOCKS if kind == "jpg" else NOISE
    image = read_image(path)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= (1 if kind == "jpg" else 0)
    assert image.flags.c_contiguous
    assert image_size(path) == upright.shape[1::-1]


def test_an_orientation_out_of_range_is_none(tmp_path):
    for orientation in (0, 9, 200):
        (tmp_path / "a.png").write_bytes(encoded(NOISE, "png", exif=exif(orientation)))
        assert np.array_equal(read_image(tmp_path / "a.png"), NOISE)


def test_damaged_exif_does_not_lose_the_picture(tmp_path):
    data = encoded(BLOCKS, "jpg", quality=100, subsampling=0)
    broken = b"Exif\0\0" + b"no TIFF header"
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken + data[2:])
    with pytest.warns(DataWarning, match=r"a\.jpg: its EXIF data are damaged"):
        image = read_image(tmp_path / "a.jpg")
    assert np.abs(image.astype(int) - BLOCKS).max() <= 1


def test_pixels_of_a_photograph_are_those_of_another_decoder(tmp_path):
    y, x = np.mgrid[:97, :131]
    photo = np.stack([128 + 90 * np.sin(x / 9), 255 * y / 96, 128 + 90 * np.cos((x + y) / 13)], 2).astype(np.uint8)
    for quality in (50, 92):
        (tmp_path / "a.jpg").write_bytes(encode_image(photo, ".jpg", quality))
        other = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
        assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - other).max() <= 1


def test_a_thousand_broken_files_are_reported_and_nothing_else_happens(tmp_path):
    count, refused = collections.Counter(), collections.Counter()
    for kind, name, content in corrupt_images.corrupt_images():
        path = tmp_path / name
        path.write_bytes(content)
        count[kind] += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about metadata
            try:
                image = read_image(path)
                size = image_size(path)
            except ImageError as error:
                refused[kind] += 1
                message = str(error)
                assert message.startswith(f"{path}: ")
                assert len(message) > len(f"{path}: ") + 10
                assert "\n" not in message
            else:
                assert image.dtype == np.uint8
                assert image.shape == (size[1], size[0], 3)
        path.unlink()
    assert sum(count.values()) >= 1000
    assert len(count) >= 12
    for kind in count:
        if kind.startswith(corrupt_images.ALWAYS_BAD):
            assert refused[kind] == count[kind], kind
    assert refused["exif_jpg"] == 0
    assert all(refused[f"flipped_{kind}"] for kind in ("png", "webp", "gif", "tif"))


@pytest.mark.parametrize("size", [(20_000, 20_000), (65_535, 65_535), (8_001, 8_000), (1, 2**31 - 1)])
def test_bombs_are_refused_before_decoding(tmp_path, size):
    path = tmp_path / "a.png"
    path.write_bytes(png(size, 8, 2, b"no row at all"))
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match="more than the 64 million allowed; scale it down"):
            read(path)


def test_an_image_at_the_limit_is_admitted(tmp_path):
    (tmp_path / "a.png").write_bytes(png((MAX_PIXELS // 1000, 1000), 1, 0, bytes(1000 * (1 + MAX_PIXELS // 8000))))
    assert image_size(tmp_path / "a.png") == (MAX_PIXELS // 1000, 1000)


def test_what_is_no_image_at_all(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    for path, problem in {
        tmp_path / "missing.jpg": "no such file; check the path",
        tmp_path: "a folder",
        tmp_path / "a.txt": "not a JPEG, PNG",
        tmp_path / "a.txt" / "b": "cannot be read",
        "a\0.jpg": "null byte",
    }.items():
        for read in (read_image, image_size):
            with pytest.raises(ImageError, match=problem) as caught:
                read(path)
            assert caught.value.file == str(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6])
def test_floats_without_a_scale_are_refused(tmp_path, value):
    values = FLOAT.copy()
    values[2, 3] = value
    (tmp_path / "a.tif").write_bytes(tiff(values.tobytes(), SIZE, 32, sample_format=3))
    with pytest.raises(ImageError, match="not finite or above 65535"):
        read_image(tmp_path / "a.tif")


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_png_there_and_back(tmp_path_factory, width, height, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = tmp_path_factory.getbasetemp() / "there.PNG"
    write_image(path, image)
    assert np.array_equal(read_image(path), image)
    assert image_size(path) == (width, height)


def test_jpeg_quality_and_sampling(tmp_path):
    write_image(tmp_path / "a.jpg", BLOCKS)
    write_image(tmp_path / "b.jpeg", BLOCKS, quality=40)
    assert (tmp_path / "b.jpeg").stat().st_size < (tmp_path / "a.jpg").stat().st_size
    assert (tmp_path / "a.jpg").read_bytes() == encode_image(BLOCKS, ".JPG", 92)
    frame = (tmp_path / "a.jpg").read_bytes().partition(b"\xff\xc0")[2]
    assert frame[9] == 0x22  # two by two luminance samples for each of chrominance: 4:2:0
    assert frame[12] == frame[15] == 0x11


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_is_written_carries_pixels_only(suffix):
    content = encode_image(NOISE, suffix)
    if suffix == ".png":
        kinds, position = [], 8
        while position < len(content):
            (length,) = struct.unpack_from(">I", content, position)
            kinds.append(content[position + 4 : position + 8])
            position += 12 + length
        assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    else:
        assert b"Exif" not in content
        assert not any(marker in content[:600] for marker in (b"\xff\xe1", b"\xff\xe2", b"\xff\xed", b"\xff\xfe"))


def test_images_that_cannot_be_written(tmp_path):
    for name in ("a.gif", "a", "a.jpg.tmp"):
        with pytest.raises(ImageError, match=r"choose \.png or \.jpg"):
            write_image(tmp_path / name, NOISE)
    with pytest.raises(FidipError, match="create it first"):
        write_image(tmp_path / "missing" / "a.png", NOISE)
    for wrong in (NOISE / 255, NOISE[..., 0], NOISE[:0], np.dstack([NOISE, ALPHA])):
        with pytest.raises(ValueError, match="expected a uint8 image"):
            encode_image(wrong, ".png")
    assert list(tmp_path.iterdir()) == []


def test_threads_read_side_by_side_and_leave_the_warning_filters(tmp_path):
    for i in range(8):
        write_image(tmp_path / f"{i}.png", np.roll(NOISE, i))
    before, wrong = list(warnings.filters), []

    def work():
        for _ in range(5):
            wrong.extend(
                i for i in range(8) if not np.array_equal(read_image(tmp_path / f"{i}.png"), np.roll(NOISE, i))
            )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert warnings.filters == before
