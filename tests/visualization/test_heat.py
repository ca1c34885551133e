"""Heat is where weight is, and more heat is lighter."""

from __future__ import annotations

import numpy as np

from unboxed.visualization.heat import heat_colours, heat_map


def test_the_heat_map_adds_up_the_weight_over_each_point():
    boxes, weights = np.array([[0, 0, 2, 2], [1, 0, 3, 1], [0, 1, 3, 2]], dtype=np.float32), np.array([1, 2, 3])
    naive = np.zeros((2, 3))
    for (x1, y1, x2, y2), weight in zip(boxes.astype(int), weights, strict=True):
        naive[y1:y2, x1:x2] += weight
    np.testing.assert_allclose(heat_map(boxes, weights, (3, 2), (3, 2)), naive / naive.max())


def test_no_weight_is_no_heat():
    assert heat_map(np.zeros((0, 4), np.float32), np.zeros(0), (10, 10), (4, 4)).tolist() == [[0] * 4] * 4


def test_more_heat_is_always_lighter():
    lightness = heat_colours(np.linspace(0, 1, 50)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
