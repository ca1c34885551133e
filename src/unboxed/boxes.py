"""Box arithmetic: area, clipping, intersection, intersection over union (IoU), non-maximum suppression.

A box is `x1, y1, x2, y2` with continuous edges (see `types`), so its width is `x2 - x1` without a "+ 1". Results are
float64 for boxes in float64 and float32 for all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unboxed.types import Array

if TYPE_CHECKING:
    import torch

__all__ = ["area", "centre", "clip", "contains", "enclosing", "intersection", "iou", "nms", "overlapping", "tensor_iou"]

_Boxes = npt.NDArray[Any]

_LOW = 0.1  # IoU that boxes with quite other areas and centres have
_SLACK, _ROUNDING = 1.05, 1e-6  # of bounds that may be too wide, but not too narrow by rounding


def area(boxes: _Boxes) -> _Boxes:
    """Areas `[..., N]` in square pixels of boxes `[..., N, 4]`; 0 where x2 < x1 or y2 < y1."""
    width, height = np.maximum(boxes[..., 2] - boxes[..., 0], 0), np.maximum(boxes[..., 3] - boxes[..., 1], 0)
    return _in_precision_of(boxes, width * height)


def centre(boxes: _Boxes) -> _Boxes:
    """Centres `[..., N, 2]` as x, y of boxes `[..., N, 4]`."""
    return _in_precision_of(boxes, (boxes[..., :2] + boxes[..., 2:]) / 2)


def clip(boxes: Array, width: float, height: float) -> Array:
    """Boxes `[N, 4]` clipped to an image of `width` x `height` pixels."""
    limits = np.array([width, height, width, height], dtype=np.float32)
    return np.clip(boxes, 0, limits).astype(np.float32)


def enclosing(boxes: Array) -> Array:
    """The smallest box `[1, 4]` that encloses boxes `[N, 4]`, N >= 1."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])[None]


def contains(boxes: _Boxes, points: _Boxes, *, closed: bool = False) -> npt.NDArray[np.bool_]:
    """`[..., N, M]`: whether point m is strictly inside of box n. Boxes `[..., N, 4]`, points `[..., M, 2]` as x, y.

    With `closed`, a point on an edge is inside too; a box without area contains nothing either way.
    """
    x, y = points[..., None, :, 0], points[..., None, :, 1]
    x1, y1, x2, y2 = (boxes[..., i, None] for i in range(4))
    inside: npt.NDArray[np.bool_] = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    if closed:
        inside = (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2) & (x2 > x1) & (y2 > y1)
    return inside


def intersection(boxes: _Boxes, others: _Boxes) -> _Boxes:
    """Areas `[..., N, M]` in square pixels that boxes `[..., N, 4]` share with boxes `[..., M, 4]`."""
    x1, y1, x2, y2 = (boxes[..., i, None] for i in range(4))
    other_x1, other_y1, other_x2, other_y2 = (np.ascontiguousarray(others[..., i])[..., None, :] for i in range(4))
    width = np.minimum(x2, other_x2) - np.maximum(x1, other_x1)
    height = np.minimum(y2, other_y2) - np.maximum(y1, other_y1)
    shared: _Boxes = np.maximum(width, 0, out=width)
    shared *= np.maximum(height, 0, out=height)
    return shared


def iou(boxes: _Boxes, others: _Boxes) -> _Boxes:
    """IoU `[..., N, M]` in [0, 1] of boxes `[..., N, 4]` and `[..., M, 4]`; 0 where both have no area."""
    shared = intersection(boxes, others)
    union = area(boxes)[..., None] + area(others)[..., None, :] - shared
    return _in_precision_of(boxes, shared / np.where(union > 0, union, 1))


def overlapping(boxes: Array, others: Array, threshold: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The pairs with an IoU above `threshold`: rows of boxes `[N, 4]` in ascending order, and of others `[M, 4]`.

    These are `np.nonzero(iou(boxes, others) > threshold)`. The IoU is only computed of boxes with similar areas and
    centres, which is several times as fast where few boxes overlap so much.

    Args:
        boxes: `[N, 4]`.
        others: `[M, 4]`.
        threshold: in [0, 1].
    """
    if threshold < _LOW:
        row, other = np.nonzero(iou(boxes, others) > threshold)
        return row, other
    # The IoU is at most the smaller area over the larger, and along each axis at most the shared length over the joined
    # one. So centres are apart by less than (1 / threshold - 1) / 2 of either side; both sums of edges by twice that.
    reach_N2 = (boxes[:, 2:] - boxes[:, :2]) * (1 / threshold - 1) * _SLACK + _ROUNDING * np.abs(boxes).max(initial=1)
    sum_N2, other_sum_M2 = boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:]
    area_N, other_area_M = area(boxes), area(others)
    bounds = [
        (np.ascontiguousarray(other_sum_M2[:, axis]), (sum_N2 - reach_N2)[:, axis], (sum_N2 + reach_N2)[:, axis])
        for axis in (0, 1)
    ]
    bounds.append((other_area_M, area_N * (threshold / _SLACK), area_N * (_SLACK / threshold)))
    near_NM = np.ones((len(boxes), len(others)), dtype=bool)
    for value_M, least_N, most_N in bounds:
        near_NM &= value_M > least_N[:, None]
        near_NM &= value_M < most_N[:, None]
    row, other = np.divmod(np.flatnonzero(near_NM), len(others))  # faster than np.nonzero
    above = iou(boxes[row, None], others[other, None])[:, 0, 0] > threshold
    return row[above], other[above]


def tensor_iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """IoU `[..., N, M]` in [0, 1] of tensors of boxes `[..., N, 4]` and `[..., M, 4]`, in any unit; as `iou`."""
    low = boxes[..., :, None, :2].maximum(others[..., None, :, :2])
    high = boxes[..., :, None, 2:].minimum(others[..., None, :, 2:])
    intersection = _tensor_area(low, high)
    union = (
        _tensor_area(boxes[..., :2], boxes[..., 2:])[..., :, None]
        + _tensor_area(others[..., :2], others[..., 2:])[..., None, :]
        - intersection
    )
    return intersection / union.clamp(min=1e-9)


def _tensor_area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    extent = (high - low).clamp(min=0)
    return extent[..., 0] * extent[..., 1]


def nms(boxes: Array, scores: Array, threshold: float) -> npt.NDArray[np.intp]:
    """Indices of the boxes that class-agnostic non-maximum suppression keeps, best score first.

    A box is removed if its IoU with a kept box of a higher score exceeds `threshold`. Of equal scores, the first in the
    input counts as higher.

    Args:
        boxes: `[N, 4]`.
        scores: `[N]`.
        threshold: in [0, 1]; 1 keeps every box.
    """
    order = np.argsort(-scores, kind="stable")
    box, other = overlapping(boxes[order], boxes[order], threshold)
    ends = np.searchsorted(box, np.arange(len(order) + 1))
    keep = np.ones(len(order), dtype=bool)
    for i in range(len(order)):
        if keep[i]:
            keep[other[ends[i] : ends[i + 1]]] = False  # none before it is kept that overlaps it
            keep[i] = True
    return order[keep]


def _in_precision_of(boxes: _Boxes, values: _Boxes) -> _Boxes:
    return np.asarray(values, dtype=np.float64 if boxes.dtype == np.float64 else np.float32)
