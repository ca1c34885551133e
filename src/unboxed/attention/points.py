"""The point that a phrase is pointed at: where it most probably is, which need not be the centre of its best box."""

from __future__ import annotations

import numpy as np

from unboxed.boxes import centre
from unboxed.types import Array

__all__ = ["covered_points"]

_EQUAL = 0.97  # of the largest probability: points that are this probable are equally good
_LEAST = 1e-3  # of the largest probability of a region: the others are left out


def covered_points(probability_PR: Array, boxes_R4: Array) -> Array:
    """For each phrase the point `[P, 2]`, x and y, that its region most probably covers.

    A point is covered with the sum of the probabilities of the regions whose boxes contain it. The result is the
    centroid of all points that are covered with at least 0.97 of the largest sum: where the candidates overlap.

    Args:
        probability_PR: that each region is the one a phrase refers to.
        boxes_R4: the boxes of the R >= 1 regions, in pixels.
    """
    points = [_covered_point(probability_R.astype(np.float64), boxes_R4) for probability_R in probability_PR]
    return np.array(points, dtype=np.float32).reshape(-1, 2)


def _covered_point(probability_R: Array, boxes_R4: Array) -> Array:
    kept = probability_R >= _LEAST * probability_R.max()
    probability_R, boxes = probability_R[kept], boxes_R4[kept].astype(np.float64)
    x, width, across_RX = _cells(boxes[:, 0], boxes[:, 2])
    y, height, down_RY = _cells(boxes[:, 1], boxes[:, 3])
    covered_YX = (probability_R[:, None] * down_RY).T @ across_RX
    if not covered_YX.any():  # no box has an area
        return np.asarray(centre(boxes[probability_R.argmax()]))
    area_YX = height[:, None] * width * (covered_YX >= _EQUAL * covered_YX.max())
    return np.asarray(np.array([(area_YX * x).sum(), (area_YX.T * y).sum()]) / area_YX.sum())


def _cells(low_R: Array, high_R: Array) -> tuple[Array, Array, Array]:
    """The middles `[X]` and widths `[X]` of the intervals between all edges, and which boxes cover them, `[R, X]`."""
    edges = np.unique(np.concatenate([low_R, high_R]))
    middle = (edges[1:] + edges[:-1]) / 2
    return middle, np.diff(edges), ((low_R[:, None] < middle) & (middle < high_R[:, None])).astype(np.float64)
