"""Regions described by their own pixels, for networks that are trained from pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from PIL import Image

from unboxed.regions.features.base import FeatureBlock, RegionFeature
from unboxed.regions.image_view import View
from unboxed.regions.proposals import FeatureMap
from unboxed.types import Array

if TYPE_CHECKING:
    from unboxed.regions.settings import RegionSettings

__all__ = ["PixelFeatures", "pixel_features"]


class PixelFeatures(RegionFeature):
    """Each region as n x n RGB pixels."""

    settings = ("pixels",)
    describes = "the region as n x n RGB pixels"

    def __init__(self, side: int) -> None:
        self._side = side

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """Turned on by `pixels`, the number of pixels along each side."""
        return cls(settings.pixels) if settings.pixels else None

    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """One block, `pixels`, `[R, 3 * pixels²]`."""
        return [FeatureBlock("pixels", pixel_features(view, boxes, self._side))]


def pixel_features(view: View, boxes: Array, side: int) -> Array:
    """Each box as `side` x `side` RGB pixels in [0, 1], row by row: `[R, 3 * side**2]`.

    The features of the cells of a grid, put together, are the whole image resized, without seams: the filter of the
    resizing reads beyond the edges of a cell. A box thinner than a pixel is read as one pixel.
    """
    rows = np.empty((len(boxes), 3 * side * side), dtype=np.float32)
    width, height = view.size
    for row, box in zip(rows, boxes, strict=True):
        x1, y1, x2, y2 = (float(edge) for edge in box)
        x1, y1 = min(x1, width - 1), min(y1, height - 1)
        limits = (x1, y1, min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height))
        pixels = view.image.resize((side, side), Image.Resampling.BILINEAR, box=limits)
        row[:] = np.asarray(pixels, dtype=np.float32).ravel() / 255
    return rows
