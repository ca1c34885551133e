"""The segmenter's boxes and class scores on hand-made maps; connected components compared with scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from unboxed.regions.sources.segmenter import class_boxes, components, coverage_scores


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


def stuff_with_two_patches() -> np.ndarray:
    """Class 0 (of one, and background) on two patches of an 8 x 10 map, one of 12 and one of 4 cells."""
    named = np.zeros((8, 10), np.float32)
    named[1:5, 1:4] = named[6:8, 8:10] = 1
    return np.stack([named, 1 - named])


def test_segmenter_boxes_are_components_and_whole_classes() -> None:
    found = class_boxes(stuff_with_two_patches(), width=100, height=80, count=12)
    np.testing.assert_allclose(found.boxes, [[10, 10, 100, 80], [10, 10, 40, 50], [80, 60, 100, 80]])
    np.testing.assert_allclose(found.scores, 1)


def test_coverage_is_the_harmonic_mean_of_purity_and_share() -> None:
    boxes = np.array([[10, 10, 40, 50], [0, 0, 100, 80], [50, 0, 60, 10], [10, 10, 40, 30]], np.float32)
    purity, share = np.array([1, 16 / 80, 0, 1]), np.array([12 / 16, 1, 0, 6 / 16])
    expected = 2 * purity * share / np.maximum(purity + share, 1e-9)
    np.testing.assert_allclose(coverage_scores(stuff_with_two_patches(), boxes, 100, 80)[:, 0], expected, atol=1e-5)
