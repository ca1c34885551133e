"""Boxes that need no look at the pixels: the whole image, and the cells of a grid."""

from __future__ import annotations

import numpy as np

from unboxed.regions.proposals import Proposals

__all__ = ["grid_cells", "whole_image"]


def whole_image(width: int, height: int) -> Proposals:
    """The one box that is the photograph: scenes, crowds and close-ups are phrases too."""
    return Proposals(np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32), ("image",))


def grid_cells(width: int, height: int, cells: int) -> Proposals:
    """The `cells` x `cells` equal boxes that tile the image, row by row."""
    y, x = np.mgrid[:cells, :cells].reshape(2, -1)
    corners = np.stack([x, y, x + 1, y + 1], axis=1) / cells
    boxes = (corners * np.array([width, height, width, height])).astype(np.float32)
    return Proposals(boxes, np.ones(cells * cells, np.float32), ("grid",) * cells * cells)
