"""Numbers of regions in 8 bits: codes, and a scale for each region and block of columns.

A block of features, such as those of one network, has a scale of its own, because the sizes of blocks differ. The
largest number of a block is kept exactly, so numbers that were read from codes give the same codes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["decoded", "encoded"]

Half = npt.NDArray[np.float16]


def encoded(
    values_RV: Half, widths: Sequence[int], kind: type[np.signedinteger[Any]] | type[np.unsignedinteger[Any]]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """The codes `[R, V]` and the scales `[R, blocks]` of numbers.

    >>> codes_RV, scales_RB = encoded(np.array([[1, -2, 0.5]], np.float16), [2, 1], np.int8)
    >>> codes_RV.tolist(), scales_RB.round(4).tolist()
    ([[64, -127, 127]], [[0.0157, 0.0039]])

    Args:
        values_RV: finite numbers; for `np.uint8` none is negative.
        widths: of the blocks; their sum is V.
        kind: `np.int8` or `np.uint8`.
    """
    largest = float(np.iinfo(kind).max)
    codes_RV = np.zeros(values_RV.shape, kind)
    scales_RB = np.zeros((len(values_RV), len(widths)), np.float32)
    start = 0
    for block, width in enumerate(widths):
        part_RW = values_RV[:, start : start + width].astype(np.float32)
        scale_R = np.abs(part_RW).max(axis=1, initial=0) / np.float32(largest)
        codes_RV[:, start : start + width] = np.rint(part_RW / np.where(scale_R > 0, scale_R, 1)[:, None])
        scales_RB[:, block] = scale_R
        start += width
    return codes_RV, scales_RB


def decoded(codes_RV: npt.NDArray[Any], scales_RB: npt.NDArray[np.float32], widths: Sequence[int]) -> Half:
    """The numbers `[R, V]` of codes."""
    values_RV: Half = (codes_RV * np.repeat(scales_RB, widths, axis=1)).astype(np.float16)
    return values_RV
