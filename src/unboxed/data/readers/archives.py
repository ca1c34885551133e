"""The reader of tar files of WebDataset and of Parquet files with images, on a disk or at URLs, without unpacking them.

The files are read once for their captions; the images stay where they are (`unboxed.data.image_addresses`). An image is
named by its file and its own name, such as `train-0/000017.jpg`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from unboxed.data.image_addresses import is_url, matching_files, row_path
from unboxed.data.image_files import left_out_lines
from unboxed.data.image_search import ImageFolder, ImageSearch
from unboxed.data.images import UNKNOWN_SIZE
from unboxed.data.readers.base import Key, Reader, bare_caption
from unboxed.data.readers.huggingface import cells_of_images, splits_of_paths, texts_of
from unboxed.data.readers.parquet import image_column
from unboxed.data.readers.tables import hold_out
from unboxed.data.readers.webdataset import tar_images
from unboxed.errors import CaptionError, DatasetError
from unboxed.types import Example

__all__ = ["ArchiveReader", "names_archives"]

_SUFFIXES = (".tar", ".parquet")


def names_archives(path: Path) -> bool:
    """Whether a path names tar or Parquet files by a URL or a pattern with `*`, or is one with images."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES or is_url(path) or "*" in path.as_posix():
        return suffix in _SUFFIXES
    return suffix == ".tar" or (path.is_file() and image_column(path) is not None)


class _Listed(NamedTuple):
    """The examples by name, the names of images without captions, and the file of each example."""

    examples: dict[str, Example]
    bare: list[str]
    file_of: dict[str, Path]


class ArchiveReader(Reader):
    """Reads images with captions out of tar and Parquet files."""

    format = "archives"
    title = "tar files of WebDataset, or Parquet files with images, which stay packed"
    keys = (Key("archives", "a file, or several by a pattern such as `s3://bucket/*.tar`", "location", required=True),)
    splits = "those that all names of files name, or a tenth held out as `val`"
    images = "none"
    packed = True

    def __init__(self, folder: ImageFolder, archives: Path) -> None:
        super().__init__(folder)
        self._pattern = archives

    @property
    def split_names(self) -> tuple[str, ...]:
        """Those that the names of the files name, or `train` and `val`."""
        return tuple(dict.fromkeys(self._split_of.values()))

    @property
    def notes(self) -> tuple[str, ...]:
        """A line about images without captions, which are left out."""
        return tuple(left_out_lines({"without a caption": self._listed.bare}, "image"))

    def read(self, split: str) -> tuple[tuple[Example, ...], ImageSearch]:
        """The examples of a split. Their sizes are unknown until their regions are found."""
        examples = (example for name, example in self._listed.examples.items() if self._split_of[name] == split)
        return tuple(examples), ImageSearch({}, (), {})

    @cached_property
    def _files(self) -> list[Path]:
        return matching_files(self._pattern)

    @cached_property
    def _split_of(self) -> dict[str, str]:
        """Image -> split."""
        examples, _, file_of = self._listed
        folder = next(part for part in (self._pattern, *self._pattern.parents) if "*" not in part.as_posix())
        folder = folder.parent if folder == self._pattern else folder
        splits = splits_of_paths([file.relative_to(folder).as_posix() for file in self._files])
        if not all(splits):
            return hold_out(examples)
        of_file = dict(zip(self._files, splits, strict=True))
        return {name: of_file[file_of[name]] or "train" for name in examples}

    @cached_property
    def _listed(self) -> _Listed:
        found: dict[str, Example] = {}
        bare: list[str] = []
        file_of: dict[str, Path] = {}
        free: dict[tuple[str, str], int] = {}  # the least number that may be free for the next image of a name
        for file, image, path, captions in self._images():
            number = free.get((file.stem, image), 1)
            while (name := _name(file, image, number)) in found:
                number += 1
            free[file.stem, image] = number
            texts = texts_of(captions)
            if not texts:
                bare.append(name)
            elif name not in self.folder.exclude:
                try:
                    found[name] = Example(name, path, tuple(map(bare_caption, texts)), *UNKNOWN_SIZE)
                except CaptionError as error:
                    raise DatasetError(f"{file}: {image}: {error}") from None
                file_of[name] = file
        if not found:
            raise DatasetError(
                f"{self._pattern} has no images with captions; expected the tar files of WebDataset, in which 1.txt or "
                "1.json is beside 1.jpg, or Parquet files with the columns `image` and `caption`."
            )
        return _Listed(found, bare, file_of)

    def _images(self) -> Iterator[tuple[Path, str, Path, Any]]:
        """The file, the name, the path and the captions of each image."""
        for file in self._files:
            if file.suffix.lower() == ".tar":
                for name, path, captions in tar_images(file):
                    yield file, name.removeprefix("./").lstrip("/"), path, captions
            else:
                for row, (given, captions) in enumerate(cells_of_images(file)):
                    name = given or f"{row:08d}.jpg"
                    yield file, name, row_path(file, row, name), captions


def _name(file: Path, image: str, number: int) -> str:
    """The name of an image that is number `number` of its name in its file."""
    return f"{file.stem}/{image}" if number == 1 else f"{file.stem}/{number}/{image}"
