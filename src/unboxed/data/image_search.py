"""The search for the images that a dataset lists: by exact name, then by the file that is meant."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from unboxed.data.image_addresses import is_url, url_path
from unboxed.data.image_files import image_files
from unboxed.data.image_names import ImageNames, spellings
from unboxed.data.images import SUFFIXES, UNKNOWN_SIZE, image_size
from unboxed.errors import DatasetError, ImageError

__all__ = ["ImageFolder", "ImageSearch", "StoredImage", "find_images", "name_in"]

_TRIED_SUFFIXES = ("", *SUFFIXES, *(suffix.upper() for suffix in SUFFIXES))
_HINTS = 10  # missing names, at most, for which a near file is searched


@dataclass(frozen=True)
class StoredImage:
    """The file of an image, and its upright size in pixels."""

    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class ImageSearch:
    """The result of a search for a list of images. Each name is in exactly one of the first three.

    Attributes:
        found: name -> image, in the order of the list.
        missing: names without a file.
        unreadable: name -> why its file cannot be read as an image.
        renamed: name -> the file that is meant, where no file has exactly this name.
        hints: name -> the near files of a missing name, as `there is b.jpg`.
    """

    found: dict[str, StoredImage]
    missing: tuple[str, ...]
    unreadable: dict[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)

    def of(self, names: Collection[str]) -> ImageSearch:
        """The part about some of the names, in the order of the whole list."""
        names = frozenset(names)
        return ImageSearch(
            {name: image for name, image in self.found.items() if name in names},
            tuple(name for name in self.missing if name in names),
            {name: reason for name, reason in self.unreadable.items() if name in names},
            {name: file for name, file in self.renamed.items() if name in names},
            {name: hint for name, hint in self.hints.items() if name in names},
        )


@dataclass(frozen=True)
class ImageFolder:
    """Where a dataset has its images.

    Attributes:
        path: the folder; None for a dataset of features without images.
        exclude: image ids to leave out.
    """

    path: Path | None
    exclude: frozenset[str] = frozenset()

    def find(self, names: Iterable[str], *, outside: bool = False) -> ImageSearch:
        """Look for images by name, without those to leave out.

        Without a folder every image counts as found, with `UNKNOWN_SIZE` and a path that is no file.

        Args:
            names: the names.
            outside: names may be paths out of the folder, as in a table of one's own.

        Raises:
            DatasetError: a name that leads out of the folder.
        """
        kept = [name for name in dict.fromkeys(names) if name not in self.exclude]
        if self.path is None:
            return ImageSearch({name: StoredImage(Path(name), *UNKNOWN_SIZE) for name in kept}, (), {})
        return find_images(self.path, {name: (name,) for name in kept}, outside=outside)


def find_images(folder: Path, names: Mapping[str, Collection[str]], *, outside: bool = False) -> ImageSearch:
    """Look for images in a folder, by file name with or without its suffix; only headers are read.

    A URL without a file of its name counts as found, with `UNKNOWN_SIZE`.

    A name without a file of exactly that name is matched to the file that it means, see `unboxed.data.image_names`.

    Args:
        folder: the folder.
        names: image -> the file names to look for, the likeliest first.
        outside: absolute paths and `..` may lead to images out of the folder.

    Raises:
        DatasetError: a name that leads out of the folder.
    """
    exact = ExactNames(folder, outside)
    files = {image: exact.first_of(choices) for image, choices in names.items()}
    renamed: dict[str, str] = {}
    hints: dict[str, str] = {}
    waiting = [image for image, file in files.items() if file is None]
    if waiting:
        index = ImageNames(name_in(folder, file) for file in image_files(folder))
        taken = {name_in(folder, file) for file in files.values() if file is not None}
        for choice in range(max(len(names[image]) for image in waiting)):
            wanted = {
                list(names[image])[choice]: image
                for image in waiting
                if files[image] is None and choice < len(names[image])
            }
            for name, match in index.match(wanted, taken).items():
                files[wanted[name]] = folder / match
                renamed[wanted[name]] = match
                taken.add(match)
        for image in waiting:
            files[image] = files[image] or next((url for name in names[image] if (url := url_path(name))), None)
        waiting = [image for image in waiting if files[image] is None]
        hints = {image: hint for image in waiting[:_HINTS] if (hint := index.hint(next(iter(names[image]), image)))}
    found: dict[str, StoredImage] = {}
    unreadable: dict[str, str] = {}
    for image, file in files.items():
        if file is None:
            continue
        try:
            found[image] = StoredImage(file, *(UNKNOWN_SIZE if is_url(file) else image_size(file)))
        except ImageError as error:
            unreadable[image] = str(error)
    return ImageSearch(found, tuple(waiting), unreadable, renamed, hints)


def name_in(folder: Path, file: Path) -> str:
    """The name of a file relative to a folder, with slashes; the absolute path of a file that lies elsewhere."""
    file, folder = Path(os.path.abspath(file)), Path(os.path.abspath(folder))  # noqa: PTH100, keeps links
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.as_posix()


class ExactNames:
    """The files of a folder by their exact names, with or without the suffix of an image."""

    def __init__(self, folder: Path, outside: bool = False) -> None:
        self._folder, self._outside = folder, outside

        @cache  # one listing per folder is far cheaper than a look-up for each name with each suffix
        def listing(subfolder: Path) -> frozenset[str]:
            try:
                return frozenset(entry.name for entry in subfolder.iterdir())
            except OSError:  # no such folder, or a name that no folder can have
                return frozenset()

        self._listing = listing

    def first_of(self, names: Iterable[str]) -> Path | None:
        """The file of the first name that has one.

        Raises:
            DatasetError: a name that leads out of the folder.
        """
        return next((file for name in names for form in spellings(name) if (file := self._file(form))), None)

    def _file(self, name: str) -> Path | None:
        parts = PurePosixPath(name)
        if "\0" in name or (".." in parts.parts and not self._outside):
            raise DatasetError(f"The image {name!r} lies outside {self._folder}; name it relative to that folder.")
        path = self._folder / parts
        if parts.is_absolute() or ".." in parts.parts:
            inside = name_in(self._folder, path)
            if not self._outside and PurePosixPath(inside).is_absolute():
                return None
            path = self._folder / inside
        there = self._listing(path.parent)
        stored = next((path.name + suffix for suffix in _TRIED_SUFFIXES if path.name + suffix in there), None)
        return None if stored is None else path.parent / stored
