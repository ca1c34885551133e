"""Regions as their own pixels: cut in place, the grid put together again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from unboxed.attention.npair import pixels_of
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.features.pixels import pixel_features
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings

CELLS = RegionSettings(whole_image=False, grid=4, pixels=8, colour=False, texture=False)


def _noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_the_cells_of_a_grid_put_the_image_together_again() -> None:
    image = _noise(32, 32)
    regions = RegionExtractor(CELLS)(image)
    assert len(regions) == 16
    together = pixels_of(torch.from_numpy(regions.features.copy())[None], 8, 4)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(together, np.asarray(image) / 255, atol=1e-6)


def test_cells_join_without_seams() -> None:
    """What the cells hold is what resizing the whole image gives, at their edges too."""
    image = _noise(60, 40)
    found = RegionExtractor(CELLS)(image).features
    together = pixels_of(torch.from_numpy(found.copy())[None], 8, 4)[0].permute(1, 2, 0).numpy()
    whole = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(together, whole, atol=1.01 / 255)


def test_a_box_is_read_in_its_place() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:20, 30:50] = (255, 0, 51)
    view = View(Image.fromarray(pixels), (60, 40))
    inner, elsewhere = pixel_features(view, np.array([[33, 12, 47, 18], [0, 25, 60, 40]], np.float32), 4)
    np.testing.assert_allclose(inner.reshape(16, 3), np.tile([1, 0, 0.2], (16, 1)), atol=1e-6)
    assert elsewhere.max() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (500, 40)])
def test_every_shape_has_all_cells(size: tuple[int, int]) -> None:
    regions = RegionExtractor(CELLS)(_noise(*size))
    assert regions.features.shape == (16, 192)
    assert RegionExtractor(CELLS).feature_blocks == (("pixels", 192),)
