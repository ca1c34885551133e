"""Connected components, beside scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label
from unboxed.regions.sources.components import components


@pytest.mark.parametrize("seed", range(8))
def test_components_are_those_of_scikit_image_in_the_same_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2 + seed % 3, size=(12, 17))
    classes = np.kron(coarse, np.ones((3, 2), dtype=int))[: 30 + seed] ^ (rng.random((36, 34))[: 30 + seed] > 0.97)
    np.testing.assert_array_equal(components(classes), label(classes, background=-1, connectivity=1) - 1)


def test_a_spiral_is_one_component() -> None:
    rows = ["#######", "......#", "#####.#", "#...#.#", "#.###.#", "#.....#", "#######"]
    classes = np.array([[cell == "#" for cell in row] for row in rows]).astype(int)
    np.testing.assert_array_equal(components(classes), label(classes, background=-1, connectivity=1) - 1)
