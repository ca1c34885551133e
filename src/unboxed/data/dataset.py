"""Datasets and their splits: `load_dataset` reads a dataset file, a table of captions, or a folder.

A dataset file is TOML. Which keys a format has is declared by its reader; the guide is `docs/data.md`.

    format = "flickr30k-entities"
    images = "photos"                   # paths are relative to this file
    annotations = "annotations.tar.gz"
    exclude = ["2851198725"]            # optional: image ids to leave out

    [splits]
    train = "train.txt"                 # one image id per line
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from unboxed.data import readers
from unboxed.data.image_addresses import url_path
from unboxed.data.image_search import ImageFolder, ImageSearch
from unboxed.data.images import without_suffix
from unboxed.data.readers.archives import ArchiveReader, names_archives
from unboxed.data.readers.base import Key, Reader
from unboxed.data.readers.caption_files import TABLE_SUFFIXES, find_captions, folder_with, no_table
from unboxed.data.readers.tables import TableReader
from unboxed.data.split import ALL, Split, every_image
from unboxed.data.split_names import split_meant
from unboxed.errors import DatasetError
from unboxed.runtime.confinement import is_file_name
from unboxed.runtime.progress import counted
from unboxed.runtime.toml_file import read_toml
from unboxed.runtime.urls import refuse_url, url_of

__all__ = ["COMMON_KEYS", "Dataset", "RegionTable", "Split", "load_dataset"]

COMMON_KEYS = ("format", "name", "images", "exclude", "regions")
"""The keys of all formats."""

_LONGEST_NAME = 100  # characters of a name in a message


@dataclass(frozen=True)
class RegionTable:
    """The models of a dataset that find its regions: the optional `[regions]` of the TOML file.

    Attributes:
        detector, segmenter, backbone: ONNX files.
        class_names: a text file, one class of the detector per line.
    """

    detector: Path | None = None
    segmenter: Path | None = None
    backbone: Path | None = None
    class_names: Path | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset. Its annotations are read when a split is first used.

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
    def files(self) -> tuple[Path, ...]:
        """The dataset file, table or folder, and the files and folders that it names."""
        values = [value.values() if isinstance(value, dict) else [value] for value in self.keys.values()]
        return (self.path, *(file for several in values for file in several if isinstance(file, Path)))

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names of the splits. Annotations with splits of their own are read to learn them.

        Raises:
            DatasetError: a name that cannot be a part of a file name, such as `../test`.
        """
        for name in self._opened.split_names:
            if not is_file_name(name):
                raise DatasetError(
                    f"{self.path} has a split {name!r}; reports are named by splits, so give it a name of letters, "
                    "digits, - and _."
                )
        return self._opened.split_names

    def find_split(self, name: str) -> str | None:
        """The one of `split_names` that a name means, as `validation` means `val`; None if there is none."""
        return split_meant(name, self.split_names)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines about annotations that are left out, such as rows without a caption. Reads the annotations."""
        return self._opened.notes

    @cached_property
    def _opened(self) -> Reader:
        return self.reader(ImageFolder(self.images, self.exclude), **self.keys)

    def require_images(self) -> None:
        """Raise an error unless the dataset has images to find regions in.

        Raises:
            DatasetError: the dataset has no images.
        """
        if self.images is None and not self.reader.packed:
            raise DatasetError(
                f"{self.path} has no images to find regions in; let `images` name them, or make a store of "
                "features with `unboxed import` and name it with --regions."
            )

    def require_image_files(self) -> Path:
        """The folder of images, for what needs their files.

        Raises:
            DatasetError: the dataset has no images, or they are packed.
        """
        self.require_images()
        if self.images is None:
            raise DatasetError(
                f"The images of {url_of(self.path) or self.path} are packed, and this command needs files; unpack them "
                "into a folder."
            )
        return self.images

    def split(self, name: str) -> Split:
        """Read one split: its list, its captions and the headers of its images.

        Args:
            name: one of `split_names`, or another name of it: `train`, `training`; `val`, `validation`, `valid`, `dev`,
                `eval`; `test`, `testing`. `all` is every image, under the captions of its first split.

        Raises:
            DatasetError: no split of that name, no image of it stored, or a malformed list or annotation.
        """
        found = self.find_split(name)
        if found is None and name == ALL:
            return every_image([self.split(each) for each in self.split_names])
        if found is None:
            names = (*self.split_names, ALL)
            raise DatasetError(f"{self.path} has no split {name!r}; {_expected_one_of(name, names)}")
        examples, search = self._opened.read(found)
        if not examples:
            raise DatasetError(self._no_images(found, search))
        return Split(found, examples, search.missing, search.unreadable, search.renamed, search.hints)

    def _no_images(self, split: str, search: ImageSearch) -> str:
        if self.images is None:
            return f"Split {split!r} of {self.path} has no images; check its list, and `exclude`."
        reasons = list(search.unreadable.values())
        if reasons and not search.missing:
            return f"Split {split!r} lists {counted(len(reasons), 'image')}, and none of them can be read: {reasons[0]}"
        unusable = [*search.missing, *search.unreadable]
        hint = next((f" ({hint})" for hint in search.hints.values()), "")
        such_as = f", such as {', '.join(map(_shortened, unusable[:3]))}{hint}" if unusable else ""
        fix = (
            f"`images` of {self.path} names the folder that holds them."
            if self.path.suffix == ".toml"
            else "keep the captions in the folder of the images, or let `images` of a TOML file name it."
        )
        listed = counted(len(search.found) + len(unusable), "image")
        return f"Split {split!r} lists {listed}, and none of them is stored in {self.images}{such_as}; {fix}"


def load_dataset(path: str | Path) -> Dataset:
    """Read a dataset file, a table of captions with its images in the same folder or near it, a folder, or archives.

    A folder's `data.toml` is read if it has one; otherwise its captions are searched for. Paths in a dataset file are
    checked now; captions are read when a split is first used.

    Raises:
        DatasetError: no such file, not TOML, an unknown or missing key, a path that does not exist.
    """
    path = Path(path)
    if names_archives(path):
        return Dataset(path, path.stem, ArchiveReader, None, {"archives": path})
    refuse_url(path, "A dataset's file, table or folder", DatasetError)
    if path.is_dir() and not (path / "data.toml").is_file():
        found = find_captions(path)
        return Dataset(path, path.resolve().name, TableReader, found.images, {"annotations": found.captions})
    if path.is_dir():
        path = path / "data.toml"
    if not path.exists():
        raise DatasetError(
            f"{path} does not exist; name a dataset's TOML file, a table of captions "
            f"({', '.join(TABLE_SUFFIXES)}), or a folder."
        )
    if not path.is_file():
        raise DatasetError(f"{path} is a pipe, a socket or a device, and no file; save the captions in a file.")
    if path.suffix.lower() in TABLE_SUFFIXES:
        return Dataset(path, path.stem, TableReader, folder_with(path.parent, path), {"annotations": path})
    if path.suffix.lower() != ".toml":
        raise DatasetError(no_table(path))
    return _DatasetFile(path).dataset()


class _DatasetFile:
    """A dataset file whose keys are known and belong to its format. `dataset` checks their values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = _toml(path)
        self._check_known(self._content, [*COMMON_KEYS, *dict.fromkeys(name for name, _ in _keys_of_formats())])
        self.reader = self._reader()
        self._check_belonging()

    def dataset(self) -> Dataset:
        stem = self.path.stem if self.path.stem != "data" else self.path.resolve().parent.name
        return Dataset(
            path=self.path,
            name=self._text(self._content, "name") if "name" in self._content else stem,
            reader=self.reader,
            images=self._images(),
            keys={key.name: self._value(key) for key in self.reader.keys if key.required or key.name in self._content},
            exclude=self._exclude(),
            regions=self._regions(),
        )

    def _reader(self) -> type[Reader]:
        name = self._text(self._content, "format")
        known = {reader.format: reader for reader in readers.READERS}
        if name not in known:
            raise DatasetError(f"{self.path}: unknown format {name!r}; {_expected_one_of(name, known)}")
        return known[name]

    def _check_belonging(self) -> None:
        """Refuses keys that other formats have and this one does not."""
        names = {*COMMON_KEYS, *(key.name for key in self.reader.keys)}
        for key in self._content:
            owners = [owner for name, owner in _keys_of_formats() if name == key]
            if key in names:
                continue
            if key == "splits":
                problem = f"format {self.reader.format!r} brings its own splits; remove [splits]."
            elif len(owners) == 1:
                problem = f"`{key}` belongs to format {owners[0]!r}; remove it."
            else:
                problem = f"format {self.reader.format!r} names its captions under [splits]; remove `{key}`."
            raise DatasetError(f"{self.path}: {problem}")

    def _images(self) -> Path | None:
        required = self.reader.images == "required"
        if self._content.get("images") is False or ("images" not in self._content and not required):
            return None
        if self.reader.images == "none":
            raise DatasetError(f"{self.path}: format {self.reader.format!r} does not name its images; remove `images`.")
        images = self._existing(self._content, "images", absent=", or images = false when you have features only")
        if not images.is_dir():
            raise DatasetError(f"{self.path}: `images` is {images}, which is not a folder.")
        return images

    def _exclude(self) -> frozenset[str]:
        exclude = self._content.get("exclude", [])
        if not isinstance(exclude, list) or not all(isinstance(image_id, str) for image_id in exclude):
            raise DatasetError(f'{self.path}: `exclude` is {exclude!r}; expected a list of image ids in quotes, ["1"].')
        return frozenset(exclude if self.reader.ids_have_suffix else map(without_suffix, exclude))

    def _regions(self) -> RegionTable | None:
        if "regions" not in self._content:
            return None
        regions = self._content["regions"]
        if not isinstance(regions, dict):
            raise DatasetError(f"{self.path}: `regions` is {regions!r}; expected a table [regions].")
        self._check_known(regions, [key.name for key in fields(RegionTable)], "regions.")
        return RegionTable(**{key: self._existing(regions, key, "regions.") for key in regions})

    def _value(self, key: Key) -> Path | str | dict[str, Path]:
        if key.kind == "path":
            return self._existing(self._content, key.name)
        if key.kind == "location":
            text = self._text(self._content, key.name)
            return url_path(text) or self.path.parent / text
        if key.kind == "text":
            return self._text(self._content, key.name)
        paths = self._content.get(key.name, {})
        if not isinstance(paths, dict) or (key.required and not paths):
            raise DatasetError(f"{self.path} needs a table [{key.name}] with {key.meaning}, such as {key.example}.")
        return {name: self._existing(paths, name, f"{key.name}.") for name in paths}

    def _check_known(self, table: Mapping[str, Any], known: Collection[str], prefix: str = "") -> None:
        for key in table:
            if key not in known:
                raise DatasetError(f"{self.path}: unknown key `{prefix}{key}`; {_expected_one_of(key, known)}")

    def _text(self, table: Mapping[str, Any], key: str, prefix: str = "", absent: str = "") -> str:
        if key not in table:
            raise DatasetError(f"{self.path} has no `{prefix}{key}`; add {key} = {'…'!r}{absent}.")
        value = table[key]
        if not isinstance(value, str) or not value:
            raise DatasetError(f"{self.path}: `{prefix}{key}` is {value!r}; expected text in quotes.")
        return value

    def _existing(self, table: Mapping[str, Any], key: str, prefix: str = "", absent: str = "") -> Path:
        path = self.path.parent / self._text(table, key, prefix, absent)
        if not path.exists():
            raise DatasetError(
                f"{self.path}: `{prefix}{key}` points at {os.path.abspath(path)}, which does not exist; "  # noqa: PTH100
                f"correct `{prefix}{key}` (paths are relative to the file)."
            )
        return path


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _expected_one_of(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is none of the known ones: the closest of them, and all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]!r}? Expected" if close else "expected"
    return f"{meant} one of: {', '.join(known)}."


def _keys_of_formats() -> list[tuple[str, str]]:
    """(key, format) for all formats."""
    return [(key.name, reader.format) for reader in readers.READERS for key in reader.keys]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not a text file; name a dataset's TOML file, or a .csv or .jsonl.") from None
    except ValueError as error:
        raise DatasetError(
            f"{path} is not valid TOML: {error}. Tables of captions end in {', '.join(TABLE_SUFFIXES)}."
        ) from None
