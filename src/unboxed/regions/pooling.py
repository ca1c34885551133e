"""Mean of a feature map over boxes, exact to fractions of a cell.

A map is taken as constant within each of its cells. The mean over a box is then a product of two overlap vectors, one
for each axis, with the map: no rounding to cells, no sampling, and a box smaller than a cell still has its value.
"""

from __future__ import annotations

import numpy as np

from unboxed.regions.proposals import FeatureMap
from unboxed.types import Array

__all__ = ["overlap_weights", "pool"]


def overlap_weights(low: Array, high: Array, cells: int) -> Array:
    """Length of the overlap of each interval with each cell, `[R, cells]` in [0, 1].

    Args:
        low, high: `[R]` ends of the intervals, in cells.
        cells: cell i covers i..i+1.
    """
    edges = np.arange(cells, dtype=np.float32)
    overlap: Array = np.minimum(high[:, None], edges + 1) - np.maximum(low[:, None], edges)
    return np.asarray(np.clip(overlap, 0, 1), dtype=np.float32)


def pool(feature_map: FeatureMap, boxes: Array) -> Array:
    """The mean of a map over each box, `[R, V]`.

    Boxes are first cut to the map's window. One that has no area there takes the value of the nearest cell.

    Args:
        feature_map: `[V, h, w]` with its window.
        boxes: `[R, 4]` in pixels of the photograph.
    """
    channels, rows, columns = feature_map.values.shape
    x1, y1, x2, y2 = feature_map.window
    x_RX = _mean_weights(
        (boxes[:, 0] - x1) * (columns / (x2 - x1)), (boxes[:, 2] - x1) * (columns / (x2 - x1)), columns
    )
    y_RY = _mean_weights((boxes[:, 1] - y1) * (rows / (y2 - y1)), (boxes[:, 3] - y1) * (rows / (y2 - y1)), rows)
    rows_YVX = np.ascontiguousarray(feature_map.values.transpose(1, 0, 2)).reshape(rows, -1)
    pooled_RVX = (y_RY @ rows_YVX).reshape(len(boxes), channels, columns)
    return np.asarray((pooled_RVX @ x_RX[:, :, None])[:, :, 0], dtype=np.float32)


def _mean_weights(low: Array, high: Array, cells: int) -> Array:
    """Overlap weights that sum to one; never empty, since a thin interval is widened to a thousandth of a cell."""
    low = np.clip(low, 0, cells - 1e-3)
    high = np.clip(high, low + 1e-3, cells)
    weights = overlap_weights(low, high, cells)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
