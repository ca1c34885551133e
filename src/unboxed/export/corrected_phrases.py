"""Corrections of labels as boxes of phrases, for a fit that is asked to use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unboxed.errors import ExportError
from unboxed.export.corrections import CorrectedBox, CorrectedImage
from unboxed.export.corrections_file import read_corrections

if TYPE_CHECKING:
    from unboxed.training.corrected_boxes import PhraseBox

__all__ = ["read_phrase_boxes"]


def read_phrase_boxes(path: Path) -> dict[str, list[PhraseBox]]:
    """The boxes that people accepted, drew or moved, by the name of their image.

    In an image that was marked as checked, these are all boxes that were not rejected. A box that was renamed is left
    out: its phrase may not be what it shows.

    Args:
        path: `NAME.corrections.jsonl`, beside the labels.

    Raises:
        ExportError: there is no such file, it is something else, a line is damaged, or nothing was corrected.
    """
    if not path.is_file():
        raise ExportError(f"There is no file {path}; the studio and the review page make NAME.corrections.jsonl.")
    found = {state.labelled.name: _boxes(state) for state in read_corrections(path).values()}
    if not any(found.values()):
        raise ExportError(f"{path} has no box that was accepted, drawn or moved; leave out --use-corrections.")
    return {name: boxes for name, boxes in found.items() if boxes}


def _boxes(state: CorrectedImage) -> list[PhraseBox]:
    from unboxed.training.corrected_boxes import PhraseBox

    size = (state.labelled.width, state.labelled.height) * 2
    boxes = []
    for box in filter(lambda box: _is_right(box, state.checked), state.boxes):
        x1, y1, x2, y2 = (edge / side for edge, side in zip(box.label.box, size, strict=True))
        boxes += [
            PhraseBox(mention.caption, mention.start, mention.end, (x1, y1, x2, y2))
            for mention in (box.label.mention, *box.label.also)
        ]
    return boxes


def _is_right(box: CorrectedBox, checked: bool) -> bool:
    renamed = box.found is not None and box.label.category != box.found.category
    return not renamed and (box.verdict == "accepted" or (checked and box.verdict == ""))
