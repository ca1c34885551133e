"""Segments: drawn things are found, and an image of one colour is one segment."""

from __future__ import annotations

import numpy as np
from PIL import Image

from unboxed.regions.base import Detected, Proposals
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources import Segments


def _segments(pixels: np.ndarray) -> Proposals:
    image = Image.fromarray(pixels)
    source = Segments(RegionSettings(segments=True, top_k=10, nms=0.7))
    return source.propose(View(image, image.size), (), Detected.none())


def test_drawn_things_are_found() -> None:
    pixels = np.full((240, 320, 3), (200, 220, 240), np.uint8)
    pixels[40:120, 60:140], pixels[140:220, 200:300] = (200, 30, 30), (30, 120, 40)
    found = _segments(pixels)
    for thing in ([60, 40, 140, 120], [200, 140, 300, 220]):
        assert np.abs(found.boxes - thing).max(axis=1).min() <= 6


def test_one_colour_has_one_segment() -> None:
    np.testing.assert_allclose(_segments(np.full((40, 40, 3), 90, np.uint8)).boxes, [[0, 0, 40, 40]])
