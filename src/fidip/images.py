"""Pictures read as they are meant to be seen, and written whole: RGB, 8 bits, (H, W, 3)."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from fidip.errors import DataError, DataWarning, ImageError
from fidip.files import unreadable, write_bytes

RGBImage = NDArray[np.uint8]
"""(H, W, 3), red first."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Only these are ever opened: every other decoder of Pillow is surface for hostile files and nothing else."""

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""By which a photo is told in a folder."""

MAX_PIXELS = 64_000_000
"""Checked before decoding, so that a small file cannot fill the memory."""

ENCODERS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "compress_level": 3},
    ".jpg": {"format": "JPEG", "quality": 92, "subsampling": "4:2:0"},
    ".jpeg": {"format": "JPEG", "quality": 92, "subsampling": "4:2:0"},
}

# What turns a picture upright, by EXIF orientation (EXIF 2.32, tag 0x0112); 1 is upright already.
_TURNS: dict[int, Callable[[RGBImage], RGBImage]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0

_WARNING_FILTERS = threading.Lock()  # Python keeps them for the whole process


def read_image(path: Path | str) -> RGBImage:  # (H, W, 3)
    """Read a picture upright (EXIF orientation applied), in RGB, over white where it is transparent.

    16-bit grey is scaled by its bit depth; 32-bit integers and floats, which carry none, by the smallest of 1 (floats
    only), 255 and 65535 that holds their maximum. Of an animation the first frame is read.

    Raises:
        ImageError: the file is missing, truncated, damaged, of another format, or larger than ``MAX_PIXELS``.
    """
    with _opened(path) as (image, _):
        image.load()
        orientation = _orientation(image, path)
        pixels = _to_rgb(image, path)
        return np.ascontiguousarray(_TURNS[orientation](pixels)) if orientation in _TURNS else pixels


def read_levels(path: Path | str) -> NDArray[np.uint16]:  # (H, W)
    """Read grey values of 8 or 16 bits as they are stored, unscaled: a depth picture in millimetres, for instance.

    Raises:
        ImageError: the file cannot be read, is in colour, or holds other numbers than 0 to 65535.
    """
    with _opened(path) as (image, _):
        image.load()
        values: NDArray[Any] = np.asarray(image)
        if values.ndim != 2 or image.mode == "P" or values.dtype.kind not in "ui":
            raise ImageError(path, f"expected whole grey values, found mode {image.mode}")
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 65535:
            raise ImageError(path, "holds values beyond 16 bits")
        return values.astype(np.uint16)


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder in the order of their names.

    A photo is told by its suffix; hidden files are none: macOS leaves a ``._photo.jpg`` beside each on foreign disks.

    Raises:
        DataError: no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise DataError(folder, "", "no such folder; name a folder of photos")
    photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES and not p.name.startswith("."))
    if not photos:
        raise DataError(folder, "", f"no photo in this folder ({', '.join(PHOTO_SUFFIXES)})")
    return photos


def image_size(path: Path | str) -> tuple[int, int]:
    """Width and height of the picture that ``read_image`` returns, from the header alone. Raises ``ImageError``."""
    with _opened(path) as (image, stream):
        if image.format == "PNG" and _text_follows_pixels(stream):
            image.load()
        width, height = image.size
        return (height, width) if _orientation(image, path) >= 5 else (width, height)


def grey_thumbnail(path: Path | str, side: int) -> NDArray[np.uint8]:  # (side, side)
    """A picture upright, in grey and shrunk by area to a square, whatever its shape; JPEG is decoded small.

    Raises:
        ImageError: as ``read_image``.
    """
    with _opened(path) as (image, _):
        if image.format == "JPEG" and image.mode in ("L", "RGB"):
            image.draft("L", (4 * side, 4 * side))
        image.load()
        orientation = _orientation(image, path)
        plain = image.mode in ("L", "RGB") and "transparency" not in image.info
        small = _shrunk(image if plain else Image.fromarray(_to_rgb(image, path)), side)
        return np.ascontiguousarray(_TURNS[orientation](small)) if orientation in _TURNS else small


def grey_shrunk(pixels: RGBImage, side: int) -> NDArray[np.uint8]:  # (H, W, 3) -> (side, side)
    """The same of pixels at hand."""
    return _shrunk(Image.fromarray(pixels), side)


def _shrunk(image: Image.Image, side: int) -> NDArray[np.uint8]:  # (side, side)
    return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX))


def write_image(path: Path | str, image: RGBImage, quality: int | None = None) -> None:  # (H, W, 3)
    """Write a PNG or JPEG, chosen by the suffix, atomically and without metadata.

    Raises:
        ImageError: the suffix is neither ``.png`` nor ``.jpg`` or ``.jpeg``.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in ENCODERS:
        raise ImageError(path, f"cannot be written as {path.suffix or 'a file without a suffix'}; choose .png or .jpg")
    write_bytes(path, encode_image(image, path.suffix, quality))


