"""Heat maps: axis order on images that are not square, hand-made maps, and naive loops beside the fast path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unboxed.attention.heatmaps import (
    BoxReadOut,
    heat_boxes,
    heat_inside,
    hottest_point,
    phrase_maps,
    positive_heat,
    rank_by_heat,
    upsampled,
)
from unboxed.errors import EvaluationError


def naive_reading(map_YX: np.ndarray, x: float, y: float, width: int, height: int) -> float:
    """Bilinear reading at the point (x, y) of an image, cell by cell."""
    rows, columns = map_YX.shape
    across = min(max(x * columns / width - 0.5, 0), columns - 1)
    down = min(max(y * rows / height - 0.5, 0), rows - 1)
    total = 0.0
    for row in range(rows):
        for column in range(columns):
            total += max(0, 1 - abs(down - row)) * max(0, 1 - abs(across - column)) * map_YX[row, column]
    return total


class TestMaps:
    def test_the_map_of_a_phrase_is_the_mean_of_its_content_words_or_of_all(self):
        map_QR = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
        phrase_PQ = np.array([[1, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1]], dtype=bool)
        content_Q = np.array([False, True, True, False])  # the last two phrases have no content word
        found = phrase_maps(map_QR, phrase_PQ, content_Q)
        for p, words in enumerate(([1, 2], [0, 3], [3])):
            np.testing.assert_allclose(found[p], sum(map_QR[q] for q in words).reshape(3, 3) / len(words), rtol=1e-5)

    @settings(max_examples=25)
    @given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5), st.integers(1, 12), st.integers(1, 12))
    def test_upsampling_equals_reading_pixel_by_pixel(self, seed, rows, columns, width, height):
        map_YX = np.random.default_rng(seed).normal(size=(rows, columns))
        heat = upsampled(map_YX, width, height)
        assert heat.shape == (height, width)
        for y in range(height):
            for x in range(width):
                assert heat[y, x] == pytest.approx(naive_reading(map_YX, x + 0.5, y + 0.5, width, height), abs=1e-5)

    def test_upsampling_equals_torch(self):
        import torch

        map_YX = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
        theirs = torch.nn.functional.interpolate(torch.from_numpy(map_YX)[None, None], size=(37, 51), mode="bilinear")
        np.testing.assert_allclose(upsampled(map_YX, 51, 37), theirs[0, 0].numpy(), atol=1e-5)

    def test_the_upper_right_cell_of_a_wide_image_points_to_the_upper_right(self):
        """Width 300, height 100: read with its axes swapped, the point would lie in the lower left or outside."""
        map_YX = np.zeros((4, 4))
        map_YX[0, 3] = 1
        x, y = hottest_point(upsampled(map_YX, 300, 100))
        assert (225 < x < 300, 0 < y < 25) == (True, True)

    def test_of_equally_hot_pixels_the_first_in_reading_order_points(self):
        assert hottest_point(np.array([[0, 0, 2], [2, 2, 0]])) == (2.5, 0.5)

    def test_positive_heat_is_the_share_of_the_rise_above_the_median(self):
        np.testing.assert_allclose(positive_heat(np.array([[-9.0, 1, 1], [1, 3, 5]])), [[0, 0, 0], [0, 0.5, 1]])
        np.testing.assert_allclose(positive_heat(np.full((2, 2), -3.0)), 1)


TWO_SPOTS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.6],
        [0.0, 1.0, 0.7, 0.0, 0.6],
        [0.0, 0.4, 0.0, 0.0, 0.0],
    ]
)


class TestBoxes:
    def test_the_region_around_the_peak_comes_first_then_the_other_spot(self):
        boxes, scores = heat_boxes(TWO_SPOTS, BoxReadOut((0.5,)))
        assert boxes.tolist() == [[1, 1, 3, 2], [4, 0, 5, 2]]
        assert scores.tolist() == pytest.approx([1, 0.6])

    def test_a_second_threshold_adds_its_boxes_behind_those_of_the_first(self):
        boxes, scores = heat_boxes(TWO_SPOTS, BoxReadOut((0.5, 0.3, 0.9)))
        assert boxes.tolist() == [[1, 1, 3, 2], [1, 1, 3, 3], [1, 1, 2, 2], [4, 0, 5, 2]]
        assert (np.diff(scores) <= 0).all()

    def test_a_map_without_heat_above_its_median_gives_the_whole_image(self):
        boxes, _ = heat_boxes(positive_heat(np.zeros((30, 50))))
        assert boxes.tolist() == [[0, 0, 50, 30]]

    @given(st.integers(0, 10**6))
    def test_every_map_gives_boxes_inside_it_and_the_first_holds_the_peak(self, seed):
        heat = positive_heat(upsampled(np.random.default_rng(seed).normal(size=(4, 5)), 31, 17))
        boxes, scores = heat_boxes(heat)
        x, y = hottest_point(heat)
        assert boxes[0, 0] < x < boxes[0, 2]
        assert boxes[0, 1] < y < boxes[0, 3]
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2] <= 31).all()
        assert (boxes[:, 3] <= 17).all()
        assert (np.diff(scores) <= 0).all()
        assert len({tuple(box) for box in boxes.tolist()}) == len(boxes)

    @pytest.mark.parametrize("thresholds", [(), (0.0,), (1.0,), (0.5, 2.0)])
    def test_thresholds_are_shares(self, thresholds):
        with pytest.raises(EvaluationError, match="shares of the peak"):
            BoxReadOut(thresholds)

    @given(st.integers(0, 10**6))
    def test_proposals_are_ranked_by_the_heat_they_hold(self, seed):
        rng = np.random.default_rng(seed)
        heat = rng.random((9, 13))
        low = rng.integers(0, (12, 8), (6, 2))
        boxes = np.concatenate([low, np.minimum(low + rng.integers(1, 6, (6, 2)), (13, 9))], axis=1).astype(np.float32)
        order, scores = rank_by_heat(heat, boxes, alpha=0.5)
        for box, score in zip(boxes.astype(int), scores, strict=True):
            x1, y1, x2, y2 = box
            held = sum(heat[y, x] for y in range(y1, y2) for x in range(x1, x2))
            assert score == pytest.approx(held / ((x2 - x1) * (y2 - y1)) ** 0.5, rel=1e-4)
        assert (np.diff(scores[order]) <= 0).all()

    def test_heat_inside_counts_overlapping_boxes_once(self):
        heat = np.ones((4, 10))
        assert heat_inside(heat, np.array([[0, 0, 5, 2], [0, 0, 5, 2]], np.float32)) == pytest.approx(0.25)
        assert heat_inside(heat, np.array([[0, 0, 10, 4]], np.float32)) == pytest.approx(1)
        assert heat_inside(heat, np.zeros((0, 4), np.float32)) == 0
