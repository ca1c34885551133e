"""CSV: a table with one row a box."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unboxed.export.label_format import LabelFormat, WriterOptions
from unboxed.runtime.atomic import write_text
from unboxed.runtime.csv_text import csv_text

if TYPE_CHECKING:
    from unboxed.export.labels import Selection

__all__ = ["COLUMNS", "FORMAT", "rows", "text"]

COLUMNS = (
    "image", "width", "height", "label", "score", "confidence", "x1", "y1", "x2", "y2", "phrase", "start", "end",
    "caption",
)  # fmt: skip
"""The columns in order. Boxes are in pixels of the upright image; `start` and `end` count characters of the caption;
`confidence` is empty where the model was not calibrated."""


def rows(selection: Selection) -> list[dict[str, str | int | float]]:
    """One dictionary a box with the keys of `COLUMNS`; of merged boxes, the phrase is that of the best one."""
    found: list[dict[str, str | int | float]] = []
    for image in selection.images:
        for box in image.boxes:
            row: list[str | int | float] = [image.name, image.width, image.height, box.category, round(box.score, 6)]
            row.append("" if box.confidence is None else round(box.confidence, 4))
            row += [round(edge, 2) for edge in box.box]
            row += [box.mention.phrase, box.mention.start, box.mention.end, box.mention.caption]
            found.append(dict(zip(COLUMNS, row, strict=True)))
    return found


def text(selection: Selection) -> str:
    """The content of the file: a line with the names of the columns, then `rows`.

    What a spreadsheet would take for a formula has an apostrophe before it (`runtime.csv_text`), which `start` and
    `end` do not count.
    """
    return csv_text(COLUMNS, [tuple(row.values()) for row in rows(selection)])


def _write(out: Path, selection: Selection, files: Mapping[str, Path], options: WriterOptions) -> None:
    write_text(out, text(selection))


FORMAT = LabelFormat("csv", ".csv", _write)
