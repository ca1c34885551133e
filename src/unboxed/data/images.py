"""Images on disk: safe decoding to upright RGB.

Images come from outside and may be damaged or hostile. Only the decoders of common image formats are used, and the
number of pixels is read from the header and checked before any pixel is decoded.
"""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from unboxed.data.image_addresses import is_address, read_address, require_image_bytes
from unboxed.data.png_text import is_text_error, without_text
from unboxed.errors import ImageError, plain_reason
from unboxed.runtime.freed_memory import release_freed_memory
from unboxed.runtime.memory import MemoryShare, prefetch_bytes
from unboxed.runtime.urls import url_of

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "UNKNOWN_SIZE",
    "image_size",
    "is_possible_size",
    "open_image",
    "opened_in_turn",
    "read_image",
    "require_decodable",
    "require_file",
    "without_suffix",
]

_LARGEST_SIDE = 1_000_000  # pixels

MAX_PIXELS = 100_000_000
"""An image of more pixels is refused; an RGB one of this size takes 300 MB."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
"""The decoders that are used, by Pillow's names; AVIF needs Pillow 11.3, and HEIF (HEIC) the extra `heic`."""

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".avif",
    ".heic",
    ".heif",
    ".jfif",
    ".jpe",
)
"""Suffixes of image files, the most common first."""

UNKNOWN_SIZE = (1, 1)
"""(width, height) of an example whose image is not stored and whose annotation has no size. Boxes of its regions are
fractions of the image instead of pixels."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {  # EXIF orientation -> the operation that turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_AXES = (5, 6, 7, 8)

_BYTES_PER_PIXEL = 9  # the image, and what decoding and turning it make besides
_LARGE = 1 << 26  # bytes of an image in work
_PIXELS = MemoryShare(prefetch_bytes)

_opening = threading.Lock()  # catch_warnings is not thread-safe, and extraction opens images from several threads


def open_image(
    source: str | Path | bytes | Image.Image | npt.NDArray[Any],
    *,
    max_pixels: int = MAX_PIXELS,
    name: str = "The given image",
) -> Image.Image:
    """The image as an upright RGB image, fully decoded and independent of its file.

    Transparent pixels are laid over white; 16-bit grey is scaled to 8 bits; of an animation, the first frame is used.

    Args:
        source: a file, an address (`data.image_addresses`), the bytes of a file, a PIL image, or a
            `uint8` array, `[H, W, 3]` in RGB or `[H, W]` in grey.
        max_pixels: limit for a file or the bytes of a file; at most `MAX_PIXELS`.
        name: the name in messages of an image that is not a file.

    Raises:
        ImageError: a missing or truncated file, no image at all, too many pixels, another kind of array.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _upright_rgb(source, name)
    limit = min(max_pixels, MAX_PIXELS)
    if isinstance(source, bytes):
        with _open_header(BytesIO(source), name, len(source), limit) as image:
            return _upright_rgb(image, name)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(
            f"{name} is a {type(source).__name__}; expected a path, a PIL image, or a uint8 array [H, W, 3] in RGB."
        )
    with _open_file(Path(source), limit) as image:
        return _upright_rgb(image, f"{source}")


@contextmanager
def opened_in_turn(content: bytes, name: str) -> Iterator[Image.Image]:
    """The result of `open_image` in a block, which waits while other threads have many pixels.

    The images in such blocks take at most an eighth of the memory budget (`runtime.memory`) together, or are one image.

    Args:
        content: the bytes of a file.
        name: of the image, for messages.

    Raises:
        ImageError: as `open_image`.
    """
    header = _open_header(BytesIO(content), name, len(content), MAX_PIXELS)
    width, height = header.size
    size = width * height * _BYTES_PER_PIXEL
    with _PIXELS.taken(size):
        if size >= _LARGE:
            release_freed_memory()  # each thread keeps that of its last image
        with header:
            image = _upright_rgb(header, name)
        yield image


