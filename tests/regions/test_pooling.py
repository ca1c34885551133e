"""Pooling against a loop over pixels, bit for bit against cumulative sums, and against hand-made maps."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unboxed.regions.base import FeatureMap
from unboxed.regions.pooling import box_sums, pool


def test_pooled_means_of_a_hand_made_map() -> None:
    plane = FeatureMap("m", np.arange(4, dtype=np.float32).reshape(1, 2, 2), (0, 0, 20, 20))
    boxes = np.array([[0, 0, 20, 20], [0, 0, 10, 10], [5, 0, 15, 10], [10, 5, 20, 20], [12, 12, 13, 13]], np.float32)
    expected = [1.5, 0.0, 0.5, (1 * 5 + 3 * 10) / 15, 3.0]  # the last is smaller than a cell
    np.testing.assert_allclose(pool(plane, boxes)[:, 0], expected, rtol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_pooling_equals_the_mean_over_the_pixels_of_each_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, 3, 5)).astype(np.float32)
    x1, y1 = rng.integers(0, 45), rng.integers(0, 25)
    x2, y2 = rng.integers(x1 + 1, 51), rng.integers(y1 + 1, 31)
    pixels = values.repeat(10, axis=1).repeat(10, axis=2)  # every cell drawn as 10 x 10 pixels
    naive = pixels[:, y1:y2, x1:x2].mean(axis=(1, 2))
    pooled = pool(FeatureMap("m", values, (0, 0, 50, 30)), np.array([[x1, y1, x2, y2]], np.float32))[0]
    np.testing.assert_allclose(pooled, naive, atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_pooling_adds_in_the_order_of_a_cumulative_sum(seed: int) -> None:
    """Not one bit may differ: regions found before would no longer be those found now."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rng.integers(1, 6), rng.integers(1, 8), rng.integers(1, 8))).astype(np.float32)
    _, rows, columns = values.shape
    table = np.pad(values.astype(np.float64).cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    left, top = rng.integers(0, columns, 9), rng.integers(0, rows, 9)
    right, bottom = rng.integers(left + 1, columns + 1), rng.integers(top + 1, rows + 1)
    naive = table[:, bottom, right] - table[:, bottom, left] - table[:, top, right] + table[:, top, left]
    cells = np.stack([left, top, right, bottom], axis=1).astype(np.float64)
    np.testing.assert_array_equal(box_sums(values, cells), naive.T)


def test_a_box_outside_the_window_takes_the_nearest_cell() -> None:
    plane = FeatureMap("m", np.array([[[1, 2]]], np.float32), (0, 0, 2, 1))
    boxes = np.array([[5, 0, 6, 1], [-3, 0, -2, 1], [1, 0, 1, 0]], np.float32)
    np.testing.assert_allclose(pool(plane, boxes)[:, 0], [2, 1, 2])