def encode_image(image: RGBImage, suffix: str, quality: int | None = None) -> bytes:  # (H, W, 3)
    """The bytes of a PNG or JPEG file (4:2:0, quality 92 unless told); the same image gives the same bytes."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected a uint8 image (H, W, 3), found {image.dtype} {image.shape}")
    options = ENCODERS[suffix.lower()] | ({} if quality is None else {"quality": quality})
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, **options)
    return stream.getvalue()


@contextmanager
def _opened(path: Path | str) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """An image of an admissible size, its pixels not yet decoded; whatever goes wrong in the block is an ImageError."""
    try:
        with Path(path).open("rb") as stream:
            with _WARNING_FILTERS, warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on metadata
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(stream, formats=FORMATS)
            with image:
                if min(image.size) < 1:
                    raise ImageError(path, f"an image of {image.width} x {image.height} pixels")
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(path, _too_large(f"{image.width} x {image.height} pixels"))
                yield image, stream
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their parsing stumbles on
        raise ImageError(path, _reason(path, error)) from error


def _reason(path: Path | str, error: Exception) -> str:
    match error:
        case UnidentifiedImageError():
            return "not a JPEG, PNG, WebP, BMP, TIFF or GIF image, or damaged at its very start"
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return _too_large("too many pixels")
        case MemoryError():
            return "does not fit in memory; scale it down"
        case OSError(errno=int()):
            return unreadable(path, error).problem
    return f"damaged or not supported: {' '.join(str(error).split()) or type(error).__name__}"


def _too_large(found: str) -> str:
    return f"{found}, more than the {MAX_PIXELS // 1_000_000} million allowed; scale it down"


def _orientation(image: Image.Image, path: Path | str) -> int:
    """The EXIF orientation that is still to be applied, 1 to 8."""
    if image.format == "TIFF":  # Pillow turns these itself
        return 1
    try:
        # Parsed anew, since Pillow has swallowed what went wrong when it did so itself. Where there is no EXIF, XMP may
        # hold it; PNG's own getexif decodes the whole image to look for text behind the pixels, hence the base class's.
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ExifTags.Base.Orientation) or Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except Exception:
        warnings.warn(DataWarning(f"{path}: its EXIF data are damaged; read as if upright"), stacklevel=3)
        return 1
    return orientation if orientation in _TURNS else 1


def _text_follows_pixels(stream: BinaryIO) -> bool:
    """Whether a PNG holds EXIF or text behind its pixels, where an orientation may hide."""
    start, behind = stream.tell(), False
    stream.seek(8)
    while len(header := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if behind and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            break
        behind = behind or kind == b"IDAT"
        stream.seek(length + 4, io.SEEK_CUR)
    stream.seek(start)
    return len(header) == 8


def _to_rgb(image: Image.Image, path: Path | str) -> RGBImage:
    if image.mode.startswith(("I", "F")):
        return _wide_to_rgb(image, path)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        background.alpha_composite(image)
        image = background
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _wide_to_rgb(image: Image.Image, path: Path | str) -> RGBImage:
    """Grey values of more than 8 bits, which Pillow's own conversion clips to white instead of scaling."""
    values: NDArray[Any] = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        top = 2 ** tags.get(_TIFF_BITS, (16,))[0] - 1
    else:
        high = values.max()
        tops = [top for top in (1, 255, 65535) if high <= top and (top > 1 or image.mode == "F")]
        if not tops or not np.isfinite(values).all():
            raise ImageError(path, "holds values that are not finite or above 65535; save it with 8 or 16 bits")
        top = tops[0]
    scaled = values.astype(np.float32) * np.float32(255 / top)
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 255 - scaled
    if "transparency" in image.info:
        scaled[values == image.info["transparency"]] = 255
    levels = np.clip(scaled + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)
