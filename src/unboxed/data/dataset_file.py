"""Reads and checks the TOML file that describes a dataset.

    format = "flickr30k-entities"
    images = "photos"                   # paths are relative to this file
    annotations = "annotations.tar.gz"
    exclude = ["2851198725"]            # optional: image ids to leave out

    [splits]
    train = "train.txt"                 # one image id per line

Which keys a format has is declared by its reader. The guide is `docs/data.md`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.data import readers
from unboxed.data.image_folder import without_suffix
from unboxed.data.readers.base import Key, Reader
from unboxed.errors import DatasetError

__all__ = ["COMMON_KEYS", "DatasetFile", "RegionTable", "expected_one_of"]

COMMON_KEYS = ("format", "name", "images", "exclude", "regions")
"""The keys of all formats."""

_REGION_KEYS = ("detector", "segmenter", "backbone", "class_names")


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


class DatasetFile:
    """A dataset file. Every key is checked, and every path exists.

    Attributes:
        path: the file.
        reader: the reader of its format.
        name: `name`, or the name of the file (of its folder for `data.toml`).
        images: the folder of images; None when there are only features of them.
        exclude: image ids to leave out.
        keys: the keys of the reader with their values.
        regions: the optional models that find regions.

    Raises:
        DatasetError: not TOML, an unknown or missing key, a value of the wrong kind, a path that does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = _toml(path)
        self._check_known(self._content, [*COMMON_KEYS, *dict.fromkeys(name for name, _ in _keys_of_formats())])
        self.reader = self._reader()
        self._check_belonging()
        stem = path.stem if path.stem != "data" else path.resolve().parent.name
        self.name = self._text(self._content, "name") if "name" in self._content else stem
        self.images = self._images()
        self.keys = {
            key.name: self._value(key) for key in self.reader.keys if key.required or key.name in self._content
        }
        self.exclude = self._exclude()
        self.regions = self._regions()

    def _reader(self) -> type[Reader]:
        name = self._text(self._content, "format")
        known = {reader.format: reader for reader in readers.READERS}
        if name not in known:
            raise DatasetError(f"{self.path}: unknown format {name!r}; {expected_one_of(name, known)}")
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
        self._check_known(regions, _REGION_KEYS, "regions.")
        return RegionTable(**{key: self._existing(regions, key, "regions.") for key in regions})

    def _value(self, key: Key) -> Path | str | dict[str, Path]:
        if key.kind == "path":
            return self._existing(self._content, key.name)
        if key.kind == "text":
            return self._text(self._content, key.name)
        paths = self._content.get(key.name, {})
        if not isinstance(paths, dict) or (key.required and not paths):
            raise DatasetError(f"{self.path} needs a table [{key.name}] with {key.meaning}, such as {key.example}.")
        return {name: self._existing(paths, name, f"{key.name}.") for name in paths}

    def _check_known(self, table: Mapping[str, Any], known: Collection[str], prefix: str = "") -> None:
        for key in table:
            if key not in known:
                raise DatasetError(f"{self.path}: unknown key `{prefix}{key}`; {expected_one_of(key, known)}")

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
                f"{self.path}: `{prefix}{key}` points at {path.resolve()}, which does not exist; "
                f"correct `{prefix}{key}` (paths are relative to the file)."
            )
        return path


def expected_one_of(name: str, known: Iterable[str]) -> str:
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
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DatasetError(
            f"{path} is not valid TOML: {error}. Captions are read from .csv, .jsonl and .json, or from a folder."
        ) from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not a text file; name a dataset's TOML file, or a .csv or .jsonl.") from None
