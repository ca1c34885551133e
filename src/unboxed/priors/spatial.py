"""Left, right, center, top, bottom, middle: where a box is among its like (SPRM, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unboxed.boxes import centre
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import words
from unboxed.types import Array

__all__ = ["SPATIAL_WORDS", "box_relations", "phrase_places"]

SPATIAL_WORDS = ("left", "right", "center", "top", "bottom", "middle")
_SPELLED = {"centre": "center", "leftmost": "left", "rightmost": "right"}


def phrase_places(phrase: str) -> Array:
    """`[6]`, 1 for each of `SPATIAL_WORDS` that the phrase says as a word of its own.

    The paper's code looks for them anywhere in the text, so that “bright” is right and “laptop” top. A place that the
    phrase is about is none (“a tank top”, “the left side” is left, “the bottom” nothing).
    """
    said = [_SPELLED.get(word.text, word.text) for word in words(phrase)]
    head = head_noun(phrase)
    heads = {head, _SPELLED.get(head, head)}
    return np.array([place in said and place not in heads for place in SPATIAL_WORDS], dtype=np.float32)


def box_relations(boxes: Array, labels: Sequence[int] | npt.NDArray[np.integer]) -> Array:
    """`[R, 6]`, 1 for each of `SPATIAL_WORDS` that holds of a box among the boxes of its label.

    Left is the box with the leftmost centre of its group, center one that is neither left nor right, and so on
    downwards. A box alone is everything. (In the paper's code `center` has a slip that this does not repeat.)

    Args:
        boxes: `[R, 4]`.
        labels: R groups; a box with a negative one is in no group and is everything.
    """
    own = np.asarray(labels, dtype=np.intp)
    alike_RR = (own[:, None] == own) & (own >= 0)
    columns = []
    for place in centre(boxes).T:
        first = place == np.where(alike_RR, place, np.inf).min(axis=1, initial=np.inf)
        last = place == np.where(alike_RR, place, -np.inf).max(axis=1, initial=-np.inf)
        columns += [first, last, ~(first | last)]
    alone = alike_RR.sum(axis=1) < 2
    return np.asarray(np.stack(columns, axis=1) | alone[:, None], dtype=np.float32)
