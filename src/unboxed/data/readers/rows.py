"""The rows of a table of captions, under the column names that other tools use."""

from __future__ import annotations

import ast
import html
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from unboxed.data.readers.base import has_words
from unboxed.data.split_names import is_split, split_named
from unboxed.errors import DatasetError
from unboxed.types import MAX_CAPTION

__all__ = [
    "CAPTION_COLUMNS",
    "IMAGE_COLUMNS",
    "Row",
    "brief",
    "caption_columns",
    "column_of",
    "file_name",
    "row_of",
    "texts_in",
    "whole_number",
]

IMAGE_COLUMNS = (
    "image", "file_name", "filename", "image_name", "image_file", "image_filename", "image_path", "file_path",
    "filepath", "images", "img", "img_name", "img_path", "photo", "picture", "file", "path", "image_id", "photo_id",
    "img_id", "src", "image_url", "img_url", "fname", "basename",
)  # fmt: skip
"""The names of the column of images, the first one that a table has counts."""

CAPTION_COLUMNS = (
    "caption", "captions", "sentences", "sentence", "text", "txt", "title", "comment", "description", "raw", "alt_text",
    "alt", "prompt", "annotation",
)  # fmt: skip
"""The names of the column of captions, the first one that a table has counts."""

_NUMBERED = re.compile(rf"({'|'.join(CAPTION_COLUMNS)})_?\d+")
_NO_CAPTION = re.compile(r"(^|_)(id|ids|no|num|number|count|index|length|language|lang|source|url)$")
_SPLIT_COLUMNS = ("subset", "set", "partition", "fold")  # besides `split`; they may mean other things
_WHOLE = re.compile(r"(\d+)\.0+")  # an id that a column with gaps turned into a fraction
_ENTITY = re.compile(r"&(?:#\d{2,6}|#[xX][\da-fA-F]{2,5}|[a-zA-Z]{2,8}\d{0,2});")  # of a caption from a web page
_NO_COMMA = re.compile(r"""(?<=['"])\s+(?=['"])""")  # between the items of an array that NumPy printed
_BRIEF = 60  # characters
_DEEPEST = 3  # lists and objects around a caption
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
    """A column's name as it is compared: `Image Name` and `imageName` -> `image_name`."""
    words = re.sub(r"(?<=[a-z\d])(?=[A-Z])", "_", str(name).strip().strip("\"'"))
    return re.sub(r"[\s_-]+", "_", words.lower())


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
    texts = [t for name in caption_columns(values) for t in texts_in(values[name], where, exact=phrases is not None)]
    if phrases is not None and len(texts) > 1:
        raise DatasetError(f"{where}: `phrases` belong to one `caption`; write a line for each caption.")
    split = values.get("split") or next((values[name] for name in _SPLIT_COLUMNS if is_split(values.get(name))), None)
    return Row(where, image, tuple(texts), phrases, split_named(split, where))


def file_name(name: str) -> str:
    r"""A name as it is compared, so that `./a/1.jpg`, `a\1.jpg` and `a//1.jpg` are one image, `a/1.jpg`."""
    name = name.replace("\0", "").strip().removeprefix("file://")
    return name if "://" in name or not name else posixpath.normpath(name.replace("\\", "/"))


def whole_number(value: Any) -> Any:
    """An id as a text: `9`, `9.0` and `"9.0"` are "9"; other values stay."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        value = str(int(value))
    return number[1] if isinstance(value, str) and (number := _WHOLE.fullmatch(value.strip())) else value


def texts_in(value: Any, where: str, *, exact: bool = False, depth: int = 0) -> list[str]:
    """The captions of a value: a text, a list, or an object with columns of captions; not those without a word.

    Args:
        value: of a table, JSON or a Parquet file.
        where: the file and the line, for messages.
        exact: keep the text as it is written, because spans count its characters.
        depth: of the lists and objects around the value.

    Raises:
        DatasetError: a value of another kind.
    """
    items: Iterable[Any] | None = _printed_list(value) if isinstance(value, str) else None
    if isinstance(value, list):
        items = value
    elif isinstance(value, dict):
        named = {column_of(name): inner for name, inner in value.items()}
        items = [named[name] for name in caption_columns(named)] or None
    if items is not None and depth < _DEEPEST:
        return [text for item in items for text in texts_in(item, where, exact=exact, depth=depth + 1)]
    if value is None or _is_nan(value):
        return []
    if not isinstance(value, str):
        raise DatasetError(f"{where}: the caption is {brief(value)}; expected text in quotes.")
    if len(value) > MAX_CAPTION:
        raise DatasetError(
            f"{where}: the caption {value[:_BRIEF]!r}… has {len(value):,} characters, the limit is {MAX_CAPTION:,}; "
            "shorten it."
        )
    text = value if exact else _ENTITY.sub(lambda entity: html.unescape(entity[0]), value).strip()
    return [text] if has_words(text) and text.strip().lower() not in _NO_TEXT else []


def brief(value: Any) -> str:
    """A value in a message, shortened.

    >>> brief("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"
    """
    text = repr(value)
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]}…"


def _image(value: Any, where: str) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = next((value[key] for key in ("path", *IMAGE_COLUMNS) if value.get(key)), None)
    if value is None or _is_nan(value):
        return ""
    name = whole_number(value)
    if not isinstance(name, str):
        raise DatasetError(f"{where}: `image` is {brief(value)}; expected the name of one file.")
    return "" if name.strip().lower() in _NO_TEXT else file_name(name)


def _printed_list(text: str) -> list[Any] | None:
    """The items of a list as JSON, or as Python or NumPy print it; None for other texts."""
    if not (text.lstrip().startswith("[") and text.rstrip().endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            items = read(text if read is json.loads else _NO_COMMA.sub(", ", text.strip()))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(items, list) and all(isinstance(item, str | dict) for item in items):
            return items
    return None


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
