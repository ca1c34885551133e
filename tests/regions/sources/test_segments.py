"""Segments: drawn things are found, and an image of one colour is one segment."""

from __future__ import annotations

import numpy as np

from unboxed.regions.sources.segments import segment_boxes


def test_segment_boxes_find_drawn_things() -> None:
    pixels = np.full((120, 160, 3), (200, 220, 240), np.uint8)
    pixels[20:60, 30:70], pixels[70:110, 100:150] = (200, 30, 30), (30, 120, 40)
    found = segment_boxes(pixels, 320, 240, count=10, threshold=0.7)
    for thing in ([60, 40, 140, 120], [200, 140, 300, 220]):
        assert np.abs(found.boxes - thing).max(axis=1).min() <= 6


def test_one_colour_has_one_segment() -> None:
    found = segment_boxes(np.full((40, 40, 3), 90, np.uint8), 40, 40, count=10, threshold=0.7)
    np.testing.assert_allclose(found.boxes, [[0, 0, 40, 40]])
