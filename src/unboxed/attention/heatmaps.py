"""Heat maps over the pixels of an image: points and boxes from the grid cells of a match map.

A map is an array `[h, w]`: row y from the top, column x from the left. A point is (x, y), like the corners of boxes.
The heat of a pixel is the bilinear interpolation of the map at the pixel's centre. Cells have their values at their
centres; beyond the centres of the outer cells the heat is constant (the convention of OpenCV, and of PyTorch without
aligned corners). Of several equally hot pixels, the first in reading order is the hottest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

from unboxed.boxes import area
from unboxed.errors import EvaluationError
from unboxed.runtime.paths import accept_strings
from unboxed.text.phrases import content_or_all
from unboxed.types import Array

__all__ = [
    "BoxReadOut",
    "heat_boxes",
    "heat_inside",
    "hottest_point",
    "phrase_maps",
    "positive_heat",
    "rank_by_heat",
    "upsampled",
]

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class BoxReadOut:
    """How boxes are made from a heat map.

    Attributes:
        thresholds: shares of the highest heat, each in (0, 1). Each connected set of pixels of at least that heat gives
            the box around it; the best box is that of the first threshold around the hottest pixel.
        proposal_alpha: proposals, where there are any, are ranked by the heat inside divided by the area to this power.

    Raises:
        EvaluationError: no thresholds, one outside (0, 1), or a power that is not finite.
    """

    thresholds: tuple[float, ...] = (0.5, 0.35, 0.65, 0.2, 0.8)
    proposal_alpha: float = 0.5

    def __post_init__(self) -> None:
        accept_strings(self)
        if not self.thresholds or not all(0 < share < 1 for share in self.thresholds):
            raise EvaluationError(f"thresholds are shares of the peak between 0 and 1, not {self.thresholds}.")
        if not math.isfinite(self.proposal_alpha):
            raise EvaluationError(f"--proposal-alpha is {self.proposal_alpha}; it must be a finite number.")


def phrase_maps(map_QR: Floats, phrase_PQ: npt.NDArray[np.bool_], content_Q: npt.NDArray[np.bool_]) -> Array:
    """The map `[P, h, w]` of each phrase: the mean over its nouns and adjectives, or over all words if it has none.

    Args:
        map_QR: each word's values of the cells of a square grid, row by row.
        phrase_PQ: True where word q belongs to phrase p; each phrase has at least one.
        content_Q: True for nouns and adjectives.
    """
    weight_PQ = content_or_all(phrase_PQ, content_Q).astype(np.float32)
    side = isqrt(map_QR.shape[1])
    map_PR = weight_PQ @ map_QR / weight_PQ.sum(axis=1, keepdims=True)
    return np.asarray(map_PR, dtype=np.float32).reshape(len(phrase_PQ), side, side)


def upsampled(map_YX: Floats, width: int, height: int) -> Array:
    """The map `[h, w]` interpolated bilinearly at the centre of every pixel: `[height, width]`."""
    rows, columns = map_YX.shape
    heat = _interpolation(height, rows) @ map_YX @ _interpolation(width, columns).T
    return np.asarray(heat, dtype=np.float32)


def positive_heat(heat_HW: Floats) -> Array:
    """Heat in [0, 1] of a map of any values: 0 at the median of the map and below, 1 at its highest value.

    Most of an image does not show what a phrase means, so the median is the value of the background. The heat of a
    constant map is 1 everywhere.
    """
    floor, peak = float(np.median(heat_HW)), float(heat_HW.max())
    if peak <= floor:
        return np.ones(heat_HW.shape, dtype=np.float32)
    return np.asarray(np.clip((heat_HW - floor) / (peak - floor), 0, 1), dtype=np.float32)


def hottest_point(heat_HW: Floats) -> tuple[float, float]:
    """The centre (x, y) of the hottest pixel, in pixels."""
    row, column = np.unravel_index(int(heat_HW.argmax()), heat_HW.shape)
    return float(column) + 0.5, float(row) + 0.5


def heat_boxes(heat_HW: Floats, read_out: BoxReadOut = BoxReadOut()) -> tuple[Array, Array]:
    """Boxes around the connected hot areas of a map, best first, and their scores.

    Args:
        heat_HW: heat >= 0 of every pixel, positive somewhere.
        read_out: the thresholds.

    Returns:
        Distinct boxes `[N, 4]` in pixels, N >= 1, and the highest heat in each, `[N]`, in descending order. Boxes of
        the same heat are in the order of the thresholds.
    """
    peak = float(heat_HW.max())
    found: dict[tuple[float, ...], float] = {}
    for share in read_out.thresholds:
        for box, highest in _hot_regions(heat_HW, share * peak):
            found.setdefault(box, highest)
    boxes, scores = np.array(list(found), dtype=np.float32), np.array(list(found.values()), dtype=np.float32)
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]


def rank_by_heat(heat_HW: Floats, boxes: Array, alpha: float = 0.5) -> tuple[npt.NDArray[np.intp], Array]:
    """Order `[R]`, best first, and scores `[R]` of proposals by the heat inside divided by `area ** alpha`.

    Args:
        heat_HW: heat >= 0 of every pixel.
        boxes: `[R, 4]` in pixels; edges are rounded to whole pixels.
        alpha: 0 prefers the whole image, 1 the hottest spot.
    """
    total = np.zeros((heat_HW.shape[0] + 1, heat_HW.shape[1] + 1))
    total[1:, 1:] = heat_HW.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    x1, y1, x2, y2 = _whole_pixels(boxes, heat_HW).T
    held_R = total[y2, x2] - total[y1, x2] - total[y2, x1] + total[y1, x1]
    score_R = held_R / np.maximum(area(boxes), 1.0) ** alpha
    return np.argsort(-score_R, kind="stable"), np.asarray(score_R, dtype=np.float32)


def heat_inside(heat_HW: Floats, boxes: Array) -> float:
    """The share in [0, 1] of the heat inside the union of the boxes `[N, 4]`; edges are rounded to pixels."""
    inside = np.zeros(heat_HW.shape, dtype=bool)
    for x1, y1, x2, y2 in _whole_pixels(boxes, heat_HW):
        inside[y1:y2, x1:x2] = True
    return float(heat_HW[inside].sum(dtype=np.float64) / max(heat_HW.sum(dtype=np.float64), 1e-12))


def _hot_regions(heat_HW: Floats, least: float) -> Iterator[tuple[tuple[float, ...], float]]:
    """The box around each connected area of at least this heat, and the highest heat in it."""
    from skimage.measure import label, regionprops

    labels = label(heat_HW >= least, connectivity=1)  # type: ignore[no-untyped-call]
    for region in regionprops(labels, intensity_image=heat_HW):  # type: ignore[no-untyped-call]
        top, left, bottom, right = region.bbox
        yield (float(left), float(top), float(right), float(bottom)), float(region.intensity_max)


def _interpolation(pixels: int, cells: int) -> npt.NDArray[np.float64]:
    """Weights `[pixels, cells]` of the cells at the centre of each pixel; rows sum to 1."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    low = np.minimum(place.astype(np.intp), max(cells - 2, 0))
    weights = np.zeros((pixels, cells))
    weights[np.arange(pixels), np.minimum(low + 1, cells - 1)] = place - low
    weights[np.arange(pixels), low] += 1 - (place - low)
    return weights


def _whole_pixels(boxes: Array, heat_HW: Floats) -> npt.NDArray[np.intp]:
    height, width = heat_HW.shape
    return np.clip(np.rint(boxes), 0, [width, height, width, height]).astype(np.intp)
