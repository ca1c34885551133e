"""Left, right, center, top, bottom, middle: where a box is among its like (SPRM, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unboxed.boxes import centre
from unboxed.phrases import head_noun
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
    relations = np.ones((len(boxes), len(SPATIAL_WORDS)), dtype=np.float32)
    own = np.asarray(labels, dtype=np.intp)
    for label in np.unique(own[own >= 0]):
        members = np.flatnonzero(own == label)
        if len(members) < 2:
            continue
        x, y = centre(boxes[members]).T
        left, right, top, bottom = x == x.min(), x == x.max(), y == y.min(), y == y.max()
        relations[members] = np.stack([left, right, ~(left | right), top, bottom, ~(top | bottom)], axis=1)
    return relations
