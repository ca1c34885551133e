"""Texture features: edges, colour layout and outline of a region, without weights.

Each descriptor is computed on a grid over the box: a histogram of gradient orientations on 4 x 4 cells (Dalal and
Triggs 2005), the mean L, a, b on 3 x 3 cells, and on 6 x 6 cells the distance of the colour from that of the box's rim,
which shows the outline of a thing on a plain background.
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

__all__ = ["TEXTURE_WIDTH", "TextureFeatures", "texture_features"]

_ORIENTATIONS = 8
_EDGE_CELLS, _COLOUR_CELLS, _SHAPE_CELLS = 4, 3, 6
TEXTURE_WIDTH = _EDGE_CELLS**2 * _ORIENTATIONS + _COLOUR_CELLS**2 * 3 + _SHAPE_CELLS**2


class TextureFeatures(RegionFeature):
    """Edges, colour layout and outline of each region."""

    settings = ("texture",)
    describes = f"{TEXTURE_WIDTH} numbers of edges, colour layout and outline; by default only without a backbone"

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """Turned on by `texture`, and by default without a backbone."""
        return cls() if settings.with_texture else None

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
    cells = np.concatenate([_cells(n) for n in grids])
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)[:, None]
    cell_boxes = np.tile(boxes[:, :2], 2)[:, None] + size * cells[None]
    means = pool(plane, np.asarray(cell_boxes.reshape(-1, 4), np.float32)).reshape(len(boxes), len(cells), -1)
    return np.split(means, np.cumsum([n * n for n in grids])[:-1], axis=1)


def _cells(n: int) -> Array:
    """The n x n cells of a square with sides of 1, row by row."""
    y, x = np.mgrid[:n, :n].reshape(2, -1)
    return np.asarray(np.stack([x, y, x + 1, y + 1], axis=1) / n, dtype=np.float32)


def _lab(pixels: npt.NDArray[np.uint8]) -> Array:
    """CIE L, a, b scaled to about 0..1 and -1..1, `[3, H, W]`."""
    from skimage.color import rgb2lab

    lab = rgb2lab(pixels) / np.array([100.0, 100.0, 100.0])
    return np.asarray(lab.transpose(2, 0, 1), dtype=np.float32)
