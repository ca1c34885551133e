"""The images of a dataset: which of those that it lists are stored in its folder, and how large they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from unboxed.data.images import SUFFIXES, image_size
from unboxed.errors import DatasetError, ImageError

__all__ = ["UNKNOWN_SIZE", "ImageFolder", "ImageSearch", "StoredImage", "find_images", "without_suffix"]

UNKNOWN_SIZE = (1, 1)
"""(width, height) of an example whose image is not stored and whose annotation has no size. Boxes of its regions are
fractions of the image instead of pixels."""

_SUFFIXES = ("", *SUFFIXES, *(suffix.upper() for suffix in SUFFIXES))


@dataclass(frozen=True)
class StoredImage:
    """The file of an image, and its upright size in pixels."""

    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class ImageSearch:
    """The result of a search for a list of images. Each name is in exactly one of the three.

    Attributes:
        found: name -> image, in the order of the list.
        missing: names without a file.
        unreadable: name -> why its file cannot be read as an image.
    """

    found: dict[str, StoredImage]
    missing: tuple[str, ...]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class ImageFolder:
    """Where a dataset has its images.

    Attributes:
        path: the folder; None for a dataset of features without images.
        exclude: image ids to leave out.
    """

    path: Path | None
    exclude: frozenset[str] = frozenset()

    def find(self, names: Iterable[str]) -> ImageSearch:
        """Look for images by name, without those to leave out.

        Without a folder every image counts as found, with `UNKNOWN_SIZE` and a path that is no file.

        Raises:
            DatasetError: a name that leads out of the folder.
        """
        kept = [name for name in dict.fromkeys(names) if name not in self.exclude]
        if self.path is None:
            return ImageSearch({name: StoredImage(Path(name), *UNKNOWN_SIZE) for name in kept}, (), {})
        return find_images(self.path, kept)


def find_images(folder: Path, names: Iterable[str]) -> ImageSearch:
    """Look for images in a folder, by file name with or without its suffix; only headers are read.

    Raises:
        DatasetError: a name that leads out of the folder.
    """

    @cache  # one listing per folder is far cheaper than a look-up for each name with each suffix
    def listing(subfolder: Path) -> frozenset[str]:
        try:
            return frozenset(entry.name for entry in subfolder.iterdir())
        except OSError:  # no such folder, or a name that no folder can have
            return frozenset()

    found: dict[str, StoredImage] = {}
    missing: list[str] = []
    unreadable: dict[str, str] = {}
    for name in names:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or "\0" in name:
            raise DatasetError(f"The image {name!r} lies outside {folder}; name it relative to that folder.")
        subfolder = folder / parts.parent
        there = listing(subfolder)
        stored = next((parts.name + suffix for suffix in _SUFFIXES if parts.name + suffix in there), None)
        if stored is None:
            missing.append(name)
            continue
        try:
            width, height = image_size(subfolder / stored)
        except ImageError as error:
            unreadable[name] = str(error)
        else:
            found[name] = StoredImage(subfolder / stored, width, height)
    return ImageSearch(found, tuple(missing), unreadable)


def without_suffix(name: str) -> str:
    """`1000268201.jpg` -> `1000268201`; a name without the suffix of an image stays as it is."""
    return name[: -len(suffix)] if (suffix := Path(name).suffix).lower() in SUFFIXES and suffix else name
