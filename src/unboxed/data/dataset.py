"""A dataset is named by a small TOML file; its photographs and annotations stay where they are.

    format = "flickr30k-entities"       # or "table"
    images = "photos"                   # paths are relative to this file
    annotations = "annotations.tar.gz"
    exclude = ["2851198725"]            # optional: image ids to leave out

    [splits]
    train = "train.txt"                 # one image id per line

The guide `docs/data.md` says the rest.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unboxed.data import flickr30k_entities, tables
from unboxed.data.photo_folder import PhotoSearch, find_photos, without_suffix
from unboxed.errors import DatasetError, PhotoError
from unboxed.types import Example

__all__ = ["FLICKR30K_ENTITIES", "TABLE", "Dataset", "RegionTable", "Split", "load_dataset"]

FLICKR30K_ENTITIES, TABLE = "flickr30k-entities", "table"
_FORMATS = (FLICKR30K_ENTITIES, TABLE)
_KEYS = ("format", "name", "images", "annotations", "exclude", "unrelated", "splits", "regions")
_REGION_KEYS = ("detector", "segmenter", "backbone", "class_names")


@dataclass(frozen=True)
class RegionTable:
    """The models that a dataset brings to find its regions: the optional `[regions]` of the TOML file.

    Attributes:
        detector, segmenter, backbone: ONNX files.
        class_names: a text file, one class of the detector per line.
    """

    detector: Path | None = None
    segmenter: Path | None = None
    backbone: Path | None = None
    class_names: Path | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """The photographs of a split, and what became of the rest of its list.

    Attributes:
        name: as in the dataset file.
        examples: at least one.
        missing: listed, but no file of that name is stored.
        unreadable: image id -> why its file cannot be read as a photograph.
    """

    name: str
    examples: tuple[Example, ...]
    missing: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """One line for people: how many photographs and captions, and what was left out."""
        captions = sum(len(example.captions) for example in self.examples)
        left_out = f", {len(self.missing):,} listed but not stored" if self.missing else ""
        unreadable = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        return f"{self.name}: {len(self.examples):,} photos, {captions:,} captions{left_out}{unreadable}"

    def require_readable(self) -> None:
        """Stop at the first photograph that cannot be read, if there is one: what `--strict` asks for.

        Raises:
            PhotoError: its reason.
        """
        for reason in self.unreadable.values():
            raise PhotoError(f"{reason} Without --strict it is skipped.")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as its file describes it; captions are read when a split is asked for.

    Attributes:
        path: the dataset file.
        name: `name` of the file, or the file's (for `data.toml` its folder's) name.
        format: `flickr30k-entities` or `table`.
        images: the folder of photographs.
        annotations: the folder, tar file or table of captions.
        split_lists: split -> file of image ids; empty for a table that has its own splits.
        exclude: image ids that are left out.
        unrelated: list of captions that are left out.
        regions: the models that the dataset brings for its regions.
    """

    path: Path
    name: str
    format: str
    images: Path
    annotations: Path
    split_lists: Mapping[str, Path]
    exclude: frozenset[str] = frozenset()
    unrelated: Path | None = None
    regions: RegionTable | None = None

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names that `split` knows; a table without lists is read to learn them."""
        return tuple(self.split_lists) or self._table.split_names

    @cached_property
    def _table(self) -> tables.Table:
        return tables.read_table(self.annotations)

    def split(self, name: str) -> Split:
        """Read one split: its list, its captions and the headers of its photographs.

        Raises:
            DatasetError: no split of that name, no photograph of it stored, or a malformed list or annotation.
        """
        if self.format == TABLE:
            return self._split_of_table(name)
        if name not in self.split_lists:
            raise DatasetError(f"{self.path} has no split {name!r}; {_expected(name, self.split_lists)}")
        listed = [without_suffix(image_id) for image_id in _read_list(self.split_lists[name])]
        search = find_photos(self.images, self._kept(listed))
        unrelated = flickr30k_entities.read_unrelated(self.unrelated) if self.unrelated else ()
        return self._checked(
            name, listed, flickr30k_entities.read_examples(self.annotations, search.found, unrelated), search
        )

    def _split_of_table(self, name: str) -> Split:
        table = self._table
        if name not in self.split_names:
            raise DatasetError(f"{self.path} has no split {name!r}; {_expected(name, self.split_names)}")
        listed = _read_list(self.split_lists[name]) if self.split_lists else table.images_of(name)
        uncaptioned = [image for image in listed if image not in table.captions]
        if uncaptioned:
            raise DatasetError(
                f"{self.split_lists[name]} lists {uncaptioned[0]!r}, which {self.annotations} has no caption for; "
                "write image names as in the table."
            )
        search = find_photos(self.images, self._kept(listed))
        examples = (
            Example(image, photo.path, table.captions[image], photo.width, photo.height)
            for image, photo in search.found.items()
        )
        return self._checked(name, listed, tuple(examples), search)

    def _kept(self, listed: Iterable[str]) -> Iterable[str]:
        return (image_id for image_id in dict.fromkeys(listed) if image_id not in self.exclude)

    def _checked(self, name: str, listed: Collection[str], examples: tuple[Example, ...], search: PhotoSearch) -> Split:
        if not examples:
            some = [*search.missing, *search.unreadable][:3]
            looked_for = f", such as {', '.join(some)}" if some else ""
            raise DatasetError(
                f"Split {name!r} lists {len(listed)} photographs, and none of them is stored in {self.images}"
                f"{looked_for}; `images` of {self.path} names the folder that holds them."
            )
        return Split(name, examples, search.missing, search.unreadable)


def load_dataset(path: str | Path) -> Dataset:
    """Read a dataset file, or a table of captions (`.csv`, `.jsonl`) that lies in the folder of its photographs.

    Every path that the file names is checked now; captions are read when a split is asked for.

    Raises:
        DatasetError: no such file, not TOML, an unknown or missing key, a path that does not exist.
    """
    path = Path(path)
    if path.is_dir():
        raise DatasetError(f"{path} is a folder; name the dataset's file, such as {path / 'data.toml'}.")
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; name a dataset's TOML file, or a .csv or .jsonl of captions.")
    if path.suffix.lower() in tables.SUFFIXES:
        return Dataset(path, path.stem, TABLE, images=path.parent, annotations=path, split_lists={})
    return _DatasetFile(path).dataset()


class _DatasetFile:
    """The keys of a dataset file, read one by one so that each complaint can name its key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise DatasetError(f"{path} is not valid TOML: {error}.") from None
        except UnicodeDecodeError:
            raise DatasetError(f"{path} is not a text file; name a dataset's TOML file, or a .csv or .jsonl.") from None

    def dataset(self) -> Dataset:
        self._check_keys(self._content, _KEYS)
        form = self._text(self._content, "format")
        if form not in _FORMATS:
            raise DatasetError(f"{self._path}: unknown format {form!r}; {_expected(form, _FORMATS)}")
        if form == TABLE and "unrelated" in self._content:
            raise DatasetError(f"{self._path}: `unrelated` belongs to format {FLICKR30K_ENTITIES!r}; remove it.")
        annotations = self._existing(self._content, "annotations")
        images = self._existing(self._content, "images")
        if not images.is_dir():
            raise DatasetError(f"{self._path}: `images` is {images}, which is not a folder.")
        stem = self._path.stem if self._path.stem != "data" else self._path.resolve().parent.name
        return Dataset(
            path=self._path,
            name=self._text(self._content, "name") if "name" in self._content else stem,
            format=form,
            images=images,
            annotations=annotations,
            split_lists=self._split_lists(required=form != TABLE),
            exclude=self._exclude(form),
            unrelated=self._existing(self._content, "unrelated") if "unrelated" in self._content else None,
            regions=self._regions(),
        )

    def _split_lists(self, required: bool) -> dict[str, Path]:
        splits = self._content.get("splits", {})
        if not isinstance(splits, dict) or (required and not splits):
            raise DatasetError(
                f'{self._path} needs a table [splits] with a list of image ids per split, such as train = "train.txt".'
            )
        return {name: self._existing(splits, name, "splits.") for name in splits}

    def _exclude(self, form: str) -> frozenset[str]:
        exclude = self._content.get("exclude", [])
        if not isinstance(exclude, list) or not all(isinstance(image_id, str) for image_id in exclude):
            raise DatasetError(
                f'{self._path}: `exclude` is {exclude!r}; expected a list of image ids in quotes, ["1"].'
            )
        return frozenset(exclude if form == TABLE else map(without_suffix, exclude))

    def _regions(self) -> RegionTable | None:
        if "regions" not in self._content:
            return None
        regions = self._content["regions"]
        if not isinstance(regions, dict):
            raise DatasetError(f"{self._path}: `regions` is {regions!r}; expected a table [regions].")
        self._check_keys(regions, _REGION_KEYS, "regions.")
        return RegionTable(**{key: self._existing(regions, key, "regions.") for key in regions})

    def _check_keys(self, table: Mapping[str, Any], known: Collection[str], prefix: str = "") -> None:
        for key in table:
            if key not in known:
                raise DatasetError(f"{self._path}: unknown key `{prefix}{key}`; {_expected(key, known)}")

    def _text(self, table: Mapping[str, Any], key: str, prefix: str = "") -> str:
        if key not in table:
            raise DatasetError(f"{self._path} has no `{prefix}{key}`; add {key} = {'…'!r}.")
        value = table[key]
        if not isinstance(value, str) or not value:
            raise DatasetError(f"{self._path}: `{prefix}{key}` is {value!r}; expected text in quotes.")
        return value

    def _existing(self, table: Mapping[str, Any], key: str, prefix: str = "") -> Path:
        path = self._path.parent / self._text(table, key, prefix)
        if not path.exists():
            raise DatasetError(
                f"{self._path}: `{prefix}{key}` points at {path.resolve()}, which does not exist; "
                f"correct `{prefix}{key}` (paths are relative to the file)."
            )
        return path


def _expected(name: str, known: Iterable[str]) -> str:
    """The mend for a name that is none of the known ones."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + f"Expected one of: {', '.join(known)}."


def _read_list(path: Path) -> list[str]:
    """The image ids of a split list; blank lines say nothing."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The split list {path} cannot be read ({error}); expected one image id per line.") from None
    image_ids = [line.strip() for line in lines if line.strip()]
    if not image_ids:
        raise DatasetError(f"The split list {path} is empty; write one image id per line.")
    return image_ids
