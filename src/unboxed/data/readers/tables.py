"""The reader of captions in tables and text files, see `unboxed.data.readers.caption_files`.

A row names an image and one or several captions, and optionally a split and the phrases of a single caption
(`{"start": 0, "end": 5}` or `{"text": "a man"}`); rows of one image are its captions. Captions without phrases get
those that the chunker finds. Without a split, a tenth of the images, chosen by a hash of their names, is held out as
`val`. Rows without an image or a caption are left out and counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unboxed.data.image_files import left_out_lines
from unboxed.data.image_search import ImageFolder, ImageSearch
from unboxed.data.images import without_suffix
from unboxed.data.readers.base import Key, Reader, read_list
from unboxed.data.readers.caption_files import TABLE_SUFFIXES, table_rows
from unboxed.data.readers.rows import Row, file_name
from unboxed.errors import CaptionError, DatasetError
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Example, Phrase

__all__ = ["Table", "TableReader", "hold_out", "read_table"]

_VAL_SHARE = 0.1
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Table:
    """The captions of a table, by image.

    Attributes:
        captions: image name, as written -> its captions in file order.
        splits: image name -> its split, in order of first appearance.
        held_out: the table has no splits; these are those of `hold_out`.
        notes: lines about rows that are left out, and about the encoding of files.
    """

    captions: Mapping[str, tuple[Caption, ...]]
    splits: Mapping[str, str]
    held_out: bool = False
    notes: tuple[str, ...] = ()


class TableReader(Reader):
    """Reads images with captions in a table."""

    format = "table"
    title = (
        f"a table of captions ({', '.join(f'`{suffix}`' for suffix in TABLE_SUFFIXES)}), or a text file for each image"
    )
    keys = (
        Key("annotations", "the table, or the folder of the tables or text files", required=True),
        Key("splits", "a list of images per split", "paths", example='train = "train.txt"'),
    )
    splits = "`[splits]`, or those of the table, or a tenth held out as `val`"
    images = "required"

    def __init__(self, folder: ImageFolder, annotations: Path, splits: Mapping[str, Path] | None = None) -> None:
        super().__init__(folder)
        self._path, self._lists = annotations, splits or {}

    @property
    def split_names(self) -> tuple[str, ...]:
        """Those of the dataset file, or else those of the table; without any, `train` and `val`."""
        if self._lists:
            return tuple(self._lists)
        return tuple(dict.fromkeys(self._split_of.values()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines about rows that are left out, and about images of the lists without captions."""
        uncaptioned = {
            f"of {path} without a caption in {self._path}": names
            for split, path in self._lists.items()
            if (names := self._listed_names[split][1])
        }
        return (*self._table.notes, *left_out_lines(uncaptioned, "image"))

    def read(self, split: str) -> tuple[tuple[Example, ...], ImageSearch]:
        """The examples of a split. Of a table without splits, images that cannot be used count as `train`."""
        if self._table.held_out and not self._lists:
            search = self._held_out(split)
        else:
            search = self._all_images.of(self._listed(split))
        captions = self._table.captions
        examples = (
            Example(name, image.path, captions[name], image.width, image.height) for name, image in search.found.items()
        )
        return tuple(examples), search

    @cached_property
    def _table(self) -> Table:
        return read_table(self._path)

    @cached_property
    def _all_images(self) -> ImageSearch:
        return self.folder.find(self._table.captions, outside=True)

    @cached_property
    def _split_of(self) -> Mapping[str, str]:
        """Image -> split. Where the table has no splits, some of the images that are stored are held out."""
        if not self._table.held_out:
            return self._table.splits
        return hold_out(self._all_images.found) or self._table.splits

    def _listed(self, split: str) -> list[str]:
        if not self._lists:
            return [image for image, of_image in self._table.splits.items() if of_image == split]
        captioned, uncaptioned = self._listed_names[split]
        if not captioned:
            raise DatasetError(
                f"{self._lists[split]} lists {uncaptioned[0]!r}, which {self._path} has no caption for; "
                "write image names as in the table."
            )
        return captioned

    @cached_property
    def _listed_names(self) -> Mapping[str, tuple[list[str], list[str]]]:
        """Split -> the images of its list with captions, by their names in the table, and those without."""
        captions = self._table.captions
        by_stem = {without_suffix(name): name for name in captions}
        names: dict[str, tuple[list[str], list[str]]] = {}
        for split, path in self._lists.items():
            captioned: list[str] = []
            uncaptioned: list[str] = []
            for listed in map(file_name, read_list(path)):
                name = listed if listed in captions else by_stem.get(without_suffix(listed))
                captioned.append(name) if name else uncaptioned.append(listed)
            names[split] = list(dict.fromkeys(captioned)), uncaptioned
        return names

    def _held_out(self, split: str) -> ImageSearch:
        """Images that cannot be used belong to no split by themselves; they are counted with `train`."""
        stored, split_of = self._all_images, self._split_of
        unusable = {*stored.missing, *stored.unreadable} if split == "train" or not stored.found else set()
        return stored.of({name for name in stored.found if split_of[name] == split} | unusable)


