"""Datasets and their splits: `load_dataset` reads a dataset file, a table of captions, or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unboxed.data.dataset_file import DatasetFile, RegionTable, expected_one_of
from unboxed.data.image_folder import ImageFolder, ImageSearch
from unboxed.data.readers.base import Reader
from unboxed.data.readers.caption_files import find_captions, folder_with
from unboxed.data.readers.tables import SUFFIXES, TableReader
from unboxed.errors import DatasetError, ImageError
from unboxed.types import Example

__all__ = ["Dataset", "RegionTable", "Split", "load_dataset"]


@dataclass(frozen=True, eq=False)
class Split:
    """The images of a split.

    Attributes:
        name: as in the dataset file.
        examples: at least one.
        missing: names that are listed and not stored.
        unreadable: image id -> why its file cannot be read as an image.
    """

    name: str
    examples: tuple[Example, ...]
    missing: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """One line: the number of images and captions, and of images that are left out."""
        captions = sum(len(example.captions) for example in self.examples)
        missing = f", {len(self.missing):,} listed but not stored" if self.missing else ""
        unreadable = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        images = f"{len(self.examples):,} image{'s' if len(self.examples) != 1 else ''}"
        return f"{self.name}: {images}, {captions:,} captions{missing}{unreadable}"

    def require_readable(self) -> None:
        """Raise an error if there is an unreadable image, for the option `--strict`.

        Raises:
            ImageError: the reason of the first one.
        """
        for reason in self.unreadable.values():
            raise ImageError(f"{reason} Without --strict it is skipped.")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset. Its annotations are read when a split is asked for.

    Attributes:
        path: the dataset file, table or folder.
        name: what reports call it.
        reader: the reader of its format.
        images: the folder of images; None when there are only features of them.
        keys: the arguments of the reader: its keys of the dataset file.
        exclude: image ids to leave out.
        regions: the models of the dataset that find its regions.
    """

    path: Path
    name: str
    reader: type[Reader]
    images: Path | None
    keys: Mapping[str, Any]
    exclude: frozenset[str] = frozenset()
    regions: RegionTable | None = None

    @property
    def format(self) -> str:
        """The format's name in a dataset file."""
        return self.reader.format

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names that `split` accepts. Annotations with splits of their own are read to learn them."""
        return self._opened.split_names

    @cached_property
    def _opened(self) -> Reader:
        return self.reader(ImageFolder(self.images, self.exclude), **self.keys)

    def require_images(self) -> None:
        """Raise an error unless the dataset has images to find regions in.

        Raises:
            DatasetError: the dataset has no images.
        """
        if self.images is None:
            raise DatasetError(
                f"{self.path} has no images to find regions in; let `images` name them, or make a store of "
                "features with `unboxed import` and name it with --regions."
            )

    def split(self, name: str) -> Split:
        """Read one split: its list, its captions and the headers of its images.

        Raises:
            DatasetError: no split of that name, no image of it stored, or a malformed list or annotation.
        """
        if name not in self.split_names:
            raise DatasetError(f"{self.path} has no split {name!r}; {expected_one_of(name, self.split_names)}")
        examples, search = self._opened.read(name)
        if not examples:
            raise DatasetError(self._no_images(name, search))
        return Split(name, examples, search.missing, search.unreadable)

    def _no_images(self, split: str, search: ImageSearch) -> str:
        if self.images is None:
            return f"Split {split!r} of {self.path} has no images; check its list, and `exclude`."
        unusable = [*search.missing, *search.unreadable]
        such_as = f", such as {', '.join(unusable[:3])}" if unusable else ""
        fix = (
            f"`images` of {self.path} names the folder that holds them."
            if self.path.suffix == ".toml"
            else "keep the captions in the folder of the images, or let `images` of a TOML file name it."
        )
        return (
            f"Split {split!r} lists {len(search.found) + len(unusable)} images, and none of them is stored in "
            f"{self.images}{such_as}; {fix}"
        )


def load_dataset(path: str | Path) -> Dataset:
    """Read a dataset file, a table of captions (`.csv`, `.jsonl`, `.json`) in the folder of its images, or a folder.

    A folder's `data.toml` is read if it has one; otherwise its captions are searched for. Paths in a dataset file are
    checked now; captions are read when a split is asked for.

    Raises:
        DatasetError: no such file, not TOML, an unknown or missing key, a path that does not exist.
    """
    path = Path(path)
    if path.is_dir() and not (path / "data.toml").is_file():
        found = find_captions(path)
        return Dataset(path, path.resolve().name, TableReader, found.images, {"annotations": found.captions})
    if path.is_dir():
        path = path / "data.toml"
    if not path.is_file():
        raise DatasetError(
            f"{path} does not exist; name a dataset's TOML file, a .csv, .jsonl or .json of captions, or a folder."
        )
    if path.suffix.lower() in SUFFIXES:
        return Dataset(path, path.stem, TableReader, folder_with(path.parent, path), {"annotations": path})
    file = DatasetFile(path)
    return Dataset(path, file.name, file.reader, file.images, file.keys, file.exclude, file.regions)
