"""A dataset is named by a small TOML file; its images and annotations stay where they are.

    format = "flickr30k-entities"       # or "table", "scan", "karpathy", "coco", "refcoco"
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

from unboxed.data.annotation_images import UNKNOWN_SIZE, ReleasedCaptions, released_examples
from unboxed.data.image_folder import ImageSearch, StoredImage, find_images, without_suffix
from unboxed.data.readers import flickr30k_entities, tables
from unboxed.data.readers.caption_files import folder_with, look_into
from unboxed.data.readers.coco import CocoCaptions
from unboxed.data.readers.karpathy import KarpathyCaptions
from unboxed.data.readers.refcoco import ReferringExpressions
from unboxed.data.readers.scan import ScanFolder
from unboxed.errors import DatasetError, ImageError
from unboxed.types import Example

__all__ = [
    "COCO",
    "FLICKR30K_ENTITIES",
    "KARPATHY",
    "REFCOCO",
    "SCAN",
    "TABLE",
    "Dataset",
    "RegionTable",
    "Split",
    "load_dataset",
]

FLICKR30K_ENTITIES, TABLE = "flickr30k-entities", "table"
SCAN, KARPATHY, COCO, REFCOCO = "scan", "karpathy", "coco", "refcoco"
_FORMATS = (FLICKR30K_ENTITIES, TABLE, SCAN, KARPATHY, COCO, REFCOCO)
_KEYS = ("format", "name", "images", "annotations", "exclude", "unrelated", "splits", "ids", "instances", "regions")
_ONLY_FOR = {"unrelated": FLICKR30K_ENTITIES, "ids": KARPATHY, "instances": COCO}
_OWN_SPLITS = (SCAN, KARPATHY, REFCOCO)
_RELEASED = (SCAN, KARPATHY, COCO, REFCOCO)
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
    """The images of a split, and what became of the rest of its list.

    Attributes:
        name: as in the dataset file.
        examples: at least one.
        missing: listed, but no file of that name is stored.
        unreadable: image id -> why its file cannot be read as an image.
    """

    name: str
    examples: tuple[Example, ...]
    missing: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """One line for people: how many images and captions, and what was left out."""
        captions = sum(len(example.captions) for example in self.examples)
        left_out = f", {len(self.missing):,} listed but not stored" if self.missing else ""
        unreadable = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        photos = f"{len(self.examples):,} image{'s' if len(self.examples) != 1 else ''}"
        return f"{self.name}: {photos}, {captions:,} captions{left_out}{unreadable}"

    def require_readable(self) -> None:
        """Stop at the first image that cannot be read, if there is one: what `--strict` asks for.

        Raises:
            ImageError: its reason.
        """
        for reason in self.unreadable.values():
            raise ImageError(f"{reason} Without --strict it is skipped.")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as its file describes it; captions are read when a split is asked for.

    Attributes:
        path: the dataset file.
        name: `name` of the file, or the file's (for `data.toml` its folder's) name.
        format: `flickr30k-entities`, `table`, `scan`, `karpathy`, `coco` or `refcoco`.
        images: the folder of images; None when only features of them are at hand.
        annotations: the folder, tar file or table of captions; for `coco` the dataset file itself.
        split_lists: split -> file of image ids, for `coco` of captions; empty where the annotation has its own splits.
        exclude: image ids that are left out.
        unrelated: list of captions that are left out.
        ids: which number of `karpathy` names an image.
        instances: split -> boxes of `coco`.
        regions: the models that the dataset brings for its regions.
    """

    path: Path
    name: str
    format: str
    images: Path | None
    annotations: Path
    split_lists: Mapping[str, Path]
    exclude: frozenset[str] = frozenset()
    unrelated: Path | None = None
    ids: str = "filename"
    instances: Mapping[str, Path] = field(default_factory=dict)
    regions: RegionTable | None = None

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names that `split` knows; a table without lists is read to learn them."""
        if self.split_lists:
            return tuple(self.split_lists)
        if self.format == TABLE and self._table.held_out:
            return tuple(dict.fromkeys(self._held_out.values()))
        return (self._table if self.format == TABLE else self._released).split_names

    @cached_property
    def _table(self) -> tables.Table:
        return tables.read_table(self.annotations)

    @cached_property
    def _stored(self) -> ImageSearch:
        """The images of all images of the table."""
        return self._find_images(self._table.captions)

    @cached_property
    def _held_out(self) -> Mapping[str, str]:
        """Image -> split where the table names none: of the images that are there, some are held out."""
        return tables.hold_out(self._stored.found) or self._table.splits

    @cached_property
    def _released(self) -> ReleasedCaptions:
        # Imported here, not above: most datasets need none of them.
        if self.format == SCAN:
            return ScanFolder(self.annotations)
        if self.format == KARPATHY:
            return KarpathyCaptions(self.annotations, self.ids)
        if self.format == COCO:
            return CocoCaptions(self.split_lists, self.instances)

        return ReferringExpressions(self.annotations)

    def require_images(self) -> None:
        """Stop where regions are to be found in images and there are only features.

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
            raise DatasetError(f"{self.path} has no split {name!r}; {_expected(name, self.split_names)}")
        if self.format == TABLE:
            return self._split_of_table(name)
        if self.format != FLICKR30K_ENTITIES:
            images = [image for image in self._released.images_of(name) if image.image_id not in self.exclude]
            examples, search = released_examples(images, self.images)
            return self._checked(name, images, examples, search)
        listed = [without_suffix(image_id) for image_id in _read_list(self.split_lists[name])]
        search = self._find_images(listed)
        unrelated = flickr30k_entities.read_unrelated(self.unrelated) if self.unrelated else ()
        return self._checked(
            name, listed, flickr30k_entities.read_examples(self.annotations, search.found, unrelated), search
        )

    def _split_of_table(self, name: str) -> Split:
        table = self._table
        if table.held_out and not self.split_lists:
            return self._held_out_split(name)
        listed = _read_list(self.split_lists[name]) if self.split_lists else table.images_of(name)
        uncaptioned = [image for image in listed if image not in table.captions]
        if uncaptioned:
            raise DatasetError(
                f"{self.split_lists[name]} lists {uncaptioned[0]!r}, which {self.annotations} has no caption for; "
                "write image names as in the table."
            )
        search = self._find_images(listed)
        return self._checked(name, listed, self._examples_of_table(search), search)

    def _held_out_split(self, name: str) -> Split:
        """What cannot be used belongs to no split by itself; it is counted with `train`."""
        stored, splits = self._stored, self._held_out
        found = {image: photo for image, photo in stored.found.items() if splits[image] == name}
        rest = (stored.missing, stored.unreadable) if name == "train" or not stored.found else ((), {})
        search = ImageSearch(found, *rest)
        return self._checked(
            name, [*found, *search.missing, *search.unreadable], self._examples_of_table(search), search
        )

    def _examples_of_table(self, search: ImageSearch) -> tuple[Example, ...]:
        captions = self._table.captions
        return tuple(
            Example(image, photo.path, captions[image], photo.width, photo.height)
            for image, photo in search.found.items()
        )

    def _find_images(self, listed: Iterable[str]) -> ImageSearch:
        kept = [image_id for image_id in dict.fromkeys(listed) if image_id not in self.exclude]
        if self.images is None:  # every image counts as found, under a name that no file has
            return ImageSearch({image_id: StoredImage(Path(image_id), *UNKNOWN_SIZE) for image_id in kept}, (), {})
        return find_images(self.images, kept)

    def _checked(
        self, name: str, listed: Collection[object], examples: tuple[Example, ...], search: ImageSearch
    ) -> Split:
        if not examples and self.images is None:
            raise DatasetError(f"Split {name!r} of {self.path} has no images; check its list, and `exclude`.")
        if not examples:
            some = [*search.missing, *search.unreadable][:3]
            looked_for = f", such as {', '.join(some)}" if some else ""
            mend = (
                f"`images` of {self.path} names the folder that holds them."
                if self.path.suffix == ".toml"
                else "keep the captions in the folder of the images, or let `images` of a TOML file name it."
            )
            raise DatasetError(
                f"Split {name!r} lists {len(listed)} images, and none of them is stored in {self.images}"
                f"{looked_for}; {mend}"
            )
        return Split(name, examples, search.missing, search.unreadable)


