"""A table: one row a box, for spreadsheets and for programs of one's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from unboxed.export.selection import BoxChoice, choose
from unboxed.inference.results import Grounding

__all__ = ["COLUMNS", "rows", "text"]

COLUMNS = (
    "image", "width", "height", "label", "score", "confidence", "x1", "y1", "x2", "y2", "phrase", "start", "end",
    "caption",
)  # fmt: skip
"""The first line. Boxes are in pixels of the upright image; `start` and `end` count characters of the caption;
`confidence` is empty where the model was not calibrated."""


def rows(
    groundings: Sequence[Grounding], images: Sequence[str], choice: BoxChoice | None = None
) -> list[dict[str, str | int | float]]:
    """One dictionary a box, with the keys of `COLUMNS`; a box that several phrases mean has the surest one's.

    Args:
        groundings: of any number of captions an image.
        photos: the photograph's name of each grounding.
        choice: which boxes.
    """
    found: list[dict[str, str | int | float]] = []
    for image in choose(groundings, images, choice).images:
        for box in image.boxes:
            about: list[str | int | float] = [image.name, image.width, image.height, box.category, round(box.score, 6)]
            about.append("" if box.confidence is None else round(box.confidence, 4))
            about += [round(edge, 2) for edge in box.box]
            about += [box.mention.phrase, box.mention.start, box.mention.end, box.mention.caption]
            found.append(dict(zip(COLUMNS, about, strict=True)))
    return found


def text(groundings: Sequence[Grounding], images: Sequence[str], choice: BoxChoice | None = None) -> str:
    """The file: `rows` under a line with the names of the columns."""
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(groundings, images, choice))
    return written.getvalue()
