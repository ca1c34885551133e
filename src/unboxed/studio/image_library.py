"""The images that the studio can show, by id. Requests name images by their ids only, never by a path."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from unboxed.data.images import SUFFIXES, open_image, read_image
from unboxed.errors import ImageError, StudioError
from unboxed.runtime.confinement import leads_into
from unboxed.search.image_list import list_images
from unboxed.studio.concurrency import LRUCache
from unboxed.studio.options import Limits

__all__ = ["PICTURE_SIZES", "ImageLibrary", "LibraryImage", "encode_jpeg"]

PICTURE_SIZES = {"thumbnail": 480, "full": 1600}
"""Longest side in pixels of the JPEG pictures that are sent to the page."""

_THUMBNAILS = 600  # kept in memory, about 20 kB each


@dataclass(frozen=True)
class LibraryImage:
    """An image file, or an image at an address (`data.image_addresses`).

    Attributes:
        image_id: hash of its path, so that the id does not reveal the path.
        name: display name.
        path: of the image; never sent to a client.
        shape: width and height of the original, when the file holds a resized copy.
    """

    image_id: str
    name: str
    path: Path
    shape: tuple[int, int] | None = None


class ImageLibrary:
    """Image files by id.

    Args:
        limits: limits of the images that are opened.
        source: folder whose images, including those of its subfolders, are listed, or the file of a dataset; None lists
            none.

    Raises:
        StudioError: the folder does not exist or holds no image, or all images of the dataset are at URLs.
        DatasetError: the dataset cannot be read, or its images are no files.
    """

    def __init__(self, limits: Limits, source: Path | None = None) -> None:
        self._limits = limits
        self._images: dict[str, LibraryImage] = {}
        self._thumbnails: LRUCache[str, bytes] = LRUCache(_THUMBNAILS)
        self.listed: tuple[LibraryImage, ...] = ()
        if source is not None and source.is_file():
            images = [(image.path, image.original_size) for image in list_images(source).images.values()]
            if not images:
                raise StudioError(
                    f"The images of {source} are at URLs, and the studio lists files; copy the images, and name their "
                    "folder after --images."
                )
            root = Path(os.path.commonpath([path.absolute().parent for path, _ in images]))
            self.listed = tuple(self.add(p, p.absolute().relative_to(root).as_posix(), shape) for p, shape in images)
        elif source is not None:
            self.listed = tuple(self.add(source / name, name) for name in _listed_names(source))

    def add(self, path: Path, name: str, shape: tuple[int, int] | None = None) -> LibraryImage:
        """Add an image, or return the one of this path that was added before."""
        image_id = "p" + hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:24]
        shown = name.encode("utf-8", "replace").decode()  # file names may have bytes that are no text
        return self._images.setdefault(image_id, LibraryImage(image_id, shown, path, shape))

    def get(self, image_id: str) -> LibraryImage | None:
        """The image of an id; None for an id that no image has."""
        return self._images.get(image_id)

    def read(self, image: LibraryImage) -> tuple[bytes, Image.Image]:
        """The bytes of an image, and what is in them as upright RGB.

        Raises:
            ImageError: it cannot be read. The message has its name, not its path.
        """
        try:
            content = read_image(image.path)
        except ImageError:
            raise ImageError(
                f"The image {image.name} is no longer there, or cannot be read; choose another one."
            ) from None
        return content, open_image(content, max_pixels=self._limits.pixels, name=image.name)

    def picture(self, image: LibraryImage, size: str) -> bytes:
        """The image as a JPEG of one of `PICTURE_SIZES`, without its metadata.

        Raises:
            ImageError: it cannot be read.
        """
        content = self._thumbnails.get(image.image_id) if size == "thumbnail" else None
        if content is None:
            content = encode_jpeg(self.read(image)[1], PICTURE_SIZES[size])
            if size == "thumbnail":
                self._thumbnails.put(image.image_id, content)
        return content


def encode_jpeg(image: Image.Image, max_side: int) -> bytes:
    """An RGB image as a JPEG whose longest side has at most `max_side` pixels."""
    if max(image.size) > max_side:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    stream = BytesIO()
    image.save(stream, "JPEG", quality=86)
    return stream.getvalue()


def _listed_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise StudioError(f"{folder} {what}; name a folder of images, or a table of captions, after --images.")
    names = sorted(_image_names(folder))
    if not names and any(path.is_symlink() and path.suffix.lower() in SUFFIXES for path in folder.iterdir()):
        raise StudioError(
            f"The images in {folder} are links that lead out of it, which the studio does not follow; name the "
            "folder that they lead to, or copy them."
        )
    if not names:
        raise StudioError(f"{folder} holds no images ({', '.join(SUFFIXES)}); name another folder.")
    return names


def _image_names(folder: Path) -> Iterator[str]:
    """Paths of the images below `folder`, relative to it, without hidden files and links that lead out of it."""
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            if path.is_symlink() and not (path.exists() and leads_into(path, root)):
                continue
            yield path.relative_to(root).as_posix()
