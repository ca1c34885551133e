"""The reader of captions in a table: CSV, JSONL, JSON, or a text file for each image.

CSV has the columns `image` and `caption`, and optionally `split`; rows of one image are its captions. A line of JSONL
is `{"image": ..., "caption": ...}` or `{"image": ..., "captions": [...]}`, optionally with `split` and, for a single
caption, `phrases` (`{"start": 0, "end": 5}` or `{"text": "a man"}`). Captions without phrases get those that the
chunker finds. JSON and text files give the same rows (see `table_rows`). Without a split, a tenth of the images, chosen
by a hash of their names, is held out as `val`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unboxed.data.image_folder import ImageFolder, ImageSearch
from unboxed.data.readers.base import Key, Reader, read_list
from unboxed.data.readers.table_rows import SUFFIXES, Row, table_rows
from unboxed.errors import CaptionError, DatasetError
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Example, Phrase

__all__ = ["SUFFIXES", "Table", "TableReader", "hold_out", "read_table"]

_VAL_SHARE = 0.1
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Table:
    """The captions of a table, by image.

    Attributes:
        captions: image name, as written -> its captions in file order.
        splits: image name -> its split.
        held_out: the table has no splits; these are those of `hold_out`.
    """

    captions: Mapping[str, tuple[Caption, ...]]
    splits: Mapping[str, str]
    held_out: bool = False

    @property
    def split_names(self) -> tuple[str, ...]:
        """In order of first appearance."""
        return tuple(dict.fromkeys(self.splits.values()))

    def images_of(self, split: str) -> list[str]:
        """The image names of a split, in order of first appearance."""
        return [image for image, of_image in self.splits.items() if of_image == split]


class TableReader(Reader):
    """Reads images with captions in a table.

    Args:
        folder: the images.
        annotations: the table, or a folder whose images have text files.
        splits: split -> file of image names as in the table, one a line; None for the splits of the table.
    """

    format = "table"
    title = "a table of captions (`.csv`, `.jsonl`, `.json`), or a `.txt` of captions for each image"
    keys = (
        Key("annotations", "the table, or the folder whose images have text files", required=True),
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

    def read(self, split: str) -> tuple[tuple[Example, ...], ImageSearch]:
        """The examples of a split. Of a table without splits, images that cannot be used count as `train`."""
        if self._table.held_out and not self._lists:
            search = self._held_out(split)
        else:
            search = self.folder.find(self._listed(split))
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
        return self.folder.find(self._table.captions)

    @cached_property
    def _split_of(self) -> Mapping[str, str]:
        """Image -> split. Where the table has no splits, some of the images that are stored are held out."""
        if not self._table.held_out:
            return self._table.splits
        return hold_out(self._all_images.found) or self._table.splits

    def _listed(self, split: str) -> list[str]:
        if not self._lists:
            return self._table.images_of(split)
        listed = read_list(self._lists[split])
        uncaptioned = next((name for name in listed if name not in self._table.captions), None)
        if uncaptioned is not None:
            raise DatasetError(
                f"{self._lists[split]} lists {uncaptioned!r}, which {self._path} has no caption for; "
                "write image names as in the table."
            )
        return listed

    def _held_out(self, split: str) -> ImageSearch:
        """Images that cannot be used belong to no split by themselves; they are counted with `train`."""
        stored, split_of = self._all_images, self._split_of
        found = {name: image for name, image in stored.found.items() if split_of[name] == split}
        rest = (stored.missing, stored.unreadable) if split == "train" or not stored.found else ((), {})
        return ImageSearch(found, *rest)


def read_table(path: Path) -> Table:
    """Read a table of captions, of the kind that its suffix names.

    Raises:
        DatasetError: an unknown kind, a missing column, or a bad row; the message has the line.
    """
    captions: dict[str, list[Caption]] = {}
    splits: dict[str, str | None] = {}
    for where, row in table_rows(path):
        image = _required_text(row, "image", where)
        split = _optional_text(row, "split", where)
        if splits.setdefault(image, split) != split:
            raise DatasetError(
                f"{where}: {image!r} is in split {split!r} here and in {splits[image]!r} above; choose one."
            )
        captions.setdefault(image, []).extend(_captions(row, where))
    if not captions:
        raise DatasetError(f"{path} has no rows; write one image and caption per row.")
    some_split = any(split is not None for split in splits.values())
    unsplit = next((image for image, split in splits.items() if split is None), None)
    if some_split and unsplit is not None:
        raise DatasetError(f"{path}: {unsplit!r} has no split, others have; give every image one, or none.")
    return Table(
        {image: tuple(of_image) for image, of_image in captions.items()},
        {image: split for image, split in splits.items() if split is not None} or hold_out(splits),
        held_out=not some_split,
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


def _captions(row: Row, where: str) -> list[Caption]:
    """The captions of a row with their phrases."""
    if "captions" in row:
        texts = row["captions"]
        if "caption" in row or not isinstance(texts, list) or not texts:
            raise DatasetError(f"{where}: expected either `caption`, or `captions` with a list of at least one.")
        if "phrases" in row:
            raise DatasetError(f"{where}: `phrases` belong to one `caption`; write a line for each caption.")
        return [_caption(text, None, where) for text in texts]
    return [_caption(_required_text(row, "caption", where), row.get("phrases"), where)]


def _caption(text: Any, phrases: Any, where: str) -> Caption:
    if not isinstance(text, str):
        raise DatasetError(f"{where}: the caption is {text!r}; expected text in quotes.")
    text = text if phrases is not None else text.strip()  # spans count characters of the caption as written
    try:
        bare = Caption(text)  # raises for a caption without words before phrases are searched in it
        return Caption(text, noun_phrases(text)) if phrases is None else Caption(text, _phrases(phrases, bare, where))
    except CaptionError as error:
        raise DatasetError(f"{where}: {error}") from None


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


def _required_text(row: Row, key: str, where: str) -> str:
    value = row.get(key)
    if isinstance(value, str) and not value.strip():
        raise DatasetError(f"{where}: the {key} is empty; write it, or remove the row.")
    if not isinstance(value, str):
        raise DatasetError(f"{where}: `{key}` is {value!r}; expected text.")
    return value if key == "caption" else value.strip()


def _optional_text(row: Row, key: str, where: str) -> str | None:
    return None if row.get(key) in (None, "") else _required_text(row, key, where)
