"""`supervision.Detections`: boxes in the hand of those who draw, count and track with Roboflow's supervision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unboxed.errors import ExportError
from unboxed.types import Grounding

if TYPE_CHECKING:
    import supervision

__all__ = ["detections"]


def detections(grounding: Grounding, min_score: float = 0.0, top: int = 1) -> supervision.Detections:
    """The boxes of a grounding.

    `class_id` is the phrase's place in the caption; `data` has `class_name` (the phrase, which supervision's annotators
    print), `start` and `end`.

    Args:
        grounding: of one caption and one image.
        min_score: boxes that score less are left out.
        top: boxes a phrase at most.

    Raises:
        ExportError: the package is missing.
    """
    try:
        from supervision import Detections
    except ImportError:
        raise ExportError('supervision is not installed; pip install "unboxed[supervision]"') from None
    boxes, scores, places = [], [], []
    for place, phrase in enumerate(grounding.phrases):
        if phrase.present:
            keep = (phrase.scores[:top] >= min_score).nonzero()[0]
            boxes.append(phrase.boxes[keep])
            scores.append(phrase.scores[keep])
            places += [place] * len(keep)
    said = [grounding.phrases[place] for place in places]
    return Detections(
        xyxy=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        confidence=np.concatenate([np.zeros(0, np.float32), *scores]),
        class_id=np.array(places, dtype=int),
        data={
            "class_name": np.array([phrase.text for phrase in said], dtype=str),
            "start": np.array([phrase.start for phrase in said], dtype=int),
            "end": np.array([phrase.end for phrase in said], dtype=int),
        },
    )
