"""Colour features: the shares of eleven named colours in a region, and its brightness, without weights.

The eleven basic colour terms (Berlin and Kay 1969) follow from hue, saturation and value. They are counted over the
whole box, its upper middle (a shirt) and its lower middle (trousers): 36 numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from unboxed.regions.features.base import FeatureBlock, RegionFeature
from unboxed.regions.image_view import View
from unboxed.regions.pooling import pool
from unboxed.regions.proposals import FeatureMap
from unboxed.types import Array

if TYPE_CHECKING:
    from unboxed.regions.settings import RegionSettings

__all__ = ["COLOUR_NAMES", "COLOUR_WIDTH", "ColourFeatures", "colour_features", "name_colours"]

COLOUR_NAMES = ("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink")
COLOUR_WIDTH = 36
# Parts of a box as x1, y1, x2, y2 in shares of its sides: all of it, upper middle, lower middle.
_PARTS = ((0.0, 0.0, 1.0, 1.0), (0.25, 0.15, 0.75, 0.5), (0.25, 0.5, 0.75, 0.9))


class ColourFeatures(RegionFeature):
    """Shares of named colours in three parts of each region."""

    settings = ("colour",)
    describes = (
        "36 numbers of colour: the shares of eleven named colours and the brightness of the whole box, its upper and "
        "its lower middle"
    )

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """Turned on by `colour`."""
        return cls() if settings.colour else None

    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """One block, `colour`, `[R, 36]`."""
        return [FeatureBlock("colour", colour_features(view.small, boxes, *view.size))]


def name_colours(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """The index in `COLOUR_NAMES` of each pixel, `[H, W]`, of an RGB image `[H, W, 3]`."""
    rgb = np.asarray(pixels, dtype=np.float32) / np.float32(255)
    value, low = rgb.max(axis=2), rgb.min(axis=2)
    chroma = value - low
    saturation = chroma / np.maximum(value, 1e-6)
    hue = _hue(rgb, value, chroma)
    names = np.select(
        [hue < 15, hue < 42, hue < 68, hue < 165, hue < 255, hue < 290, hue < 335],
        [3, 4, 6, 7, 8, 9, 10],
        default=3,
    )
    warm = (hue < 45) | (hue >= 345)
    names = np.where((names == 4) & ((value < 0.65) | (saturation < 0.5)), 5, names)  # dark or dull orange is brown
    names = np.where((names == 3) & (value < 0.45) & (saturation < 0.6), 5, names)
    names = np.where((names == 6) & (value < 0.45), 7, names)  # dark yellow is olive
    names = np.where((names == 3) & (value > 0.75) & (saturation < 0.5), 10, names)  # pale red is pink
    weak = saturation < np.where(warm, 0.18, 0.13)
    names = np.where(weak, np.select([value < 0.2, value < 0.75], [0, 1], default=2), names)
    return np.where(value < 0.16, 0, names).astype(np.intp)


def colour_features(pixels: npt.NDArray[np.uint8], boxes: Array, width: int, height: int) -> Array:
    """Shares of the named colours and brightness of three parts of each box, `[R, 36]` in [0, 1].

    Args:
        pixels: `[H, W, 3]` RGB, the whole image at any size.
        boxes: `[R, 4]` in pixels of the image.
        width, height: of the image.
    """
    one_hot = np.eye(len(COLOUR_NAMES), dtype=np.float32)[name_colours(pixels)]
    brightness = pixels.mean(axis=2, dtype=np.float32)[:, :, None] / 255
    planes = np.concatenate([one_hot, brightness], axis=2).transpose(2, 0, 1)
    plane = FeatureMap("colour", planes, (0.0, 0.0, float(width), float(height)))
    parts = pool(plane, np.stack([_part(boxes, part) for part in _PARTS], axis=1).reshape(-1, 4))
    return parts.reshape(len(boxes), COLOUR_WIDTH).clip(0, 1)


def _part(boxes: Array, part: tuple[float, float, float, float]) -> Array:
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(np.tile(boxes[:, :2], 2) + size * np.array(part, np.float32), dtype=np.float32)


def _hue(rgb: Array, value: Array, chroma: Array) -> Array:
    """Hue in degrees 0..360; 0 for greys."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    safe = np.maximum(chroma, 1e-6)
    sector = np.where(
        value == red,
        ((green - blue) / safe) % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return np.asarray(np.where(chroma > 0, sector * 60, 0), dtype=np.float32)
