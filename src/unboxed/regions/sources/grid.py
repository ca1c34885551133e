"""Sources that do not look at the pixels: the whole image, and the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from unboxed.regions.image_view import View
from unboxed.regions.proposals import Detected, Proposals
from unboxed.regions.sources.base import RegionSource
from unboxed.types import Array

if TYPE_CHECKING:
    from unboxed.regions.settings import RegionSettings

__all__ = ["Grid", "WholeImage", "grid_cells"]


class WholeImage(RegionSource):
    """One box: the whole image."""

    names = ("image",)
    settings = ("whole_image",)
    finds = "scenes, crowds, close-ups"
    one_thing = False
    always_kept = True

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """Turned on by `whole_image`."""
        return cls() if settings.whole_image else None

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """One box."""
        return Proposals.of([(0, 0, *view.size)], "image")


class Grid(RegionSource):
    """The n x n equal cells of the image."""

    names = ("grid",)
    settings = ("grid",)
    finds = "anything, roughly"

    def __init__(self, cells: int) -> None:
        self._cells = cells

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """Turned on by `grid`, the number of cells along each side."""
        return cls(settings.grid) if settings.grid else None

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """The cells, row by row."""
        return Proposals.of(grid_cells(*view.size, self._cells), "grid")


def grid_cells(width: int, height: int, cells: int) -> Array:
    """The `cells` x `cells` equal boxes that tile an image, row by row, `[cells², 4]`."""
    y, x = np.mgrid[:cells, :cells].reshape(2, -1)
    corners = np.stack([x, y, x + 1, y + 1], axis=1) / cells
    return np.asarray(corners * np.array([width, height, width, height]), dtype=np.float32)