def read_table(path: Path) -> Table:
    """Read a table of captions, or the tables or text files of a folder.

    Raises:
        DatasetError: an unknown kind, a missing column, or a bad row; the message has the line.
    """
    captions: dict[str, list[Caption]] = {}
    splits: dict[str, str | None] = {}
    notes: list[str] = []
    left_out: dict[str, list[str]] = {"without a caption": [], "without an image": []}
    for row in table_rows(path, notes):
        if not row.image or not row.captions:
            left_out["without a caption" if row.image else "without an image"].append(row.where)
            continue
        if splits.setdefault(row.image, row.split) != row.split:
            raise DatasetError(
                f"{row.where}: {row.image!r} is in split {row.split!r} here and in {splits[row.image]!r} above; "
                "choose one."
            )
        captions.setdefault(row.image, []).extend(_captions(row))
    notes += left_out_lines(left_out, "row")
    if not captions:
        raise DatasetError(
            f"{path} has no rows with an image and a caption; write one per row. {' '.join(notes)}".strip()
        )
    some_split = any(split is not None for split in splits.values())
    unsplit = next((image for image, split in splits.items() if split is None), None)
    if some_split and unsplit is not None:
        raise DatasetError(f"{path}: {unsplit!r} has no split, others have; give every image one, or none.")
    return Table(
        {image: tuple(of_image) for image, of_image in captions.items()},
        {image: split for image, split in splits.items() if split is not None} or hold_out(splits),
        held_out=not some_split,
        notes=tuple(notes),
    )


def hold_out(images: Iterable[str]) -> dict[str, str]:
    """Each image's split: `val` for about a tenth of them, chosen by a hash of the name, `train` for the rest.

    An image keeps its split when others are added or removed, except in a small table: each split has at least two
    images, because a single image has none to be contrasted with; of fewer than four images each has half.
    """
    hashes = {image: int.from_bytes(hashlib.sha256(image.encode()).digest()[:8]) / 2**64 for image in images}
    fewest = min(_FEWEST, len(hashes) // 2)
    count = sum(number < _VAL_SHARE for number in hashes.values())
    chosen = set(sorted(hashes, key=hashes.__getitem__)[: min(max(count, fewest), len(hashes) - max(fewest, 1))])
    return {image: "val" if image in chosen else "train" for image in hashes}


def _captions(row: Row) -> list[Caption]:
    """The captions of a row with their phrases."""
    found = []
    for text in row.captions:
        try:
            bare = Caption(text)
            phrases = noun_phrases(text) if row.phrases is None else _phrases(row.phrases, bare, row.where)
            found.append(Caption(text, phrases))
        except CaptionError as error:
            raise DatasetError(f"{row.where}: {error}") from None
    return found


def _phrases(phrases: Any, caption: Caption, where: str) -> tuple[Phrase, ...]:
    """Phrases given by span or by text; where a text occurs several times, each phrase takes the next occurrence."""
    if not isinstance(phrases, list):
        raise DatasetError(f"{where}: `phrases` is {phrases!r}; expected a list.")
    found: list[Phrase] = []
    next_start: dict[str, int] = {}
    for phrase in phrases:
        match phrase:
            # In Python bool is an int, but True is no offset.
            case {"start": int(start), "end": int(end)} if not isinstance(start, bool) and not isinstance(end, bool):
                words = phrase.get("text", caption.text[max(start, 0) : end])
            case {"text": str(words)} if words and not phrase.keys() & {"start", "end"}:
                start = caption.text.find(words, next_start.get(words, 0))
                if start < 0:
                    raise DatasetError(f"{where}: phrase {words!r} is not in {caption.text!r}; copy its words.")
                end = next_start[words] = start + len(words)
            case _:
                raise DatasetError(
                    f'{where}: phrase {phrase!r}; expected {{"start": 0, "end": 5}} or {{"text": "a man"}}.'
                )
        found.append(Phrase(words, start, end))
    return tuple(sorted(found, key=lambda phrase: (phrase.start, phrase.end)))
