"""Which of the images that a dataset lists are really there, and how large they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from unboxed.data.images import SUFFIXES, image_size
from unboxed.errors import DatasetError, ImageError

__all__ = ["ImageSearch", "StoredImage", "find_images", "without_suffix"]

_ENDINGS = ("", *SUFFIXES, *(suffix.upper() for suffix in SUFFIXES))


@dataclass(frozen=True)
class StoredImage:
    """A photograph's file and its upright size in pixels."""

    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class ImageSearch:
    """What became of a list of photographs: each name is in exactly one of the three.

    Attributes:
        found: name -> image, in the order of the list.
        missing: names without a file.
        unreadable: name -> what is wrong with its file.
    """

    found: dict[str, StoredImage]
    missing: tuple[str, ...]
    unreadable: dict[str, str]


def find_images(folder: Path, names: Iterable[str]) -> ImageSearch:
    """Look for images in a folder, by file name with or without its ending; only headers are read.

    Raises:
        DatasetError: a name that leads out of the folder.
    """

    @cache  # one listing per folder is far cheaper than asking for each name with each ending
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
        stored = next((parts.name + ending for ending in _ENDINGS if parts.name + ending in there), None)
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
    """`1000268201.jpg` -> `1000268201`; a name that does not end like an image stays as it is."""
    return name[: -len(suffix)] if (suffix := Path(name).suffix).lower() in SUFFIXES and suffix else name
