"""The images that the studio shows: each has an id, and a request can name nothing but ids."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from unboxed.data.images import SUFFIXES, open_image
from unboxed.errors import ImageError, StudioError
from unboxed.studio.limits import Limits, Recent

__all__ = ["SIZES", "ImageLibrary", "LibraryImage", "encoded"]

SIZES = {"thumbnail": 480, "full": 1600}
"""Longest side in pixels of the pictures that are sent."""

_THUMBNAILS = 600  # kept in memory, about 20 kB each


@dataclass(frozen=True)
class LibraryImage:
    """An image of this machine.

    Attributes:
        photo_id: made from its path, and nothing can be read from it.
        name: what people call it.
        path: never leaves the service.
        shape: width and height that it is looked at in, when it was stored in another shape.
    """

    photo_id: str
    name: str
    path: Path
    shape: tuple[int, int] | None = None


class ImageLibrary:
    """Images by id.

    Args:
        limits: of what is opened.
        folder: whose images, its subfolders' too, can be picked from a list; None for no list.

    Raises:
        StudioError: no such folder, or no image in it.
    """

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        self._limits = limits
        self._images: dict[str, LibraryImage] = {}
        self._pictures: Recent[tuple[str, str], bytes] = Recent(_THUMBNAILS)
        self.listed: tuple[LibraryImage, ...] = ()
        if folder is not None:
            if not folder.is_dir():
                raise StudioError(f"{folder} is not a folder; name one with images after --photos.")
            names = sorted(_images(folder))
            if not names:
                raise StudioError(f"{folder} holds no images ({', '.join(SUFFIXES)}); name another folder.")
            self.listed = tuple(self.add(folder / name, name) for name in names)

    def add(self, path: Path, name: str, shape: tuple[int, int] | None = None) -> LibraryImage:
        """Put an image on the shelf, or find it there."""
        photo_id = "p" + hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:24]
        return self._images.setdefault(photo_id, LibraryImage(photo_id, name, path, shape))

    def get(self, photo_id: str) -> LibraryImage | None:
        """The image of an id; None for an id that was never given out."""
        return self._images.get(photo_id)

    def open(self, photo: LibraryImage) -> Image.Image:
        """Decode an image.

        Raises:
            ImageError: it cannot be read; the message does not say where it lies.
        """
        try:
            content = photo.path.read_bytes()
        except OSError:
            raise ImageError(f"The image {photo.name} is no longer there; choose another one.") from None
        return open_image(content, max_pixels=self._limits.pixels, name=photo.name)

    def picture(self, photo: LibraryImage, size: str) -> bytes:
        """The image as a JPEG of one of `SIZES`, without its metadata.

        Raises:
            ImageError: it cannot be read.
        """
        known = self._pictures.get((photo.photo_id, size))
        if known is not None:
            return known
        content = encoded(self.open(photo), SIZES[size])
        if size == "thumbnail":
            self._pictures.put((photo.photo_id, size), content)
        return content


def encoded(image: Image.Image, longest: int) -> bytes:
    """An RGB image as a JPEG whose longest side is at most `longest` pixels."""
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=2.0)
    stream = BytesIO()
    image.save(stream, "JPEG", quality=86)
    return stream.getvalue()


def _images(folder: Path) -> Iterator[str]:
    """Names below `folder` of its images; links that lead out of it and hidden files are left out."""
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                continue
            yield path.relative_to(root).as_posix()
