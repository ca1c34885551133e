"""Pooling: the mean of a feature map over boxes, exact to fractions of a cell.

A map is constant within each of its cells, so its summed-area table is linear across a cell. The sum over any box is
the interpolated table at its four corners: nothing is rounded to cells or sampled, and a box smaller than a cell has
the value of that cell. (A matrix product would do the same, but its library starts threads that slow the workers of an
extraction.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unboxed.regions.base import FeatureMap
from unboxed.types import Array

__all__ = ["box_sums", "pool"]

Double = npt.NDArray[np.float64]


def pool(feature_map: FeatureMap, boxes: Array) -> Array:
    """The mean of a map over each box, `[R, V]`.

    Boxes are clipped to the window of the map. A box without area there has the value of the nearest cell.

    Args:
        feature_map: `[V, h, w]` with its window.
        boxes: `[R, 4]` in pixels of the image.
    """
    _, rows, columns = feature_map.values.shape
    x1, y1, x2, y2 = feature_map.window
    to_cells = np.array([columns / (x2 - x1), rows / (y2 - y1)] * 2)
    cells = (boxes.astype(np.float64) - [x1, y1, x1, y1]) * to_cells
    # At least a thousandth of a cell, so that a box without area has the value of its cell.
    cells[:, :2] = np.clip(cells[:, :2], 0, [columns - 1e-3, rows - 1e-3])
    cells[:, 2:] = np.clip(cells[:, 2:], cells[:, :2] + 1e-3, [columns, rows])
    areas = (cells[:, 2:] - cells[:, :2]).prod(axis=1)
    return np.asarray(box_sums(feature_map.values, cells) / areas[:, None], dtype=np.float32)


def box_sums(values: Array, cells: Double) -> Double:
    """The sum of a map over each box, `[R, V]`; a cell counts by the share of it that lies inside.

    Args:
        values: `[V, h, w]`.
        cells: boxes `[R, 4]` in cells, within 0..w and 0..h.
    """
    table = _summed(values)
    x1, y1, x2, y2 = cells.T
    corners = _at(table, np.concatenate([x2, x1, x2, x1]), np.concatenate([y2, y2, y1, y1]))
    lower_right, lower_left, upper_right, upper_left = corners.reshape(4, len(cells), -1)
    sums: Double = lower_right - lower_left - upper_right + upper_left
    return sums


def _summed(values: Array) -> Double:
    """The summed-area table `[w + 1, h + 1, V]` of a map `[V, h, w]`.

    It is float64, because the sum over a small box is a difference of large sums. Whole rows are added at a time, then
    whole columns, which is several times as fast as `cumsum` along an axis and gives the same sums. Columns come first,
    so that one is a single piece of memory.
    """
    channels, rows, columns = values.shape
    summed_YXV = np.empty((rows, columns, channels))
    summed_YXV[...] = values.transpose(1, 2, 0)
    for row in range(1, rows):
        summed_YXV[row] += summed_YXV[row - 1]
    table = np.zeros((columns + 1, rows + 1, channels))
    table[1:, 1:] = summed_YXV.transpose(1, 0, 2)
    for column in range(2, columns + 1):
        table[column] += table[column - 1]
    return table


def _at(table: Double, x: Double, y: Double) -> Double:
    """The table `[w + 1, h + 1, V]`, interpolated at N points, `[N, V]`."""
    columns, rows, _ = table.shape
    left = np.minimum(x.astype(np.intp), columns - 2)
    top = np.minimum(y.astype(np.intp), rows - 2)
    right_share, lower_share = (x - left)[:, None], (y - top)[:, None]
    left_share, upper_share = 1 - right_share, 1 - lower_share
    flat, place = table.reshape(rows * columns, -1), left * rows + top

    def between(place: npt.NDArray[np.intp]) -> Double:
        """The interpolation of two neighbours in a row."""
        weighted: Double = flat.take(place, axis=0)
        weighted *= left_share
        other = flat.take(place + rows, axis=0)
        other *= right_share
        weighted += other
        return weighted

    upper, lower = between(place), between(place + 1)
    upper *= upper_share
    lower *= lower_share
    upper += lower
    return upper
