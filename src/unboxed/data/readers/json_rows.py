"""Captions in JSON: a list of objects, an object a line, columns, or a dictionary of images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from unboxed.data.readers.rows import (
    IMAGE_COLUMNS,
    Row,
    brief,
    caption_columns,
    column_of,
    row_of,
    whole_number,
)
from unboxed.data.split_names import is_split
from unboxed.errors import DatasetError, plain_reason

__all__ = ["json_rows"]

_EXAMPLE = '{"image": "1.jpg", "caption": "A dog."}'
_LISTS = ("images", "data", "annotations", "rows")


def json_rows(text: str, path: Path) -> Iterator[Row]:
    """The rows of a file of either kind, whatever its suffix.

    Raises:
        DatasetError: not JSON, or no captions of images.
    """
    keys: list[str] = []  # of a row without an image or a caption, as long as no row has both
    has_both = False
    for content, where in _contents(text, path):
        row = _row(content, where)
        if row.image and row.captions:
            has_both = True
        elif not has_both and isinstance(content, dict):
            keys = keys or list(map(str, content))
        yield row
    if keys and not has_both:
        fix = "; export it from Label Studio as JSON-MIN" if {"data", "annotations"} <= set(keys) else ""
        raise DatasetError(f"{path}: its objects have {brief(', '.join(keys))}; expected such as {_EXAMPLE}{fix}.")


def _contents(text: str, path: Path) -> Iterator[tuple[Any, str]]:
    """The content of each row, and where it is."""
    if _is_json_lines(text, path):
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                where = f"{path}:{number}"
                yield _json(line, where, "write one object per line"), where
        return
    rows = _listed(_json(text, str(path), "expected a list of objects"), path)
    if not isinstance(rows, list):
        raise DatasetError(f"{path}: expected a list of objects such as {_EXAMPLE}.")
    for number, row in enumerate(rows, start=1):
        yield row, f"{path}, row {number}"


def _is_json_lines(text: str, path: Path) -> bool:
    """Whether each line is an object of its own: the first one is, and others follow."""
    first, _, rest = text.lstrip().partition("\n")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return not first.startswith("[") or first.startswith('["')
    if not first.startswith("{") or not rest.strip():
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _listed(content: Any, path: Path) -> Any:
    """The rows of a list, of COCO's captions, of a list under a usual key, of columns, or of {image: caption(s)}."""
    if not isinstance(content, dict):
        return content
    if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
        return _coco_rows(content, path)
    of_splits = {name: rows for name, rows in content.items() if is_split(name) and _are_objects(rows)}
    if of_splits and len(of_splits) == len(content):
        return [{**row, "split": name} for name, rows in of_splits.items() for row in rows]
    for key in _LISTS:
        if isinstance(content.get(key), list) and content[key] and isinstance(content[key][0], dict):
            return content[key]
    names, rows = content.get("columns"), content.get("data")
    if isinstance(names, list) and _are_lists(rows, len(names)):  # as pandas writes them with orient="split"
        return [dict(zip(map(str, names), row, strict=True)) for row in rows]
    columns = [column_of(name) for name in content]
    if caption_columns(columns) and any(name in columns for name in IMAGE_COLUMNS):
        return _column_rows(content, path)
    if not all(isinstance(texts, str | dict) or _are_texts(texts) for texts in content.values()):
        raise DatasetError(
            f"{path}: its object has {brief(', '.join(content))}; expected a list of such as {_EXAMPLE}."
        )
    return [
        {"image": image, **texts} if isinstance(texts, dict) else {"image": image, "caption": texts}
        for image, texts in content.items()
    ]


def _column_rows(content: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """Rows of `{"image": [...], "caption": [...]}`, or of columns by row number as pandas writes them."""
    if not any(isinstance(value, list | dict) for value in content.values()):
        return [dict(content)]  # a single object
    columns = {}
    for name, value in content.items():
        if not isinstance(value, list | dict):
            raise DatasetError(f"{path}: the column {name!r} is {value!r}; expected a list.")
        columns[name] = list(value.values()) if isinstance(value, dict) else value
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"{path}: its columns have different lengths, {lengths}; write one object per image.")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _coco_rows(content: dict[str, Any], path: Path) -> list[Any]:
    """COCO's captions joined with the names of their images."""
    try:
        names = {whole_number(image["id"]): image["file_name"] for image in content["images"]}
        return [
            {"image": names.get(whole_number(entry["image_id"])), "caption": entry["caption"]}
            for entry in content["annotations"]
        ]
    except (KeyError, TypeError) as error:
        lacking = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(
            f"{path} has `images` and `annotations`, and they are not those of COCO's captions ({lacking}); "
            "expected captions_….json."
        ) from None


def _are_objects(rows: Any) -> bool:
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) for row in rows)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _are_lists(rows: Any, length: int) -> TypeGuard[list[list[Any]]]:
    return isinstance(rows, list) and all(isinstance(row, list) and len(row) == length for row in rows)


def _row(row: Any, where: str) -> Row:
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str):
        row = {"image": row[0], "caption": row[1]}
    if not isinstance(row, dict):
        raise DatasetError(f"{where}: expected an object such as {_EXAMPLE}.")
    return row_of(row, where)


def _json(text: str, where: str, fix: str) -> Any:
    try:
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()  # raises for half a surrogate pair, which no file can hold
        return content
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: not JSON ({plain_reason(error)}); {fix}.") from None
