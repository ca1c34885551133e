"""Scores of phrases with regions from affinities and class scores, and the places that both have (SPRM 3.2).

The E columns of both are those of `unboxed.priors.semantic`: classes and parts of persons, one for boxes around several
things, and six places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.boxes import centre
from unboxed.text.phrases import PhraseWords
from unboxed.types import Array

__all__ = ["ELSEWHERE", "REQUIRED", "SPATIAL_WORDS", "box_places", "phrase_places", "scores", "text_places"]

REQUIRED = 2.0
"""The affinity of a place that excludes all regions elsewhere; one of 1 only prefers the regions in the place."""

ELSEWHERE = -1e4
"""The score of excluded regions, whose share in a softmax is 0 as with SPRM's -1e8, but which fits half precision."""


SPATIAL_WORDS = ("left", "right", "center", "top", "bottom", "middle")
_SPELLED = {"centre": "center", "leftmost": "left", "rightmost": "right"}


def scores(affinity_PE: Any, class_score_RE: Any) -> Any:
    """How well every region fits every phrase, `[…, P, R]` in [0, 1]; 0 for phrases that match no class.

    Plain cosines (`PriorSettings.affinities`) and embeddings of crops give values in [-1, 1], and excluded regions have
    `ELSEWHERE`.

    Args:
        affinity_PE: `[…, P, E]`, rows of `SemanticPrior.affinity`; NumPy or torch, as `class_score_RE`. With the rows
            of N head nouns, one after the other (`[…, P, N E]`), the noun counts that a region fits best.
        class_score_RE: `[…, R, E]`, rows of `SemanticPrior.class_scores`; padded regions are zeros. Leading axes are
            broadcast: `[1, C, P, E]` with `[B, 1, R, E]` gives `[B, C, P, R]`.
    """
    if (nouns := affinity_PE.shape[-1] // max(class_score_RE.shape[-1], 1)) > 1:
        return _of_the_best_noun(affinity_PE, class_score_RE, nouns)
    things = affinity_PE.shape[-1] - len(SPATIAL_WORDS) - 1
    fit = _products(affinity_PE[..., :things], class_score_RE[..., :things])
    fit = fit * (1 + _products(affinity_PE[..., things : things + 1], class_score_RE[..., things : things + 1]))
    placed = _products(affinity_PE[..., things + 1 :], class_score_RE[..., things + 1 :])
    required = (affinity_PE[..., things + 1 :] >= REQUIRED).any(axis=-1)[..., None]
    in_place = (placed >= 0.5) & ((fit > 0) | required)
    kept = in_place | ~(in_place.any(axis=-1, keepdims=True) | required)
    score = (fit * kept).clip(-1, 1)
    return score + ELSEWHERE * (required & ~kept) if required.any() else score


def _of_the_best_noun(affinity_PE: Any, class_score_RE: Any, nouns: int) -> Any:
    """`[…, P, R]` from the rows of N nouns of each phrase: the scores of the noun that has the highest one."""
    *leading, phrases, width = affinity_PE.shape
    score = scores(affinity_PE.reshape(*leading, phrases * nouns, width // nouns), class_score_RE)
    regions = score.shape[-1]
    score_PNR = score.reshape(*score.shape[:-2], phrases, nouns, regions)
    best_P = score_PNR.reshape(*score.shape[:-2], phrases, nouns * regions).argmax(axis=-1) // max(regions, 1)
    return sum(score_PNR[..., noun, :] * (best_P == noun)[..., None] for noun in range(nouns))


def _products(affinity: Any, class_score: Any) -> Any:
    """`[…, P, R]` inner products; where every leading axis belongs to one side, as one product of two matrices."""
    if affinity.ndim == 4 and class_score.ndim == 4 and affinity.shape[0] == 1 and class_score.shape[1] == 1:
        captions, phrases, width = affinity.shape[1:]
        images, regions = class_score.shape[0], class_score.shape[2]
        flat = affinity.reshape(captions * phrases, width) @ class_score.reshape(images * regions, width).T
        return flat.reshape(captions, phrases, images, regions).swapaxes(1, 2).swapaxes(0, 1)
    return affinity @ class_score.swapaxes(-1, -2)


def phrase_places(phrase: PhraseWords) -> Array:
    """`[6]`, 1 for each of `SPATIAL_WORDS` that is a word of the phrase.

    A place that is the head noun does not count: “the left side” is left, but “a tank top” is not on top and “the
    bottom” is nowhere.
    """
    places = {_SPELLED.get(word, word) for word in phrase.words} - {phrase.head, _SPELLED.get(phrase.head, phrase.head)}
    return np.array([place in places for place in SPATIAL_WORDS], dtype=np.float32)


def text_places(phrase: str) -> Array:
    """`[6]`, 1 for each of `SPATIAL_WORDS` that occurs in the text in small letters, else all 1, as in SPRM's code.

    “bright” is right, and “laptop” top.
    """
    found = np.array([place in phrase for place in SPATIAL_WORDS], dtype=np.float32)
    return found if found.any() else np.ones_like(found)


def box_places(boxes: Array, labels: Sequence[int] | npt.NDArray[np.integer], *, released: bool = False) -> Array:
    """`[R, 6]`, 1 for each of `SPATIAL_WORDS` that holds of a box among the boxes of its label.

    Left is the box with the leftmost centre of its group, center one that is neither left nor right, and so on from
    top to bottom. All places hold of a box that is alone in its group.

    Args:
        boxes: `[R, 4]`.
        labels: R groups; all places hold of a box with a negative label.
        released: with the slip of SPRM's code in `center`: a box that is not left, and whose centre is not as far down
            as the rightmost centre is to the right.
    """
    label_R = np.asarray(labels, dtype=np.intp)
    same_RR = (label_R[:, None] == label_R) & (label_R >= 0)
    x_R, y_R = centre(boxes).T
    left_R, right_R, most_R = _ends(x_R, same_RR)
    top_R, bottom_R, _ = _ends(y_R, same_RR)
    center_R = ~(left_R | ((y_R == most_R) if released else right_R))
    columns = [left_R, right_R, center_R, top_R, bottom_R, ~(top_R | bottom_R)]
    alone_R = same_RR.sum(axis=1) < 2
    return np.asarray(np.stack(columns, axis=1) | alone_R[:, None], dtype=np.float32)


def _ends(position_R: Array, same_RR: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], ...]:
    """Which positions are the least and the greatest of their group, and the greatest of each one's group."""
    least_R = np.where(same_RR, position_R, np.inf).min(axis=1, initial=np.inf)
    greatest_R = np.where(same_RR, position_R, -np.inf).max(axis=1, initial=-np.inf)
    return position_R == least_R, position_R == greatest_R, greatest_R
