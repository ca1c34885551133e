"""The reader of captions in a table: CSV, JSONL, JSON, or a text file for each image.

CSV has the columns `image` and `caption`, and optionally `split`; rows of one image are its captions. A line of JSONL
is `{"image": ..., "caption": ...}` or `{"image": ..., "captions": [...]}`, optionally with `split` and, for a single
caption, `phrases` (`{"start": 0, "end": 5}` or `{"text": "a man"}`). Captions without phrases get those that the
chunker finds. JSON and text files give the same rows. The column names of other tools are accepted: `file_name` and
`filename` for `image`, `text` for `caption`. Without a split, a tenth of the images, chosen by a hash of their names,
is held out as `val`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unboxed.data.images import SUFFIXES as IMAGE_SUFFIXES
from unboxed.data.images import ImageFolder, ImageSearch
from unboxed.data.readers.base import Key, Reader, read_list
from unboxed.errors import CaptionError, DatasetError, plain_reason
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Example, Phrase

__all__ = ["SUFFIXES", "Table", "TableReader", "captioned_images", "hold_out", "read_table", "table_rows"]

SUFFIXES = (".csv", ".jsonl", ".json")

Row = Mapping[str, Any]

_ALSO = {"image": ("file_name", "filename"), "caption": ("text",)}
_MAX_FIELD = 1_000_000  # characters; a long caption exceeds the default limit of the csv module
_VAL_SHARE = 0.1
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Table:
    """The captions of a table, by image.

    Attributes:
        captions: image name, as written -> its captions in file order.
        splits: image name -> its split, in order of first appearance.
        held_out: the table has no splits; these are those of `hold_out`.
    """

    captions: Mapping[str, tuple[Caption, ...]]
    splits: Mapping[str, str]
    held_out: bool = False


class TableReader(Reader):
    """Reads images with captions in a table."""

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
            return [image for image, of_image in self._table.splits.items() if of_image == split]
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


def table_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """(where, row) of each row of a table, of the kind that its suffix names.

    Raises:
        DatasetError: an unknown kind, a missing column, text that is malformed.
    """
    if path.is_dir():
        return _folder_rows(path)
    kind = path.suffix.lower()
    if kind == ".csv":
        return _csv_rows(_text(path), path)
    if kind == ".jsonl":
        return _jsonl_rows(_text(path), path)
    if kind == ".json":
        return _json_rows(_text(path), path)
    raise DatasetError(f"{path} is no table of captions; expected a name that ends in {' or '.join(SUFFIXES)}.")


def captioned_images(folder: Path) -> Iterator[tuple[Path, Path]]:
    """(image, text file) of each image in `folder` and below that has a text file of the same name."""
    for image in sorted(folder.rglob("*")):
        if image.suffix.lower() in IMAGE_SUFFIXES and (text := image.with_suffix(".txt")).is_file():
            yield image, text


def _folder_rows(folder: Path) -> Iterator[tuple[str, Row]]:
    for image, text in captioned_images(folder):
        captions = [line.strip() for line in _text(text).splitlines() if line.strip()]
        if not captions:
            raise DatasetError(f"{text} is empty; write one caption a line, or remove it.")
        yield str(text), {"image": image.relative_to(folder).as_posix(), "captions": captions}


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = _named([column.strip().lower() for column in next(reader, [])])
        for column in ("image", "caption"):
            if header.count(column) != 1:
                raise DatasetError(f"{path}:1: expected one column {column!r}, {_column_fix(header)}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DatasetError(
                    f"{path}:{reader.line_num}: {len(row)} fields, the first line has {len(header)}; "
                    "put captions that hold a comma in double quotes."
                )
            yield f"{path}:{reader.line_num}", dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: {error}; check the double quotes of this row.") from None


def _column_fix(header: list[str]) -> str:
    """What was found instead of a column, and the fix."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            return f"found {name} between the columns; save the table with commas."
    return f"found: {', '.join(header) or 'an empty file'}. Name it in the first line."


def _jsonl_rows(text: str, path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            yield where, _row(_json(line, where, "write one object per line"), where)


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of a list, of the list `images`, of COCO's `images` and `annotations`, or of {image: caption(s)}."""
    content = _json(text, str(path), "expected a list of objects")
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        content = _coco_rows(content, path) if isinstance(content.get("annotations"), list) else content["images"]
    elif isinstance(content, dict):
        content = [
            {"image": image, "captions" if isinstance(texts, list) else "caption": texts}
            for image, texts in content.items()
        ]
    if not isinstance(content, list):
        raise DatasetError(f'{path}: expected a list of objects such as {{"image": "1.jpg", "caption": "A dog."}}.')
    for number, row in enumerate(content, start=1):
        where = f"{path}, row {number}"
        yield where, _row(row, where)


def _coco_rows(content: dict[str, Any], path: Path) -> list[Any]:
    """COCO's captions joined with the names of their images."""
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        return [{"image": names[entry["image_id"]], "caption": entry["caption"]} for entry in content["annotations"]]
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} has `images` and `annotations`, and they are not those of COCO's captions ({error!r} is missing); "
            "expected captions_….json."
        ) from None


def _row(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise DatasetError(f'{where}: expected an object such as {{"image": "1.jpg", "caption": "A dog."}}.')
    return dict(zip(_named(list(row)), row.values(), strict=True))


def _named(columns: list[str]) -> list[str]:
    """The columns with the names that other tools use replaced."""
    for name, others in _ALSO.items():
        given = next((other for other in others if other in columns), None)
        if given is not None and name not in columns and f"{name}s" not in columns:
            columns = [name if column == given else column for column in columns]
    return columns


def _json(text: str, where: str, fix: str) -> Any:
    try:
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()  # raises for half a surrogate pair, which no file can hold
        return content
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: not JSON ({plain_reason(error)}); {fix}.") from None


def _text(path: Path) -> str:
    try:
        # Read as bytes, because reading as text would change the line breaks of captions.
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); expected a .csv or .jsonl file.") from None
