"""Left, right, center, top, bottom, middle: of phrases, and of boxes among those of their class (SPRM 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unboxed.boxes import centre
from unboxed.text.phrases import PhraseWords
from unboxed.types import Array

__all__ = ["SPATIAL_WORDS", "box_places", "phrase_places"]

SPATIAL_WORDS = ("left", "right", "center", "top", "bottom", "middle")
_SPELLED = {"centre": "center", "leftmost": "left", "rightmost": "right"}


def phrase_places(phrase: PhraseWords) -> Array:
    """`[6]`, 1 for each of `SPATIAL_WORDS` that is a word of the phrase.

    A place that is the head noun does not count: “the left side” is left, but “a tank top” is not on top and “the
    bottom” is nowhere. The paper's code searches the whole text, so that “bright” is right and “laptop” top.
    """
    places = {_SPELLED.get(word, word) for word in phrase.words} - {phrase.head, _SPELLED.get(phrase.head, phrase.head)}
    return np.array([place in places for place in SPATIAL_WORDS], dtype=np.float32)


def box_places(boxes: Array, labels: Sequence[int] | npt.NDArray[np.integer]) -> Array:
    """`[R, 6]`, 1 for each of `SPATIAL_WORDS` that holds of a box among the boxes of its label.

    Left is the box with the leftmost centre of its group, center one that is neither left nor right, and so on from
    top to bottom. All places hold of a box that is alone in its group. (The paper's code computes `center` wrongly.)

    Args:
        boxes: `[R, 4]`.
        labels: R groups; all places hold of a box with a negative label.
    """
    label_R = np.asarray(labels, dtype=np.intp)
    same_RR = (label_R[:, None] == label_R) & (label_R >= 0)
    columns = []
    for position_R in centre(boxes).T:
        first = position_R == np.where(same_RR, position_R, np.inf).min(axis=1, initial=np.inf)
        last = position_R == np.where(same_RR, position_R, -np.inf).max(axis=1, initial=-np.inf)
        columns += [first, last, ~(first | last)]
    alone_R = same_RR.sum(axis=1) < 2
    return np.asarray(np.stack(columns, axis=1) | alone_R[:, None], dtype=np.float32)
