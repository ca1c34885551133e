"""One image as the networks look at it: in the shape it had before it was stored, at the size each one wants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from unboxed.types import Array

__all__ = ["Fit", "View"]


@dataclass(frozen=True, eq=False)
class Fit:
    """An image resized and, where asked for, padded at the right and the bottom.

    Attributes:
        pixels: `[H, W, 3]` uint8 RGB.
        scale: (x, y) pixels of this array to one pixel of the image.
    """

    pixels: npt.NDArray[np.uint8]
    scale: tuple[float, float]

    @property
    def window(self) -> tuple[float, float, float, float]:
        """What the whole array covers, in pixels of the image."""
        height, width = self.pixels.shape[:2]
        return 0.0, 0.0, width / self.scale[0], height / self.scale[1]

    def to_image(self, boxes: Array) -> Array:
        """Boxes `[N, 4]` in pixels of this array, as pixels of the image."""
        x, y = self.scale
        return np.asarray(boxes / np.array([x, y, x, y], np.float32), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class View:
    """An image and the shape in which to look at it.

    Boxes stay in the pixels of `image`: overlaps do not change when one axis is stretched, so only the networks need to
    see the original shape.

    Attributes:
        image: the RGB image as stored.
        original_size: (width, height) before it was stored, or its own size.
    """

    image: Image.Image
    original_size: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image as stored, in pixels."""
        return self.image.size

    def resized(self, width: int, height: int) -> Fit:
        """The whole image in exactly `width` x `height` pixels."""
        stored_width, stored_height = self.image.size
        pixels = self.image
        if (width, height) != self.image.size:
            # reducing_gap: a camera's 20 megapixels are first shrunk by whole numbers, ten times as fast.
            pixels = self.image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        return Fit(np.asarray(pixels), (width / stored_width, height / stored_height))

    def fitted(self, longest: int, multiple: int = 1, pad: int | None = None) -> Fit:
        """The image in its original shape with its longest side `longest` pixels.

        Args:
            longest: pixels of the longest side.
            multiple: both sides become multiples of it.
            pad: fill value 0..255 of the margin at the right and the bottom that makes them so. None: the image is
                stretched by the few pixels instead.
        """
        width, height = self._shape(longest)
        full_width, full_height = (max(1, round(side / multiple)) * multiple for side in (width, height))
        if pad is None:
            return self.resized(full_width, full_height)
        full_width, full_height = (-(-side // multiple) * multiple for side in (width, height))
        return self._padded(width, height, full_width, full_height, pad)

    def letterboxed(self, width: int, height: int, pad: int) -> Fit:
        """The image in its original shape, as large as fits, in the upper left of `width` x `height` pixels."""
        original_width, original_height = self.original_size
        ratio = min(width / original_width, height / original_height)
        inner_width = min(width, max(1, round(original_width * ratio)))
        inner_height = min(height, max(1, round(original_height * ratio)))
        return self._padded(inner_width, inner_height, width, height, pad)

    def _shape(self, longest: int) -> tuple[int, int]:
        ratio = longest / max(self.original_size)
        width, height = (max(1, round(side * ratio)) for side in self.original_size)
        return width, height

    def _padded(self, width: int, height: int, full_width: int, full_height: int, pad: int) -> Fit:
        inner = self.resized(width, height)
        pixels = np.full((full_height, full_width, 3), pad, np.uint8)
        pixels[:height, :width] = inner.pixels
        return Fit(pixels, inner.scale)
