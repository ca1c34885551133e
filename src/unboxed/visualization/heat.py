"""Heat maps: the weight of regions at every point of an image, and the colours of heat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unboxed.types import Array

__all__ = ["heat_colours", "heat_map"]

Floats = npt.NDArray[np.float64]

# From dark to light in even steps of lightness: more heat always looks lighter.
_HEAT = np.array(
    [
        [0, 0, 4],
        [40, 11, 84],
        [101, 21, 110],
        [159, 42, 99],
        [212, 72, 66],
        [245, 125, 21],
        [250, 193, 39],
        [252, 255, 164],
    ]
)


def heat_map(boxes: Array, weights: Array, extent: tuple[int, int], size: tuple[int, int]) -> Floats:
    """The sum of the weights of the boxes over each point, divided by its maximum: `[height, width]` in [0, 1].

    Args:
        boxes: `[R, 4]` in a frame of `extent`.
        weights: `[R]`, not negative.
        extent: (width, height) of the frame of the boxes.
        size: (width, height) of the map.
    """
    width, height = size
    columns = (np.arange(width) + 0.5) * extent[0] / width
    rows = (np.arange(height) + 0.5) * extent[1] / height
    across = (columns >= boxes[:, 0, None]) & (columns <= boxes[:, 2, None])
    down = (rows >= boxes[:, 1, None]) & (rows <= boxes[:, 3, None])
    weighted: Floats = np.asarray(weights, dtype=np.float64)[:, None] * across
    total: Floats = down.T.astype(np.float64) @ weighted
    return total / total.max() if total.size and total.max() > 0 else total


def heat_colours(level: Floats) -> Floats:
    """RGB colours `[..., 3]` in 0..255 of heat `[...]` in [0, 1]; more heat is lighter."""
    at = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(level, at, _HEAT[:, channel]) for channel in range(3)], axis=-1)
