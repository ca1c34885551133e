"""The set of boxes that a phrase refers to: the best box, or several for "two people" and "computers".

The ranking of a phrase scores each region as if it were the only answer. For a phrase that names several things, its
best boxes often show the same thing, or all of them at once. The set is chosen from the ranking, best first:

* a box scores at least 0.3 of the best one after the next two rules, 0.1 where the phrase states a number;
* a box that holds two disjoint ones of nearly its score shows the group, and is left out;
* scores are reduced by how much the classes of a region differ from those of the best one, as several things of one
  phrase look alike;
* a box that overlaps one of the set (IoU above 0.3) or lies in it, or holds it, is the same thing again;
* a number that the phrase states is the most that are chosen, else 8;
* where the phrase states no number and most of many boxes score nearly as well as the best one, the ranking does not
  show how many there are, and the set is the best box; so it is where the phrase is hardly in the image (probability
  below 0.25).

The limits were chosen on the validation images of Flickr30K Entities; docs/metrics.md has the scores.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unboxed.boxes import area, intersection, iou
from unboxed.types import Array

__all__ = ["MOST", "phrase_set"]

MOST = 8
"""The most boxes of a phrase that states no number."""
_LEAST_SHARE, _LEAST_COUNTED = 0.3, 0.1  # of the best score; of a phrase that states a number
_SAME_IOU, _SAME_SHARE = 0.3, 0.6  # two boxes of one thing: IoU, or intersection by the smaller area
_HELD_SHARE, _SMALLER, _NEARLY = 0.8, 0.7, 0.7  # a box holds another: intersection, ratio of areas and of scores
_CLASS_WEIGHT = 0.8
_FLAT_SHARE, _FLAT_BOXES = 0.5, 2 * MOST  # a ranking of more boxes is flat where so many reach the lowest share

Floats = npt.NDArray[np.floating]


def phrase_set(
    boxes_N4: Array, scores_N: Array, number: int | None, class_probs_NK: Array | None = None
) -> tuple[int, ...]:
    """The ranks of the boxes that a phrase refers to, best first; none without boxes.

    Args:
        boxes_N4: ranked boxes of the phrase, best first.
        scores_N: >= 0, not increasing.
        number: of things that the phrase names (`text.plurals.phrase_number`); None for several.
        class_probs_NK: class probabilities of their regions; None where there are none.
    """
    if number == 1 or len(boxes_N4) < 2:
        return tuple(range(min(len(boxes_N4), 1)))
    least, most = (_LEAST_SHARE, MOST) if number is None else (_LEAST_COUNTED, number)
    if number is None and _is_flat(scores_N):
        return (0,)
    near = max(int((scores_N >= least**2 * scores_N[0]).sum()), 1)  # the rules below may lower the best score
    boxes, scores = boxes_N4[:near], scores_N[:near].astype(np.float64)
    overlap_NN, share_NN = iou(boxes, boxes), _intersection_by_smaller(boxes)
    scores = np.where(_groups(boxes, scores, overlap_NN, share_NN), 0, scores)
    if class_probs_NK is not None and class_probs_NK.shape[1]:
        scores = scores * (1 - _CLASS_WEIGHT + _CLASS_WEIGHT * _likeness(class_probs_NK[:near], int(scores.argmax())))
    found: list[int] = []
    for rank in np.argsort(-scores, kind="stable").tolist():
        if len(found) == most or scores[rank] <= 0 or scores[rank] < least * scores.max():
            break
        if (overlap_NN[rank, found] <= _SAME_IOU).all() and (share_NN[rank, found] <= _SAME_SHARE).all():
            found.append(rank)
    return tuple(found) or (0,)


def _is_flat(scores_N: Array) -> bool:
    """Whether most boxes score nearly as well as the best one, as for “waves” that no region shows."""
    return len(scores_N) > _FLAT_BOXES and float((scores_N >= _LEAST_SHARE * scores_N[0]).mean()) > _FLAT_SHARE


def _groups(boxes: Array, scores: Floats, overlap_NN: Floats, share_NN: Floats) -> npt.NDArray[np.bool_]:
    """`[N]`: does a box hold two disjoint, smaller boxes of nearly its score?"""
    areas = area(boxes)
    held_NN = (share_NN > _HELD_SHARE) & (areas[None] < _SMALLER * areas[:, None])
    held_NN &= scores[None] >= _NEARLY * scores[:, None]
    disjoint_NN = (overlap_NN < _SAME_IOU).astype(np.float64)
    return np.asarray(((held_NN @ disjoint_NN) * held_NN).any(axis=1))


def _likeness(class_probs_NK: Array, best: int) -> Floats:
    """`[N]` in [0, 1]: the cosine of each region's class probabilities and those of the best region."""
    norm_N = np.linalg.norm(class_probs_NK, axis=1)
    return np.asarray(class_probs_NK @ class_probs_NK[best] / np.maximum(norm_N * norm_N[best], 1e-9))


def _intersection_by_smaller(boxes: Array) -> Floats:
    """`[N, N]` in [0, 1]: the intersection of two boxes divided by the smaller area of the two."""
    areas = area(boxes)
    return np.asarray(intersection(boxes, boxes) / np.maximum(np.minimum(areas[:, None], areas[None]), 1e-6))
