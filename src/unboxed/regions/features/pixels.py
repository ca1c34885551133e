"""Features from the pixels of a region, without weights: the pixels themselves, named colours, and texture.

Colour: the eleven basic colour terms (Berlin and Kay 1969) follow from hue, saturation and value. They are counted over
the whole box, its upper middle (a shirt) and its lower middle (trousers): 36 numbers.

Texture: each descriptor is computed on a grid over the box: a histogram of gradient orientations on 4 x 4 cells (Dalal
and Triggs 2005), the mean L, a, b on 3 x 3 cells, and on 6 x 6 cells the distance of the colour from that of the box's
rim, which shows the outline of a thing on a plain background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from unboxed.regions.base import FeatureBlock, FeatureMap, RegionFeature
from unboxed.regions.image_view import View
from unboxed.regions.pooling import pool
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.geometry import grid_cells
from unboxed.types import Array

__all__ = [
    "COLOUR_NAMES",
    "COLOUR_WIDTH",
    "TEXTURE_WIDTH",
    "ColourFeatures",
    "PixelFeatures",
    "TextureFeatures",
    "colour_features",
    "name_colours",
    "pixel_features",
    "texture_features",
]

COLOUR_NAMES = ("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink")
COLOUR_WIDTH = 36
_HUE_ENDS: Array = np.array([15, 42, 68, 165, 255, 290, 335], np.float32)  # degrees
_HUE_NAMES = np.array([3, 4, 6, 7, 8, 9, 10, 3])  # red, orange, yellow, green, blue, purple, pink, red
# Parts of a box as x1, y1, x2, y2 in shares of its sides: all of it, upper middle, lower middle.
_PARTS: Array = np.array([(0, 0, 1, 1), (0.25, 0.15, 0.75, 0.5), (0.25, 0.5, 0.75, 0.9)], np.float32)

_ORIENTATIONS = 8
_EDGE_CELLS, _COLOUR_CELLS, _SHAPE_CELLS = 4, 3, 6
TEXTURE_WIDTH = _EDGE_CELLS**2 * _ORIENTATIONS + _COLOUR_CELLS**2 * 3 + _SHAPE_CELLS**2


class PixelFeatures(RegionFeature):
    """Each region as n x n RGB pixels."""

    settings = ("pixels",)
    describes = "the region as n x n RGB pixels"

    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """One block, `pixels`, `[R, 3 * pixels²]`."""
        return [FeatureBlock("pixels", pixel_features(view, boxes, self.options.pixels))]


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


class ColourFeatures(RegionFeature):
    """Shares of named colours in three parts of each region."""

    settings = ("colour",)
    describes = (
        "36 numbers of colour: the shares of eleven named colours and the brightness of the whole box, its upper and "
        "its lower middle"
    )

    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """One block, `colour`, `[R, 36]`."""
        return [FeatureBlock("colour", colour_features(view.small, boxes, *view.size))]


def name_colours(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """The index in `COLOUR_NAMES` of each pixel, `[H, W]`, of an RGB image `[H, W, 3]`."""
    red, green, blue = _channels(pixels) / np.float32(255)
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    saturation = chroma / np.maximum(value, 1e-6)
    hue = _hue(red, green, blue, value, chroma)
    names = _HUE_NAMES[np.searchsorted(_HUE_ENDS, hue, side="right")]
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
    brightness = _channels(pixels).sum(axis=0)[:, :, None] / 3 / 255
    planes = np.concatenate([one_hot, brightness], axis=2).transpose(2, 0, 1)
    plane = FeatureMap("colour", planes, (0.0, 0.0, float(width), float(height)))
    return _on_parts(plane, boxes, _PARTS).reshape(len(boxes), COLOUR_WIDTH).clip(0, 1)


def _channels(pixels: npt.NDArray[np.uint8]) -> Array:
    """An image `[H, W, 3]` as `[3, H, W]`: numpy is slow along an axis of three numbers."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def _hue(red: Array, green: Array, blue: Array, value: Array, chroma: Array) -> Array:
    """Hue in degrees 0..360; 0 for greys."""
    safe = np.maximum(chroma, 1e-6)
    sector = np.where(
        value == red,
        ((green - blue) / safe) % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return np.asarray(np.where(chroma > 0, sector * 60, 0), dtype=np.float32)


class TextureFeatures(RegionFeature):
    """Edges, colour layout and outline of each region."""

    settings = ("texture",)
    describes = f"{TEXTURE_WIDTH} numbers of edges, colour layout and outline; by default only without a backbone"

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """Turned on by `texture`, and by default without a backbone."""
        return cls(settings) if settings.with_texture else None

    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """One block, `texture`, `[R, 191]`."""
        return [FeatureBlock("texture", texture_features(view.small, boxes, *view.size))]


def texture_features(pixels: npt.NDArray[np.uint8], boxes: Array, width: int, height: int) -> Array:
    """Edge, colour-layout and outline descriptors of each box, `[R, 191]`.

    The edge histograms of a box have length 1 together, colours lie in about -1..1, outlines in 0..1.

    Args:
        pixels: `[H, W, 3]` RGB, the whole image at any size.
        boxes: `[R, 4]` in pixels of the image.
        width, height: of the image.
    """
    lab = _lab(pixels)
    window = (0.0, 0.0, float(width), float(height))
    (edges,) = _on_cells(FeatureMap("edges", _edges(lab[0]), window), boxes, _EDGE_CELLS)
    # The square root keeps one strong edge from hiding the others. Pooled zeros may be slightly negative.
    edges = np.sqrt(np.maximum(edges, 0).reshape(len(boxes), -1))
    edges /= np.maximum(np.linalg.norm(edges, axis=1, keepdims=True), 1e-3)
    layout, cells = _on_cells(FeatureMap("lab", lab, window), boxes, _COLOUR_CELLS, _SHAPE_CELLS)
    return np.concatenate([edges, layout.reshape(len(boxes), -1), _outline(cells)], axis=1).astype(np.float32)


def _edges(lightness: Array) -> Array:
    """Gradient magnitude by orientation, `[8, H, W]`; a gradient counts for its two nearest orientations."""
    gradient_y, gradient_x = np.gradient(lightness)
    strength = np.hypot(gradient_x, gradient_y).astype(np.float32)
    place = np.arctan2(gradient_y, gradient_x) % np.pi * (_ORIENTATIONS / np.pi)
    lower = np.floor(place)
    share = place - lower
    low = lower.astype(np.intp) % _ORIENTATIONS
    planes = np.zeros((_ORIENTATIONS, *lightness.shape), np.float32)
    np.put_along_axis(planes, low[None], (strength * (1 - share))[None].astype(np.float32), axis=0)
    np.put_along_axis(planes, ((low + 1) % _ORIENTATIONS)[None], (strength * share)[None].astype(np.float32), axis=0)
    return planes


def _outline(cells: Array) -> Array:
    """`[R, 36]`: distance of each of 6 x 6 cells `[R, 36, 3]` from the mean of the outer ones; the largest is 1."""
    inner = np.zeros((_SHAPE_CELLS, _SHAPE_CELLS), bool)
    inner[1:-1, 1:-1] = True
    rim = cells[:, ~inner.ravel()].mean(axis=1, keepdims=True)
    distance = np.linalg.norm(cells - rim, axis=2)
    return np.asarray(distance / np.maximum(distance.max(axis=1, keepdims=True), 0.05), dtype=np.float32)


def _on_cells(plane: FeatureMap, boxes: Array, *grids: int) -> list[Array]:
    """For each n of `grids` the means of a map over the n x n equal parts of each box, `[R, n * n, V]`."""
    means = _on_parts(plane, boxes, np.concatenate([grid_cells(1, 1, n) for n in grids]))
    return np.split(means, np.cumsum([n * n for n in grids])[:-1], axis=1)


def _on_parts(plane: FeatureMap, boxes: Array, parts: Array) -> Array:
    """The means of a map over `parts` `[P, 4]` of each box, x1, y1, x2, y2 in shares of its sides: `[R, P, V]`."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)[:, None]
    part_boxes = np.tile(boxes[:, :2], 2)[:, None] + size * parts
    return pool(plane, np.asarray(part_boxes.reshape(-1, 4), np.float32)).reshape(len(boxes), len(parts), -1)


def _lab(pixels: npt.NDArray[np.uint8]) -> Array:
    """CIE L, a, b scaled to about 0..1 and -1..1, `[3, H, W]`."""
    from skimage.color import rgb2lab

    lab = rgb2lab(pixels) / np.array([100.0, 100.0, 100.0])
    return np.asarray(lab.transpose(2, 0, 1), dtype=np.float32)
