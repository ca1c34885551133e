"""JSON lines of parts of a dataset, each with the record of its part as the last line, and their merged file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from unboxed.errors import StoreError, plain_reason
from unboxed.runtime.atomic import atomic_path
from unboxed.runtime.locks import new_file_lock
from unboxed.runtime.parts import FORMAT, PartRecord, require_all_parts

__all__ = ["merge_lines"]


class _Line(NamedTuple):
    """Where the line of an image lies, and the place of the image in the dataset."""

    place: int
    name: str
    file: int
    start: int


def merge_lines(paths: Sequence[Path], out: Path) -> int:
    """Write the lines of all parts to one file, in the order of the dataset.

    A line names its image under `key` or `image`. A first line that names a format stays the first one; lines of images
    that the record does not have are left out. Only the places of the lines are held in memory.

    Args:
        paths: files of the parts, in any order.
        out: the file to write; it must not exist yet.

    Returns:
        The number of images.

    Raises:
        StoreError: a part is missing, given twice, unfinished or damaged, or made from another dataset or by another
            run; or `out` exists. Nothing is written then.
    """
    with new_file_lock(out, StoreError(f"{out} exists already; choose a new file for the merged lines.")):
        return _merged(paths, out)


def _merged(paths: Sequence[Path], out: Path) -> int:
    records: list[tuple[Path, PartRecord]] = []
    lines: list[_Line] = []
    heads: list[str | None] = []
    for number, path in enumerate(paths):
        head, record, found = _read(path, number)
        heads.append(head)
        records.append((path, record))
        lines += found
    require_all_parts(records)
    if other := next((path for path, head in zip(paths, heads, strict=True) if head != heads[0]), None):
        raise StoreError(f"{other} was made with another run or other options than {paths[0]}; make this part again.")
    with atomic_path(out) as partial, partial.open("wb") as written:
        written.write((heads[0] or "").encode())
        first_of = {line.name: line for line in sorted(lines, reverse=True)}  # the same image may be in two parts
        for line in sorted(first_of.values()):
            with paths[line.file].open("rb") as stream:
                stream.seek(line.start)
                written.write(stream.readline())
    return len(first_of)


def _read(path: Path, number: int) -> tuple[str | None, PartRecord, list[_Line]]:
    """The head of a part, if it has one, its record, and its lines."""
    head, last, found = None, None, list[tuple[str, int]]()
    try:
        for start, text in _lines(path):
            last = json.loads(text)
            if start == 0 and last.get("format") not in (None, FORMAT):
                head = text
            elif isinstance(name := last.get("key", last.get("image")), str):
                found.append((name, start))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read ({plain_reason(error)}); make this part again.") from error
    if not isinstance(last, dict) or last.get("format") != FORMAT:
        raise StoreError(f"{path} is no finished part: it does not end with the record of one. Use --part K/N.")
    record = PartRecord.from_dict(last, path)
    lines = [_Line(record.places[name], name, number, start) for name, start in found if name in record.places]
    return head, record, lines


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, each with the number of its first byte."""
    with path.open("rb") as stream:
        start = 0
        for line in stream:
            yield start, line.decode("utf-8")
            start += len(line)
