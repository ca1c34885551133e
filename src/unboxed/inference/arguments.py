"""What the methods of `Grounder` are given: images and captions in the forms that they accept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from unboxed.errors import CaptionError, ImageError
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Regions

__all__ = ["ImageLike", "as_caption", "as_captions", "as_images"]

ImageLike = str | Path | PIL.Image.Image | np.ndarray[Any, Any] | Regions
"""An image: a file, a PIL image, an array `[H, W, 3]` or `[H, W]` of uint8, or its regions."""

_BATCH = 4  # axes of an array of several images


def as_caption(given: str | Caption) -> Caption:
    """The caption, with the noun phrases of a text.

    Raises:
        CaptionError: no text, or one without words.
    """
    if not isinstance(given, str | Caption):
        raise CaptionError(f"A caption is {given!r}; expected a text or an unboxed.Caption.")
    return given if isinstance(given, Caption) else Caption(given, noun_phrases(given))


def as_captions(given: Iterable[str | Caption], fewest: int = 0) -> list[Caption]:
    """The captions of a list.

    Raises:
        CaptionError: a single caption in place of a list, fewer than `fewest`, or one without words.
    """
    if isinstance(given, str | Caption):
        text = given if isinstance(given, str) else given.text
        raise CaptionError(f"The captions are one caption, {text[:40]!r}; give a list, such as [caption].")
    captions = [as_caption(caption) for caption in given]
    if len(captions) < fewest:
        raise CaptionError("There are no captions; give at least one.")
    return captions


def as_images(given: Iterable[ImageLike], fewest: int = 0) -> list[ImageLike]:
    """The images of a list.

    Raises:
        ImageError: a single image in place of a list, or fewer than `fewest`.
    """
    is_array = isinstance(given, np.ndarray) and given.ndim < _BATCH
    if is_array or isinstance(given, str | bytes | Path | PIL.Image.Image | Regions):
        raise ImageError("The images are one image; give a list, such as [image].")
    images = list(given)
    if len(images) < fewest:
        raise ImageError("There are no images; give at least one.")
    return images
