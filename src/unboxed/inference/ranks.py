"""Ranks of the correct results among all images and captions, and the area under the curve of two classes.

Ranks are found without sorting: incorrect candidates are counted.

The rank of a query's correct result is 1 + the number of incorrect candidates that score at least as high: ties count
against the model, and so does NaN. The correct result of an image is the best of its captions; its other captions are
not incorrect candidates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["area_under_curve", "retrieval_ranks", "rsum"]

_BLOCK = 1 << 24  # pairs compared at a time: bounds the memory, not the result

Index = npt.NDArray[np.integer]


def retrieval_ranks(score_BC: npt.NDArray[np.floating], image_of_C: Index) -> tuple[Index, Index]:
    """Ranks from 1 of each image's best caption, `[B]`, and of each caption's image, `[C]`.

    Args:
        score_BC: higher is better; any sign, infinities too.
        image_of_C: index of each caption's image; every image has at least one caption.
    """
    images, captions = score_BC.shape
    true_C = score_BC[image_of_C, np.arange(captions)]
    rank_B, rank_C = np.ones(images, dtype=np.int64), np.ones(captions, dtype=np.int64)
    rows = max(_BLOCK // captions, 1)
    for first in range(0, images, rows):
        block_BC = score_BC[first : first + rows]
        paired_BC = image_of_C == np.arange(first, first + len(block_BC))[:, None]
        best_B = np.where(paired_BC, block_BC, -np.inf).max(axis=1)
        # "not below" and not "at least": a score that is not a number is then never in the model's favour.
        rank_B[first : first + rows] += (~(block_BC < best_B[:, None]) & ~paired_BC).sum(axis=1)
        rank_C += (~(block_BC < true_C) & ~paired_BC).sum(axis=0)
    return rank_B, rank_C


def rsum(score_BC: npt.NDArray[np.floating], image_of_C: Index) -> float:
    """The sum in [0, 600] of R@1, R@5 and R@10 of both directions, in percent; see `retrieval_ranks`."""
    return float(sum(100 * (rank <= k).mean() for rank in retrieval_ranks(score_BC, image_of_C) for k in (1, 5, 10)))


def area_under_curve(score_N: npt.NDArray[np.float64], present_N: npt.NDArray[np.bool_]) -> float:
    """The share of pairs of a present and an absent phrase in which the present one scores higher; ties count half."""
    absent = np.sort(score_N[~present_N])
    below = np.searchsorted(absent, score_N[present_N], side="left")
    not_above = np.searchsorted(absent, score_N[present_N], side="right")
    return float((below + not_above).mean() / 2 / len(absent))
