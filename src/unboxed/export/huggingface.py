"""The output of the zero-shot object detection pipeline of transformers, for programs that read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unboxed.export.label_format import LabelFormat
from unboxed.runtime.atomic import write_text

if TYPE_CHECKING:
    from unboxed.export.selection import Selection

__all__ = ["FORMAT", "pipeline_output"]


def pipeline_output(selection: Selection) -> dict[str, list[dict[str, Any]]]:
    """For each image the pipeline's list of `score`, `label` and `box`, best first.

    The label is the phrase, and edges are cut to whole pixels, as in the pipeline. The keys `start`, `end` and
    `caption`, which the pipeline does not have, locate the phrase in its caption.

    Args:
        selection: usually made with `SelectionOptions(names="phrases", merge=1)`, which gives each phrase its box.
    """
    return {
        image.name: [
            {
                "score": round(box.score, 6),
                "label": box.mention.phrase,
                "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), map(int, box.box), strict=True)),
                "start": box.mention.start,
                "end": box.mention.end,
                "caption": box.mention.caption,
            }
            for box in image.boxes
        ]
        for image in selection.images
    }


def _write(out: Path, selection: Selection, files: Mapping[str, Path]) -> None:
    write_text(out, json.dumps(pipeline_output(selection), ensure_ascii=False) + "\n")


FORMAT = LabelFormat("hf", ".json", _write, labels_are_phrases=True)