def require_decodable(path: Path) -> None:
    """Raise an `ImageError` where `open_image` would; a JPEG is decoded at an eighth of its size, which is faster."""
    with _open_file(path, MAX_PIXELS) as image:
        image.draft(None, (max(image.width // 8, 1), max(image.height // 8, 1)))
        _upright_rgb(image, f"{path}")


def read_image(path: Path) -> bytes:
    """The bytes of an image file, or of what is at an address.

    Raises:
        ImageError: it cannot be read, or has more than 1 GB.
    """
    if is_address(path):
        return read_address(path)
    with _named_errors(path):
        require_file(path)
        return path.read_bytes()


def image_size(path: str | Path) -> tuple[int, int]:
    """The upright width and height in pixels, read from the file's header; no pixel is decoded.

    Raises:
        ImageError: as `open_image`, except for damage that only decoding finds.
    """
    with _open_file(Path(path), MAX_PIXELS) as image:
        width, height = image.size
        # Pillow gives a TIFF's size upright, and that of every other format as stored.
        if image.format != "TIFF" and _orientation(image) in _SWAPS_AXES:
            return height, width
        return width, height


def is_possible_size(width: int, height: int) -> bool:
    """Whether an annotation may give an image this size in pixels: above 0, and at most a million on each side."""
    return 0 < min(width, height) <= max(width, height) <= _LARGEST_SIDE


def without_suffix(name: str) -> str:
    """`1000268201.jpg` -> `1000268201`; a name without the suffix of an image stays as it is."""
    return name[: -len(suffix)] if (suffix := Path(name).suffix).lower() in SUFFIXES and suffix else name


def _open_file(path: Path, max_pixels: int) -> Image.Image:
    """A file whose header is read. Raises `ImageError` if it is missing, not an image, or too large."""
    if is_address(path):
        content = read_address(path)
        return _open_header(BytesIO(content), f"{path}", len(content), max_pixels)
    with _named_errors(path):
        require_file(path)
        return _open_header(path, f"{path}", path.stat().st_size, max_pixels)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Errors of the system in the block become an `ImageError` about the file."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist; check the path of the image.") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder; name one image in it.") from None
    except PermissionError:
        raise ImageError(f"{path} may not be read; change its permissions.") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ImageError(f"{path} cannot be read as an image ({plain_reason(error)}); fetch it again.") from error


def require_file(path: Path) -> None:
    """Raise an `ImageError` for a pipe, a socket or a device, which may be waited for forever, and for a huge file.

    Raises:
        OSError: there is no such path.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
        raise ImageError(f"{path} is a pipe, a socket or a device, and no file; name an image file.")
    require_image_bytes(about.st_size, path)


def _open_header(source: Path | BytesIO, name: str, size: int, max_pixels: int) -> Image.Image:
    name = url_of(name) or name
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit here replaces Pillow's; odd metadata is harmless
            image = _open(source)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Image.DecompressionBombError:
        raise ImageError(_too_large(name, "far more", max_pixels)) from None
    except UnidentifiedImageError:
        raise ImageError(_not_an_image(source, name, size)) from None
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise ImageError(f"{name} cannot be read as an image ({plain_reason(error)}); fetch it again.") from error
    try:
        _check_pixels(image, name, max_pixels)
    except ImageError:
        image.close()
        raise
    return image


def _open(source: Path | BytesIO) -> Image.Image:
    try:
        return Image.open(source, formats=_decoders())
    except ValueError as error:
        if not is_text_error(error):
            raise
        data = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        return Image.open(BytesIO(without_text(data)), formats=_decoders())


@cache
def _decoders() -> tuple[str, ...]:
    """Those of `FORMATS` that are installed."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _not_an_image(source: Path | BytesIO, name: str, size: int) -> str:
    """Why a file is not recognized as an image; of phones' formats, what reads them."""
    data = source.getvalue()[:64] if isinstance(source, BytesIO) else _first_bytes(source)
    brands = data[8:64] if data[4:8] == b"ftyp" else b""
    is_avif = b"avif" in brands or b"avis" in brands  # which may have the general brands of HEIC, too
    if "HEIF" not in _decoders() and not is_avif and any(brand in brands for brand in _HEIC_BRANDS):
        return (
            f"{name} is a HEIC (HEIF) image, which needs the extra `heic`; install it with "
            '`pip install "unboxed[heic]"`, or convert the image to JPEG.'
        )
    if "AVIF" not in _decoders() and is_avif:
        return f"{name} is an AVIF image, which needs Pillow 11.3 or newer; upgrade it, or convert the image to JPEG."
    if data.startswith(b"version https://git-lfs"):
        return f"{name} is a pointer of Git LFS in place of the image; fetch the images with `git lfs pull`."
    found = "is empty" if size == 0 else f"({size:,} bytes) is not an image, or its first bytes are damaged"
    return f"{name} {found}; expected {', '.join(FORMATS)}. Convert it or fetch it again."


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(64)


def _check_pixels(image: Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(_too_large(name, f"{width} x {height} = {width * height:,}", max_pixels))
    if width * height == 0:
        raise ImageError(f"{name} has no pixels ({width} x {height}).")


def _too_large(name: str, pixels: str, max_pixels: int = MAX_PIXELS) -> str:
    return f"{name} has {pixels} pixels, the limit is {max_pixels:,}; store a smaller copy of it."


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 if there is none or it is damaged, because the pixels may still be good."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # on damaged EXIF data, the parser raises nearly anything
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    _check_pixels(image, name)
    if image.mode == "F":
        raise ImageError(f"{url_of(name) or name} has floating-point pixels; save it with 8 or 16 bits.")
    try:
        try:
            image.load()
        except ValueError as error:
            if not is_text_error(error):  # text that follows the pixels, which are decoded by then
                raise
            image.load()
        # After load(): Pillow turns a TIFF upright while it decodes it, and then drops the tag.
        orientation = _orientation(image)
        image = _rgb(image)
        turn = _UPRIGHT.get(orientation)
        upright = image if turn is None else image.transpose(turn)
        upright.info = {}  # without the orientation, which would turn the image a second time
        return upright
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise ImageError(
            f"{url_of(name) or name} is truncated or damaged ({plain_reason(error)}); fetch it again or leave it out."
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255 instead of scaling
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray((grey.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not is_image or array.size == 0:
        raise ImageError(
            f"An array of {array.dtype} {list(array.shape)} is no image; expected uint8 [H, W, 3] in RGB order, "
            "or uint8 [H, W] in grey. Convert values in [0, 1] by (values * 255).astype(numpy.uint8)."
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ImageError(_too_large("The given array", f"{array.shape[0] * array.shape[1]:,}"))
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
