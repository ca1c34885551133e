"""The rows of a table of captions, under the column names that other tools use."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from unboxed.data.readers.base import has_words
from unboxed.errors import DatasetError

__all__ = [
    "CAPTION_COLUMNS",
    "IMAGE_COLUMNS",
    "Row",
    "caption_columns",
    "column_of",
    "file_name",
    "row_of",
    "split_named",
]

IMAGE_COLUMNS = (
    "image", "file_name", "filename", "image_name", "image_file", "image_filename", "image_path", "file_path",
    "filepath", "images", "img", "img_name", "img_path", "photo", "picture", "file", "path", "image_id", "photo_id",
)  # fmt: skip
"""The names of the column of images, the first one that a table has counts."""

CAPTION_COLUMNS = (
    "caption", "captions", "sentences", "sentence", "text", "txt", "title", "comment", "description", "raw", "alt_text",
    "alt", "prompt",
)  # fmt: skip
"""The names of the column of captions, the first one that a table has counts."""

_NUMBERED = re.compile(rf"({'|'.join(CAPTION_COLUMNS)})_?\d+")
_NO_CAPTION = re.compile(r"(^|_)(id|ids|no|num|number|count|index|length|language|lang|source|url)$")
_SPLITS = {
    "training": "train",
    "restval": "train",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "testing": "test",
}
_NO_TEXT = ("nan", "none", "null", "n/a", "#n/a", "<na>")  # what programs write for a missing value


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        where: the file and the line, for messages.
        image: the name of its image; "" if it has none.
        captions: with words.
        phrases: of a single caption, as written; None if the chunker finds them.
        split: None if it names none.
    """

    where: str
    image: str
    captions: tuple[str, ...]
    phrases: Any = None
    split: str | None = None


@lru_cache(maxsize=4096)
def column_of(name: Any) -> str:
    """A column's name as it is compared: `Image Name` -> `image_name`."""
    return re.sub(r"[\s-]+", "_", str(name).strip().strip("\"'").lower())


def caption_columns(columns: Iterable[str]) -> list[str]:
    """The columns that hold captions: of the first of the known names, or else the only one that speaks of captions.

    >>> caption_columns(["title", "caption_0", "caption_1"]), caption_columns(["caption_id", "long_caption"])
    (['caption_0', 'caption_1'], ['long_caption'])
    """
    return list(_caption_columns(tuple(columns)))


@lru_cache(maxsize=256)
def _caption_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    named: dict[str, list[str]] = {}
    for column in columns:
        numbered = _NUMBERED.fullmatch(column)
        named.setdefault(numbered[1] if numbered else column, []).append(column)
    of_captions = [column for column in columns if "caption" in column and not _NO_CAPTION.search(column)]
    first = next((named[name] for name in CAPTION_COLUMNS if name in named), None)
    return tuple(first or (of_captions if len(of_captions) == 1 else []))


def row_of(content: Mapping[Any, Any], where: str) -> Row:
    """The row of a table's line, whose keys are columns.

    Raises:
        DatasetError: an image or a caption of another kind than text, or phrases of several captions.
    """
    values = {column_of(name): value for name, value in content.items()}
    if "caption" in values and "captions" in values:
        raise DatasetError(f"{where}: expected either `caption`, or `captions` with a list of at least one.")
    column = next((name for name in IMAGE_COLUMNS if name in values), "")
    image = _image(values.get(column), where)
    if column == "filename" and isinstance(folder := values.get("filepath"), str) and "." not in folder:
        image = f"{folder.strip('/')}/{image}"  # as in Karpathy's splits of COCO
    phrases = values.get("phrases")
    texts = [text for name in caption_columns(values) for text in _texts(values[name], where, phrases is not None)]
    if phrases is not None and len(texts) > 1:
        raise DatasetError(f"{where}: `phrases` belong to one `caption`; write a line for each caption.")
    return Row(where, image, tuple(texts), phrases, split_named(values.get("split"), where))


def split_named(value: Any, where: str = "") -> str | None:
    """The name of a split; other names of `train`, `val` and `test` are replaced, None stays.

    >>> split_named("Validation"), split_named("testA"), split_named("")
    ('val', 'testA', None)

    Raises:
        DatasetError: no text.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise DatasetError(f"{where}: `split` is {value!r}; expected text.")
    name = value.strip()
    lower = name.lower()
    return _SPLITS.get(lower, lower if lower in ("train", "val", "test") else name) or None


def file_name(name: str) -> str:
    r"""A name as it is compared, so that `./a/1.jpg`, `a\1.jpg` and `a//1.jpg` are one image, `a/1.jpg`."""
    name = name.replace("\0", "").strip().removeprefix("file://")
    return name if "://" in name or not name else posixpath.normpath(name.replace("\\", "/"))


def _image(value: Any, where: str) -> str:
    if isinstance(value, dict):
        value = next((value[key] for key in ("path", *IMAGE_COLUMNS) if value.get(key)), None)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or _is_nan(value):
        return ""
    if not isinstance(value, str):
        raise DatasetError(f"{where}: `image` is {value!r}; expected a file name.")
    name = value.strip()
    return "" if name.lower() in _NO_TEXT else file_name(name)


def _texts(value: Any, where: str, exact: bool) -> list[str]:
    """The captions of a value: a text, a list of texts, or objects with a text; those without a word are left out."""
    found: list[str] = []
    for item in _listed(value):
        text = next((item[key] for key in CAPTION_COLUMNS if key in item), None) if isinstance(item, dict) else item
        if text is None or _is_nan(text):
            continue
        if not isinstance(text, str):
            raise DatasetError(f"{where}: the caption is {text!r}; expected text in quotes.")
        if has_words(text) and text.strip().lower() not in _NO_TEXT:
            found.append(text if exact else text.strip())  # spans count characters of the caption as written
    return found


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("[") and value.rstrip().endswith("]"):
        for read in (json.loads, ast.literal_eval):  # a list as JSON, or as Python prints it
            try:
                items = read(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(items, list) and all(isinstance(item, str | dict) for item in items):
                return items
    return value if isinstance(value, list) else [value]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
