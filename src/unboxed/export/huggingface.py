"""What the zero-shot object detection pipeline of transformers answers: for programs that were written for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unboxed.export.selection import BoxChoice, choose
from unboxed.inference.results import Grounding

__all__ = ["pipeline_output"]


def pipeline_output(
    groundings: Sequence[Grounding], images: Sequence[str], choice: BoxChoice | None = None
) -> dict[str, list[dict[str, Any]]]:
    """For each image the list that the pipeline answers: `score`, `label` and `box`, best first.

    The label is the phrase, and the box is cut to whole pixels, as the pipeline's is; `start`, `end` and `caption` say
    where it stands in the text, which the pipeline does not.

    Args:
        groundings: of any number of captions an image.
        photos: the photograph's name of each grounding.
        choice: which boxes; by default every phrase counts by its own words.
    """
    chosen = choose(groundings, images, choice or BoxChoice(names="phrases", merge=1.0))
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
        for image in chosen.images
    }