def load_dataset(path: str | Path) -> Dataset:
    """Read a dataset file, a table of captions (`.csv`, `.jsonl`, `.json`) beside its images, or a folder.

    Of a folder `data.toml` is read, if it holds one; else `own_folder.look_into` finds its captions. Every path that
    a dataset file names is checked now; captions are read when a split is asked for.

    Raises:
        DatasetError: no such file, not TOML, an unknown or missing key, a path that does not exist.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "data.toml").is_file():
            return _DatasetFile(path / "data.toml").dataset()

        own = look_into(path)
        return Dataset(path, path.resolve().name, TABLE, images=own.images, annotations=own.captions, split_lists={})
    if not path.is_file():
        raise DatasetError(
            f"{path} does not exist; name a dataset's TOML file, a .csv, .jsonl or .json of captions, or a folder."
        )
    if path.suffix.lower() in tables.SUFFIXES:
        return Dataset(path, path.stem, TABLE, folder_with(path.parent, path), annotations=path, split_lists={})
    return _DatasetFile(path).dataset()


class _DatasetFile:
    """The keys of a dataset file, read one by one so that each complaint can name its key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise DatasetError(
                f"{path} is not valid TOML: {error}. Captions are read from .csv, .jsonl and .json, or from a folder."
            ) from None
        except UnicodeDecodeError:
            raise DatasetError(f"{path} is not a text file; name a dataset's TOML file, or a .csv or .jsonl.") from None

    def dataset(self) -> Dataset:
        self._check_keys(self._content, _KEYS)
        form = self._text(self._content, "format")
        if form not in _FORMATS:
            raise DatasetError(f"{self._path}: unknown format {form!r}; {_expected(form, _FORMATS)}")
        for key, owner in _ONLY_FOR.items():
            if form != owner and key in self._content:
                raise DatasetError(f"{self._path}: `{key}` belongs to format {owner!r}; remove it.")
        if form in _OWN_SPLITS and "splits" in self._content:
            raise DatasetError(f"{self._path}: format {form!r} brings its own splits; remove [splits].")
        if form == COCO and "annotations" in self._content:
            raise DatasetError(
                f"{self._path}: format {COCO!r} names its captions under [splits]; remove `annotations`."
            )
        stem = self._path.stem if self._path.stem != "data" else self._path.resolve().parent.name
        return Dataset(
            path=self._path,
            name=self._text(self._content, "name") if "name" in self._content else stem,
            format=form,
            images=self._images(form),
            annotations=self._path if form == COCO else self._existing(self._content, "annotations"),
            split_lists=self._paths_by_split("splits", required=form in (FLICKR30K_ENTITIES, COCO)),
            exclude=self._exclude(form),
            unrelated=self._existing(self._content, "unrelated") if "unrelated" in self._content else None,
            ids=self._text(self._content, "ids") if "ids" in self._content else "filename",
            instances=self._paths_by_split("instances"),
            regions=self._regions(),
        )

    def _images(self, form: str) -> Path | None:
        if self._content.get("images") is False or ("images" not in self._content and form in _RELEASED):
            return None
        if form == SCAN:
            raise DatasetError(f"{self._path}: format {SCAN!r} does not name its images; remove `images`.")
        images = self._existing(self._content, "images", absent=", or images = false when you have features only")
        if not images.is_dir():
            raise DatasetError(f"{self._path}: `images` is {images}, which is not a folder.")
        return images

    def _paths_by_split(self, key: str, required: bool = False) -> dict[str, Path]:
        paths = self._content.get(key, {})
        if not isinstance(paths, dict) or (required and not paths):
            what = "a list of image ids" if self._content.get("format") != COCO else "a JSON file"
            example = "train.txt" if self._content.get("format") != COCO else f"{key}_train2017.json"
            raise DatasetError(
                f'{self._path} needs a table [{key}] with {what} per split, such as train = "{example}".'
            )
        return {name: self._existing(paths, name, f"{key}.") for name in paths}

    def _exclude(self, form: str) -> frozenset[str]:
        exclude = self._content.get("exclude", [])
        if not isinstance(exclude, list) or not all(isinstance(image_id, str) for image_id in exclude):
            raise DatasetError(
                f'{self._path}: `exclude` is {exclude!r}; expected a list of image ids in quotes, ["1"].'
            )
        return frozenset(map(without_suffix, exclude) if form in (FLICKR30K_ENTITIES, KARPATHY) else exclude)

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

    def _text(self, table: Mapping[str, Any], key: str, prefix: str = "", absent: str = "") -> str:
        if key not in table:
            raise DatasetError(f"{self._path} has no `{prefix}{key}`; add {key} = {'…'!r}{absent}.")
        value = table[key]
        if not isinstance(value, str) or not value:
            raise DatasetError(f"{self._path}: `{prefix}{key}` is {value!r}; expected text in quotes.")
        return value

    def _existing(self, table: Mapping[str, Any], key: str, prefix: str = "", absent: str = "") -> Path:
        path = self._path.parent / self._text(table, key, prefix, absent)
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
    meant = f"did you mean {close[0]!r}? Expected" if close else "expected"
    return f"{meant} one of: {', '.join(known)}."


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
