"""The regions of an image as they are stored, and the numbers among them that no region can have.

These are found in an image before it is stored, and in a shard when it is first read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.types import Array

__all__ = ["Half", "RegionArrays", "first_fault"]

Half = npt.NDArray[np.float16]

_HALF_EXPONENT = 0x7C00  # all ones in a float16 that is infinite or NaN
_ROUNDING = 1e-6
_FARTHEST = 1e7  # pixels from the corner; images have a million at most on a side, and areas stay finite


class RegionArrays(NamedTuple):
    """The regions of one image as stored, not validated, for the training loop.

    Attributes:
        boxes: `[R, 4]` float32 pixels.
        features: `[R, V]` float16.
        class_probs: `[R, K]` float16 in [0, 1].
        scores: `[R]` float32 in [0, 1].
        sources: `[R]` uint8 indices into the store's `source_names`.
    """

    boxes: Array
    features: Half
    class_probs: Half
    scores: Array
    sources: npt.NDArray[np.uint8]


def first_fault(arrays: RegionArrays, source_count: int) -> tuple[int, str] | None:
    """The first row of stored regions that is not usable, and why; None where all are.

    Features must be finite, class probabilities and scores lie in [0, 1], boxes have an area and lie near an image, and
    sources exist.

    Args:
        arrays: of R regions.
        source_count: how many names the source indices refer to.
    """
    x1, y1, x2, y2 = np.asarray(arrays.boxes, np.float32).T
    faults: list[tuple[int, str]] = []
    for bad_R, what in (
        (_rows(~np.isfinite(arrays.boxes)), "a box is not finite"),
        (_rows(np.abs(arrays.boxes) > _FARTHEST), "a box lies outside of any image"),
        ((x2 <= x1) | (y2 <= y1), "a box is empty or inverted"),
        (_rows(_not_finite(arrays.features)), "features are not finite"),
        (_rows(_no_probability(arrays.class_probs)), "a class probability is outside 0..1"),
        (_no_probability(arrays.scores), "a score is outside 0..1"),
        (arrays.sources >= source_count, "a source is not among the store's sources"),
    ):
        if bad_R.any():
            faults.append((int(bad_R.argmax()), what))
    return min(faults, key=lambda fault: fault[0], default=None)


def _rows(bad: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return np.asarray(bad.any(axis=1))


def _not_finite(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype == np.float16:  # several times as fast as np.isfinite
        bits = np.ascontiguousarray(values).view(np.uint16)
        return np.asarray((bits & _HALF_EXPONENT) == _HALF_EXPONENT)
    return np.asarray(~np.isfinite(values))


def _no_probability(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """NaN compares as false, so it is no probability."""
    if values.dtype == np.float16:  # as integers: 0x3C00 is 1, and 0x8000 is -0
        bits = np.ascontiguousarray(values).view(np.uint16)
        return np.asarray((bits > 0x3C00) & (bits != 0x8000))
    return np.asarray(~((values >= 0) & (values <= 1 + _ROUNDING)))
