"""Where phrases are pointed at."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.attention.points import covered_points


def naive_point(probability_R: np.ndarray, boxes_R4: np.ndarray, size: int = 40) -> np.ndarray:
    """The centroid of the pixels that are covered with nearly the largest probability."""
    covered = {
        (x, y): sum(
            p for p, (x1, y1, x2, y2) in zip(probability_R, boxes_R4, strict=True) if x1 < x < x2 and y1 < y < y2
        )
        for x in np.arange(size) + 0.5
        for y in np.arange(size) + 0.5
    }
    return np.mean([point for point, value in covered.items() if value >= 0.97 * max(covered.values())], axis=0)


def test_a_phrase_is_pointed_at_where_its_candidates_overlap() -> None:
    boxes = np.array([[0, 0, 20, 10], [16, 0, 30, 10], [16, 4, 20, 8], [30, 30, 40, 40]], np.float32)
    # The centre of the best box, (10, 5), is in no other candidate; the small box is in two others.
    (point,) = covered_points(np.array([[0.4, 0.3, 0.2, 0.1]], np.float32), boxes)
    np.testing.assert_allclose(point, (18, 6))


def test_one_certain_region_is_pointed_at_in_its_centre() -> None:
    boxes = np.array([[0, 0, 20, 10], [4, 4, 9, 9]], np.float32)
    np.testing.assert_allclose(covered_points(np.eye(2, dtype=np.float32), boxes), [(10, 5), (6.5, 6.5)])


def test_points_are_those_of_all_pixels() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 30, (12, 2))
    boxes = np.concatenate([low, low + rng.integers(1, 11, (12, 2))], axis=1).astype(np.float32)
    probability = rng.dirichlet(np.ones(12), size=4).astype(np.float32)
    expected = [naive_point(row, boxes) for row in probability]
    np.testing.assert_allclose(covered_points(probability, boxes), expected, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_boxes_without_area_are_pointed_at_in_their_centre(count: int) -> None:
    boxes = np.full((count, 4), 7, np.float32)
    np.testing.assert_array_equal(covered_points(np.full((1, count), 1 / count, np.float32), boxes), [(7, 7)])
