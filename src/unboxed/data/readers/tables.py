"""One's own photographs: a folder of images and a table of captions.

CSV has the columns `image` and `caption`, and `split` if wanted; rows of one image are its captions. A line of JSONL
is `{"image": ..., "caption": ...}` or `{"image": ..., "captions": [...]}`, with `split` and, beside a single caption,
`phrases` (`{"start": 0, "end": 5}` or `{"text": "a man"}`) if wanted. Captions without phrases get those that the
chunker finds. JSON, and text files beside the images, give the same rows (`table_rows`). Without a split, a tenth
of the images, chosen by a hash of their names, is held out as `val`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.data.readers.table_rows import SUFFIXES, Row, table_rows
from unboxed.errors import CaptionError, DatasetError
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Phrase

__all__ = ["SUFFIXES", "Table", "hold_out", "read_table"]

_VAL_SHARE = 0.1
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Table:
    """The captions of a table, by image.

    Attributes:
        captions: image name, as written -> its captions in file order.
        splits: image name -> its split.
        held_out: the table names no splits; these are by `hold_out`.
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
        return [image for image, its_split in self.splits.items() if its_split == split]


def read_table(path: Path) -> Table:
    """Read a table of captions; the ending of its name says which kind it is.

    Raises:
        DatasetError: a kind that is not known, a missing column, or a bad row, named with its line.
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
        {image: tuple(its_captions) for image, its_captions in captions.items()},
        {image: split for image, split in splits.items() if split is not None} or hold_out(splits),
        held_out=not some_split,
    )


def hold_out(images: Iterable[str]) -> dict[str, str]:
    """Each image's split: `val` for about a tenth of them, chosen by a hash of the name, `train` for the rest.

    An image keeps its split when others come and go, except in a small table: both splits get two images at least,
    for one alone can be told from nothing, and of fewer than four images half.
    """
    hashes = {image: int.from_bytes(hashlib.sha256(image.encode()).digest()[:8]) / 2**64 for image in images}
    fewest = min(_FEWEST, len(hashes) // 2)
    count = sum(number < _VAL_SHARE for number in hashes.values())
    held_out = set(sorted(hashes, key=hashes.__getitem__)[: min(max(count, fewest), len(hashes) - max(fewest, 1))])
    return {image: "val" if image in held_out else "train" for image in hashes}


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
        bare = Caption(text)  # complains about a caption without words before anything looks for phrases in it
        return Caption(text, noun_phrases(text)) if phrases is None else Caption(text, _phrases(phrases, bare, where))
    except CaptionError as error:
        raise DatasetError(f"{where}: {error}") from None


def _phrases(phrases: Any, caption: Caption, where: str) -> tuple[Phrase, ...]:
    """Phrases given by span or by text; of a text that occurs several times, each mention takes the next one."""
    if not isinstance(phrases, list):
        raise DatasetError(f"{where}: `phrases` is {phrases!r}; expected a list.")
    found: list[Phrase] = []
    next_start: dict[str, int] = {}
    for phrase in phrases:
        match phrase:
            # bool is an int to Python, but no offset to anyone.
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
