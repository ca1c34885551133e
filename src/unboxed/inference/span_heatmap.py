"""The heat map of a part of a caption: the attention of its words over the pixels of the image."""

from __future__ import annotations

import numpy as np

from unboxed.attention.heatmaps import positive_heat, upsampled
from unboxed.errors import CaptionError
from unboxed.inference.results import Grounding
from unboxed.text.phrases import content_mask, content_or_all
from unboxed.text.tokens import Word
from unboxed.types import Array
from unboxed.visualization.heat import heat_map

__all__ = ["span_heat"]


def span_heat(grounding: Grounding, span: tuple[int, int] | None = None) -> Array:
    """The heat `[H, W]` in [0, 1] of every pixel of the image; the maximum is 1.

    The attention of the span's nouns and adjectives (of all its words without any) is spread over the boxes of the
    regions. Models with heat maps use the mean map of the span's phrases instead.

    Args:
        grounding: of the image and the caption.
        span: characters (start, end) of the caption; None for all of it.

    Raises:
        CaptionError: no word of the caption lies in the span.
    """
    start, end = span or (0, len(grounding.caption))
    inside_W = np.array([first < end and last > start for first, last in grounding.words], dtype=bool)
    if not inside_W.any():
        raise CaptionError(
            f"No word of {grounding.caption!r} lies in characters {start}..{end}; spans count characters from 0."
        )
    size = (grounding.width, grounding.height)
    if grounding.heat_PYX is not None:
        inside = [p for p, phrase in enumerate(grounding.phrases) if phrase.start < end and phrase.end > start]
        if inside:
            return positive_heat(upsampled(grounding.heat_PYX[inside].mean(axis=0), *size))
    found = [Word(grounding.caption[first:last].lower(), first, last) for first, last in grounding.words]
    chosen_W = content_or_all(inside_W, content_mask(found, grounding.phrases))
    weight_R = grounding.attention_WR[chosen_W].mean(axis=0)
    return np.asarray(heat_map(grounding.regions.boxes, weight_R, size, size), dtype=np.float32)
