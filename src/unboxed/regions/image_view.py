"""Views of an image for networks: in its original shape, resized and padded to the size that a network accepts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from unboxed.types import Array

__all__ = ["SizedImage", "View"]


@dataclass(frozen=True, eq=False)
class SizedImage:
    """An image resized, and possibly padded at the right and the bottom.

    Attributes:
        pixels: `[H, W, 3]` uint8 RGB.
        scale: (x, y) pixels of this array for one pixel of the image.
    """

    pixels: npt.NDArray[np.uint8]
    scale: tuple[float, float]

    @property
    def window(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in pixels of the image: what the whole array covers, padding included."""
        height, width = self.pixels.shape[:2]
        return 0.0, 0.0, width / self.scale[0], height / self.scale[1]

    def to_image(self, boxes: Array) -> Array:
        """Boxes `[N, 4]` in pixels of this array, converted to pixels of the image."""
        x, y = self.scale
        return np.asarray(boxes / np.array([x, y, x, y], np.float32), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class View:
    """An image as stored, and the shape in which networks get it.

    Boxes stay in pixels of `image`, because IoU does not change when an axis is stretched. Only the networks need the
    original shape.

    Attributes:
        image: the RGB image as stored.
        original_size: (width, height) before it was stored, or the size of `image`.
        computed: what parts that share a slow result have computed for the image, by a key of theirs.
    """

    image: Image.Image
    original_size: tuple[int, int]
    computed: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def small(self) -> npt.NDArray[np.uint8]:
        """`[H, W, 3]` the image with its longest side 112 pixels, from which colours and textures are computed.

        Both sides have at least two pixels, so that there are differences between neighbours.
        """
        pixels = self.fitted(112).pixels
        height, width = pixels.shape[:2]
        return pixels if min(height, width) > 1 else self.resized(max(width, 2), max(height, 2)).pixels

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image as stored, in pixels."""
        return self.image.size

    def resized(self, width: int, height: int) -> SizedImage:
        """The whole image in exactly `width` x `height` pixels."""
        stored_width, stored_height = self.image.size
        pixels = self.image
        if (width, height) != self.image.size:
            # With reducing_gap large images are first reduced by a whole factor, which is ten times as fast.
            pixels = self.image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        return SizedImage(np.asarray(pixels), (width / stored_width, height / stored_height))

    def sized(self, fixed: tuple[int, int] | None, longest: int) -> SizedImage:
        """The whole image for a network: in its `fixed` (width, height), else `longest` pixels long (see `fitted`)."""
        return self.resized(*fixed) if fixed else self.fitted(longest, 32)

    def fitted(self, longest: int, multiple: int = 1, pad: int | None = None) -> SizedImage:
        """The image in its original shape with its longest side `longest` pixels.

        Args:
            longest: pixels of the longest side.
            multiple: both sides become multiples of it.
            pad: fill value 0..255 of a margin at the right and the bottom that makes them multiples. None: the image is
                stretched slightly instead.
        """
        ratio = longest / max(self.original_size)
        width, height = (max(1, round(side * ratio)) for side in self.original_size)
        full_width, full_height = (max(1, round(side / multiple)) * multiple for side in (width, height))
        if pad is None:
            return self.resized(full_width, full_height)
        full_width, full_height = (-(-side // multiple) * multiple for side in (width, height))
        return self._padded(width, height, full_width, full_height, pad)

    def crop(self, box: Array, width: int, height: int) -> npt.NDArray[np.uint8]:
        """The part of the image in a box, x1, y1, x2, y2 in its pixels, stretched to `[height, width, 3]`."""
        x1, y1, x2, y2 = (float(edge) for edge in box)
        limits = (x1, y1, max(x2, x1 + 1e-2), max(y2, y1 + 1e-2))
        return np.asarray(self.image.resize((width, height), Image.Resampling.BILINEAR, box=limits))

    def letterboxed(self, width: int, height: int, pad: int) -> SizedImage:
        """The image in its original shape, as large as fits, in the upper left of `width` x `height` pixels."""
        original_width, original_height = self.original_size
        ratio = min(width / original_width, height / original_height)
        inner_width = min(width, max(1, round(original_width * ratio)))
        inner_height = min(height, max(1, round(original_height * ratio)))
        return self._padded(inner_width, inner_height, width, height, pad)

    def _padded(self, width: int, height: int, full_width: int, full_height: int, pad: int) -> SizedImage:
        inner = self.resized(width, height)
        pixels = np.full((full_height, full_width, 3), pad, np.uint8)
        pixels[:height, :width] = inner.pixels
        return SizedImage(pixels, inner.scale)
