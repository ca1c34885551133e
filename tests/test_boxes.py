"""Box arithmetic beside its definitions: areas as counted pixels, IoU and NMS as plain loops."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unboxed.boxes import area, centre, clip, contains, enclosing, iou, nms, overlapping, tensor_iou

# Whole numbers keep intersections exact, and make empty, equal and touching boxes likely.
_corners = hnp.arrays(np.float32, st.tuples(st.integers(0, 7), st.just(4)), elements=st.integers(0, 12).map(float))
_boxes = _corners.map(
    lambda c: np.concatenate([np.minimum(c[:, :2], c[:, 2:]), np.maximum(c[:, :2], c[:, 2:])], axis=1)
)


def _pixels(box: np.ndarray) -> set[tuple[int, int]]:
    """The unit squares that a box of whole numbers covers."""
    x1, y1, x2, y2 = map(int, box)
    return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}


@given(_boxes, _boxes)
def test_iou_counts_pixels(boxes: np.ndarray, others: np.ndarray) -> None:
    result = iou(boxes, others)
    assert result.shape == (len(boxes), len(others)) and result.dtype == np.float32
    for n, box in enumerate(boxes):
        for m, other in enumerate(others):
            union = _pixels(box) | _pixels(other)
            expected = len(_pixels(box) & _pixels(other)) / len(union) if union else 0.0
            assert result[n, m] == pytest.approx(expected)


@given(_corners, _corners)
def test_iou_of_tensors_is_that_of_arrays(boxes: np.ndarray, others: np.ndarray) -> None:
    """Also of boxes whose edges are swapped, and with leading axes."""
    expected = iou(boxes, others)
    np.testing.assert_array_equal(tensor_iou(torch.from_numpy(boxes), torch.from_numpy(others)).numpy(), expected)
    both = torch.from_numpy(np.stack([boxes, boxes + 1]))
    np.testing.assert_array_equal(tensor_iou(both, torch.from_numpy(others))[0].numpy(), expected)


_float_boxes = hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(-50, 500, width=32))


def _naive_iou(box: np.ndarray, other: np.ndarray) -> float:
    (a1, b1, a2, b2), (c1, d1, c2, d2) = box.astype(float), other.astype(float)
    intersection = max(min(a2, c2) - max(a1, c1), 0) * max(min(b2, d2) - max(b1, d1), 0)
    union = max(a2 - a1, 0) * max(b2 - b1, 0) + max(c2 - c1, 0) * max(d2 - d1, 0) - intersection
    return intersection / union if union > 0 else 0.0


@given(_float_boxes, _float_boxes)
def test_iou_of_any_boxes_is_the_naive_one_symmetric_and_in_0_to_1(boxes: np.ndarray, others: np.ndarray) -> None:
    boxes, others = (np.sort(each.reshape(-1, 2, 2), axis=1).reshape(-1, 4) for each in (boxes, others))
    result = iou(boxes, others)
    assert np.array_equal(result, iou(others, boxes).T)
    assert ((result >= 0) & (result <= 1)).all()
    for n, box in enumerate(boxes):
        for m, other in enumerate(others):
            if min(area(box[None])[0], area(other[None])[0]) > 1:  # smaller ones are rounded away in float32
                assert result[n, m] == pytest.approx(_naive_iou(box, other), abs=1e-3)


@given(_boxes)
def test_a_box_with_an_area_has_iou_1_with_itself(boxes: np.ndarray) -> None:
    assert np.array_equal(np.diag(iou(boxes, boxes)), (area(boxes) > 0).astype(np.float32))


@given(_boxes)
def test_area_counts_pixels(boxes: np.ndarray) -> None:
    assert area(boxes).tolist() == [len(_pixels(box)) for box in boxes]


def test_a_box_whose_edges_are_swapped_has_no_area() -> None:
    assert area(np.array([[3, 3, 1, 1], [3, 0, 1, 2]], np.float32)).tolist() == [0, 0]


@given(st.one_of(st.tuples(_boxes, _boxes), st.tuples(_float_boxes, _float_boxes)), st.floats(0, 1))
def test_overlapping_pairs_are_those_with_a_larger_iou(pair: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    """Also of boxes whose edges are swapped."""
    for box, other in (pair, (pair[0], pair[0]), (pair[0], pair[0] + np.float32(0.25))):
        np.testing.assert_array_equal(overlapping(box, other, threshold), np.nonzero(iou(box, other) > threshold))


def _naive_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(iou(boxes[i : i + 1], boxes[j : j + 1])[0, 0] <= threshold for j in kept):
            kept.append(i)
    return kept


@given(_boxes, st.data(), st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
def test_nms_keeps_the_best_of_each_pile(boxes: np.ndarray, data: st.DataObject, threshold: float) -> None:
    few = st.sampled_from([0.1, 0.5, 0.9])  # ties are the hard part
    scores = np.array(data.draw(st.lists(few, min_size=len(boxes), max_size=len(boxes))), np.float32)
    kept = nms(boxes, scores, threshold)
    assert kept.tolist() == _naive_nms(boxes, scores, threshold)
    assert (np.triu(iou(boxes[kept], boxes[kept]), 1) <= threshold).all()
    for removed in set(range(len(boxes))) - set(kept.tolist()):
        better = kept[scores[kept] >= scores[removed]]
        assert iou(boxes[removed : removed + 1], boxes[better]).max() > threshold


def test_nms_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], np.float32)
    scores = np.array([0.5, 0.8, 0.6], np.float32)
    assert nms(boxes, scores, 0.5).tolist() == [1, 2]
    assert nms(boxes, scores, 1.0).tolist() == [1, 2, 0]


@given(_boxes)
def test_clipping_keeps_the_pixels_of_the_image(boxes: np.ndarray) -> None:
    image = np.array([0, 0, 6, 4], np.float32)
    for box, clipped in zip(boxes, clip(boxes, 6, 4), strict=True):
        assert _pixels(clipped) == _pixels(box) & _pixels(image)


def test_centres_enclosing_and_containing() -> None:
    boxes = np.array([[0, 0, 4, 2], [2, 1, 8, 8]], np.float32)
    assert centre(boxes).tolist() == [[2, 1], [5, 4.5]]
    assert enclosing(boxes).tolist() == [[0, 0, 8, 8]]
    points = np.array([[3, 1.5], [4, 1.5], [0, 0]], np.float32)  # inside both, on an edge of the first, on a corner
    assert contains(boxes, points).tolist() == [[True, False, False], [True, True, False]]


@given(st.integers(0, 2**32 - 1))
def test_leading_axes_are_those_of_the_result(seed: int) -> None:
    """Each function on `[2, 3, N, 4]` equals itself on each `[N, 4]`, and keeps double precision."""
    rng = np.random.default_rng(seed)
    boxes, others, points = rng.random((2, 3, 5, 4)), rng.random((2, 3, 4, 4)), rng.random((2, 3, 6, 2))
    assert iou(boxes, others).shape == (2, 3, 5, 4)
    assert iou(boxes, others).dtype == area(boxes).dtype == centre(boxes).dtype == np.float64
    for b, c in np.ndindex(2, 3):
        np.testing.assert_array_equal(iou(boxes, others)[b, c], iou(boxes[b, c], others[b, c]))
        np.testing.assert_array_equal(area(boxes)[b, c], area(boxes[b, c]))
        np.testing.assert_array_equal(centre(boxes)[b, c], centre(boxes[b, c]))
        np.testing.assert_array_equal(contains(boxes, points)[b, c], contains(boxes[b, c], points[b, c]))


def test_no_other_module_defines_an_iou() -> None:
    """The loss of the detector of Scenes alone has its own: that of pairs, with gradients and the enclosing box."""
    source = Path(__file__).resolve().parents[1] / "src" / "unboxed"
    defined = {
        f"{path.relative_to(source).as_posix()}: {node.name}"
        for path in source.rglob("*.py")
        if path.name != "boxes.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and {"iou", "giou", "ious"} & set(node.name.lower().split("_"))
    }
    assert defined <= {"scenes/train_detector.py: _giou"}
