"""The rows of a table of captions: CSV, JSONL, JSON, or a folder with a text file for each image.

A row is a dictionary with `image`, and `caption` or `captions`; `where` is its file and line. The column names of other
tools are accepted: `file_name` and `filename` for `image`, `text` for `caption`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unboxed.data.images import SUFFIXES as IMAGE_SUFFIXES
from unboxed.errors import DatasetError

__all__ = ["SUFFIXES", "Row", "captioned_images", "table_rows"]

SUFFIXES = (".csv", ".jsonl", ".json")

Row = Mapping[str, Any]

_ALSO = {"image": ("file_name", "filename"), "caption": ("text",)}
_MAX_FIELD = 1_000_000  # characters; a long caption exceeds the default limit of the csv module


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
        raise DatasetError(f"{where}: not JSON ({error}); {fix}.") from None


def _text(path: Path) -> str:
    try:
        # Read as bytes, because reading as text would change the line breaks of captions.
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); expected a .csv or .jsonl file.") from None
