"""File formats in which the page offers the boxes of a grounding for download."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from unboxed.export import coco, csv
from unboxed.export.labels import Selection
from unboxed.export.options import SelectionOptions
from unboxed.export.selection import select_boxes
from unboxed.inference.results import Grounding

__all__ = ["FORMATS", "DownloadFormat", "write_download"]


@dataclass(frozen=True)
class DownloadFormat:
    """A file format.

    Attributes:
        label: display name.
        suffix: ending of the file name.
        media_type: MIME type.
        write: function from a grounding and the name of its image to the content of the file.
    """

    label: str
    suffix: str
    media_type: str
    write: Callable[[Grounding, str], str]


def write_download(
    format_name: str, grounding: Grounding, image_name: str, *, top: int, min_score: float | None, absent: bool = False
) -> str:
    """The content of a file in one of `FORMATS`.

    Args:
        format_name: key of `FORMATS`.
        grounding: the grounding.
        image_name: name of the image.
        top: boxes for each phrase, at most, besides those that it refers to, such as two for "two people".
        min_score: boxes with a lower score are left out; None keeps all.
        absent: keep the boxes of phrases that are probably not in the image.
    """
    phrases = []
    for phrase in grounding.phrases:
        least = -inf if min_score is None else min_score
        chosen = phrase.chosen(top) if phrase.present or absent else []
        kept = [rank for rank in chosen if phrase.scores[rank] >= least]
        set_ranks = tuple(kept.index(rank) for rank in phrase.set_ranks if rank in kept)
        phrases.append(replace(phrase, boxes=phrase.boxes[kept], scores=phrase.scores[kept], set_ranks=set_ranks))
    return FORMATS[format_name].write(replace(grounding, phrases=tuple(phrases)), image_name)


def _json(grounding: Grounding, image_name: str) -> str:
    content = {
        "photo": image_name,
        "width": grounding.width,
        "height": grounding.height,
        "caption": grounding.caption,
    }
    return json.dumps(content | grounding.to_dict(), ensure_ascii=False, indent=1) + "\n"


def _coco(grounding: Grounding, image_name: str) -> str:
    content = coco.dataset(_every_box(grounding, image_name))
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _csv(grounding: Grounding, image_name: str) -> str:
    return csv.text(_every_box(grounding, image_name))


def _every_box(grounding: Grounding, image_name: str) -> Selection:
    """Every box that `write_download` has left, named by its whole phrase."""
    most = max((len(phrase.boxes) for phrase in grounding.phrases), default=1)
    options = SelectionOptions(float("-inf"), min_confidence=0, top=max(most, 1), names="phrases", merge=1)
    return select_boxes([grounding], [image_name], options)


FORMATS = {
    "json": DownloadFormat("JSON", "json", "application/json", _json),
    "coco": DownloadFormat("COCO", "coco.json", "application/json", _coco),
    "csv": DownloadFormat("CSV", "csv", "text/csv; charset=utf-8", _csv),
}
