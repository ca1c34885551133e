"""Mean of a feature map over boxes, exact to fractions of a cell.

A map is taken as constant within each of its cells. Its summed-area table then grows linearly across a cell, so the sum
over any box is the table at the box's four corners, interpolated: no rounding to cells, no sampling, and a box smaller
than a cell still has its value. (A product of matrices would do as well, but its library brings threads of its own,
which get in the way of the workers of an extraction.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unboxed.regions.proposals import FeatureMap
from unboxed.types import Array

__all__ = ["box_sums", "pool"]

Double = npt.NDArray[np.float64]


def pool(feature_map: FeatureMap, boxes: Array) -> Array:
    """The mean of a map over each box, `[R, V]`.

    Boxes are first cut to the map's window. One that has no area there takes the value of the nearest cell.

    Args:
        feature_map: `[V, h, w]` with its window.
        boxes: `[R, 4]` in pixels of the photograph.
    """
    _, rows, columns = feature_map.values.shape
    x1, y1, x2, y2 = feature_map.window
    to_cells = np.array([columns / (x2 - x1), rows / (y2 - y1)] * 2)
    cells = (boxes.astype(np.float64) - [x1, y1, x1, y1]) * to_cells
    # A thousandth of a cell at least: thin enough to be the value of the cell it is in.
    cells[:, :2] = np.clip(cells[:, :2], 0, [columns - 1e-3, rows - 1e-3])
    cells[:, 2:] = np.clip(cells[:, 2:], cells[:, :2] + 1e-3, [columns, rows])
    areas = (cells[:, 2:] - cells[:, :2]).prod(axis=1)
    return np.asarray(box_sums(feature_map.values, cells) / areas[:, None], dtype=np.float32)


def box_sums(values: Array, cells: Double) -> Double:
    """The sum of a map over each box, part cells in part, `[R, V]`.

    Args:
        values: `[V, h, w]`.
        cells: boxes `[R, 4]` in cells, within 0..w and 0..h.
    """
    channels, rows, columns = values.shape
    table = np.zeros((rows + 1, columns + 1, channels))  # float64: the difference of large sums must keep small boxes
    np.cumsum(values.transpose(1, 2, 0), axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    x1, y1, x2, y2 = cells.T
    sums: Double = _at(table, x2, y2) - _at(table, x1, y2) - _at(table, x2, y1) + _at(table, x1, y1)
    return sums


def _at(table: Double, x: Double, y: Double) -> Double:
    """The table `[h + 1, w + 1, V]` at R points, interpolated, `[R, V]`."""
    left = np.minimum(x.astype(np.intp), table.shape[1] - 2)
    top = np.minimum(y.astype(np.intp), table.shape[0] - 2)
    right_share, lower_share = (x - left)[:, None], (y - top)[:, None]
    upper = table[top, left] * (1 - right_share) + table[top, left + 1] * right_share
    lower = table[top + 1, left] * (1 - right_share) + table[top + 1, left + 1] * right_share
    interpolated: Double = upper * (1 - lower_share) + lower * lower_share
    return interpolated
