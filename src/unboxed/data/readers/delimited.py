"""Tables whose columns are separated by commas, tabs, semicolons or bars, and lists of `image.jpg<TAB>caption`."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath

from unboxed.data.images import SUFFIXES
from unboxed.data.readers.rows import CAPTION_COLUMNS, IMAGE_COLUMNS, Row, caption_columns, column_of, row_of
from unboxed.errors import DatasetError
from unboxed.runtime.urls import split_url

__all__ = ["delimited_rows", "is_delimited"]

_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_MAX_FIELD = 1_000_000  # characters; a long caption exceeds the default limit of the csv module
_DECLARED = re.compile(r'"?sep=([,\t;|])"?\s*')  # the first line that Excel writes and hides
_LOOKED_AT = 21  # lines, the first of them with the names of columns
_TAKEN = ("image", "caption", "captions")  # what the columns of images and captions are called
_NUMBER = re.compile(r"#\d+$")  # of a caption of an image, in Flickr8k.token.txt


@dataclass(frozen=True)
class _Layout:
    """How a table is written.

    Attributes:
        separator: between columns.
        columns: their names; "" for one that is not used.
        rows_after: the number of the line before the first row.
        note: a line about columns that their content names; "" if there are none.
    """

    separator: str
    columns: tuple[str, ...]
    rows_after: int
    note: str = ""


def is_delimited(text: str) -> bool:
    """Whether a text is a table of captions: its first line names the columns, or an image and a caption."""
    return _layout(text) is not None


def delimited_rows(text: str, path: Path, notes: list[str] | None = None) -> Iterator[Row]:
    """The rows of a table. Without a line of column names, the first column is the image and the last the caption.

    Args:
        text: of the table.
        path: for messages.
        notes: gets a line about columns with other than the known names.

    Raises:
        DatasetError: a missing column, a row of another length, quotes that do not close.
    """
    layout = _layout(text)
    if layout is None:
        raise DatasetError(f"{path}:1: {_missing_column(text)}")
    if layout.note and notes is not None:
        notes.append(f"{path}: {layout.note}")
    columns = layout.columns
    twice = next((name for name in IMAGE_COLUMNS if columns.count(name) > 1), None)
    if twice is not None:
        raise DatasetError(f"{path}:1: expected one column {twice!r}, found: {', '.join(columns)}.")
    for line, fields in _records(text, layout, path):
        if not any(field.strip() for field in fields):
            continue
        fields = _as_long(fields, columns, layout.separator)
        if len(fields) != len(columns):
            raise DatasetError(
                f"{path}:{line}: {len(fields)} fields, the first line has {len(columns)}; put captions that hold a "
                f"{_SEPARATORS[layout.separator]} in double quotes."
            )
        values = dict(zip(columns, fields, strict=True))
        if "image" in values:
            values["image"] = _NUMBER.sub("", values["image"])
        yield row_of(values, f"{path}:{line}")


def _layout(text: str) -> _Layout | None:
    first, after = _line(text, 0)
    separators = tuple(_SEPARATORS)
    if declared := _DECLARED.fullmatch(first):
        separators = (declared[1],)
        first, after = _line(text, after)
    for separator in separators:
        columns = _numbered([column_of(field) for field in _fields(first, separator)])
        if caption_columns(columns) and any(name in columns for name in IMAGE_COLUMNS):
            return _Layout(separator, tuple(columns), after)
    for separator in separators:
        if found := _columns_by_content(text, after, separator):
            return found
    for separator in sorted(separators, key=",".__eq__):  # the comma last, because captions hold commas
        if unnamed := _unnamed_columns(_fields(first, separator), separator):
            return _Layout(separator, unnamed, after - 1)
    return None


def _columns_by_content(text: str, after: int, separator: str) -> _Layout | None:
    """The layout of a table with other than the known column names, where one column has images and one has prose."""
    lines = text.split("\n", after + _LOOKED_AT)[after - 1 : after + _LOOKED_AT - 1]
    header, *rows = [fields for line in lines if (fields := _fields(line.rstrip("\r"), separator)) != [""]] or [[]]
    names = [column_of(name) for name in header]
    rows = [fields for fields in rows if len(fields) == len(names)]
    if len(names) < 2 or not rows or any(map(_is_image, header)):
        return None
    values = list(zip(*rows, strict=True))
    images = [place for place, name in enumerate(names) if name in IMAGE_COLUMNS]
    images = images or [place for place, column in enumerate(values) if all(map(_is_image, column))]
    known = caption_columns(names)
    captions = [place for place, name in enumerate(names) if name in known]
    captions = captions or [place for place, column in enumerate(values) if all(map(_is_prose, column))]
    if len(images) != 1 or len(captions) != 1:
        return None
    image, caption = header[images[0]].strip(), header[captions[0]].strip()
    columns = ["" if place not in (*images, *captions) and name in _TAKEN else name for place, name in enumerate(names)]
    columns[images[0]], columns[captions[0]] = "image", "caption"
    note = f"the column {image!r} is read as the names of images, and {caption!r} as captions."
    return _Layout(separator, tuple(columns), after, note)


def _is_image(value: str) -> bool:
    """Whether a value is the name of an image file, or the URL of one."""
    name = _NUMBER.sub("", value.strip())
    return PurePosixPath(split_url(name).path if "://" in name else name).suffix.lower() in SUFFIXES


def _is_prose(value: str) -> bool:
    """Whether a value has several words, most of them made of letters."""
    found = value.split()
    return len(found) > 2 and 2 * sum(word.strip(".,;:!?'\"()").isalpha() for word in found) > len(found)


def _unnamed_columns(fields: list[str], separator: str) -> tuple[str, ...]:
    """The columns of a table without column names, by its first row: an image and last a caption, or the other way."""
    if separator == ",":
        fields = _as_long(fields, ("image", "caption"), separator)
    ends = [_is_image(field) for field in (fields[0], fields[-1])]
    caption = fields[0] if ends[1] else fields[-1]
    if ends[0] == ends[1] or not any(letter.isalpha() for letter in caption) or (separator == "," and len(fields) != 2):
        return ()
    middle = [""] * (len(fields) - 2)
    return ("image", *middle, "caption") if ends[0] else ("caption", *middle, "image")


def _as_long(fields: list[str], columns: Sequence[str], separator: str) -> list[str]:
    """The fields of a row under the columns: a short row has empty ones at its end, and a last caption is prose.

    Prose is what a caption without quotes is: blanks follow its separators, as in `a.jpg,A man, in red, sits.`
    """
    extra = fields[len(columns) :]
    if not any(field.strip() for field in extra):  # of rows that end in separators
        fields, extra = fields[: len(columns)], []
    if extra and caption_columns(columns[-1:]) and all(field.startswith(" ") for field in extra):
        last = len(columns) - 1
        return [*fields[:last], separator.join(fields[last:])]
    return fields + [""] * (len(columns) - len(fields))


def _line(text: str, after: int) -> tuple[str, int]:
    """The first line after `after` lines that is not blank, and its number from 1."""
    for number, line in enumerate(text.split("\n")[after:], start=after + 1):
        if line.strip():
            return line.rstrip("\r"), number
    return "", after


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, quotechar=_quote(line)), []) or [""]
    except csv.Error:
        return [""]


def _numbered(columns: list[str]) -> list[str]:
    """The columns with a number for the second and further columns of captions of the same name."""
    return [
        f"{name}_{columns[:place].count(name)}" if name in CAPTION_COLUMNS and name in columns[:place] else name
        for place, name in enumerate(columns)
    ]


def _missing_column(text: str) -> str:
    first, _ = _line(text, 0)
    fields = max((_fields(first, separator) for separator in _SEPARATORS), key=len)
    found = ", ".join(stripped for field in fields if (stripped := field.strip())) or "an empty file"
    wanted = "caption" if any(column_of(field) in IMAGE_COLUMNS for field in fields) else "image"
    return f"expected one column {wanted!r}, found: {found[:200]}. Name it in the first line."


def _records(text: str, layout: _Layout, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the last line of each row, and its fields."""
    if layout.separator in "\t|":
        lines = [line.rstrip("\r") for line in text.split("\n")]
        split = [line.split(layout.separator) for line in lines]
        if all(len(fields) == len(layout.columns) for fields in split if any(field.strip() for field in fields)):
            # Quotes belong to the captions here, as in Flickr8k.token.txt, unless they enclose a whole field.
            for number, fields in enumerate(split[layout.rows_after :], start=layout.rows_after + 1):
                yield number, [_unquoted(field) for field in fields]
            return
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
    problem = None
    for escape in (None, "\\") if "\\" in text else (None,):  # databases write \" for a quote in quotes
        reader = csv.reader(
            StringIO(text, newline=""),
            strict=True,
            delimiter=layout.separator,
            quotechar=_quote(_line(text, 0)[0]),
            doublequote=escape is None,
            escapechar=escape,
        )
        try:
            rows = [(reader.line_num, fields) for fields in reader]
            yield from (row for row in rows if row[0] > layout.rows_after)
            return
        except csv.Error as error:
            problem = problem or f"{path}:{reader.line_num}: {error}; check the double quotes of this row."
    raise DatasetError(str(problem))


def _quote(first: str) -> str:
    """What encloses the fields of a table, by its first line."""
    return "'" if first.startswith("'") else '"'


def _unquoted(field: str) -> str:
    inside = field[1:-1].replace('""', "")
    return field[1:-1].replace('""', '"') if field[:1] == field[-1:] == '"' != field and '"' not in inside else field
