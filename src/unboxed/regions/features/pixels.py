"""A region described by nothing but its own pixels, for networks that are trained from pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from unboxed.regions.image_view import View
from unboxed.types import Array

__all__ = ["pixel_features"]


def pixel_features(view: View, boxes: Array, side: int) -> Array:
    """Each box as `side` x `side` RGB pixels in [0, 1], row by row: `[R, 3 * side**2]`.

    The cells of a grid tile the image, so that a network can put it together again: stretched to a square, with
    as many pixels as the cells have together, and without seams, as the filter reads over a cell's edge. A box thinner
    than a pixel is read as one pixel.
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
