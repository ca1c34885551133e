"""Features from pixels, on images whose colours, edges and outlines are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unboxed.attention.npair import pixels_of
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.features.pixels import (
    COLOUR_NAMES,
    COLOUR_WIDTH,
    TEXTURE_WIDTH,
    colour_features,
    name_colours,
    pixel_features,
    texture_features,
)
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


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((5, 5, 5), "black"),
        ((128, 128, 128), "grey"),
        ((250, 250, 250), "white"),
        ((220, 20, 30), "red"),
        ((255, 140, 0), "orange"),
        ((110, 70, 35), "brown"),
        ((250, 230, 40), "yellow"),
        ((40, 150, 50), "green"),
        ((30, 60, 200), "blue"),
        ((25, 30, 80), "blue"),
        ((130, 40, 180), "purple"),
        ((250, 150, 190), "pink"),
    ],
)
def test_colours_have_their_everyday_names(rgb: tuple[int, int, int], name: str) -> None:
    assert COLOUR_NAMES[int(name_colours(np.array([[rgb]], np.uint8))[0, 0])] == name


def test_colour_features_tell_shirt_from_trousers() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:10], pixels[10:] = (220, 20, 30), (30, 60, 200)
    features = colour_features(pixels, np.array([[0, 0, 40, 40]], np.float32), 40, 40)[0]
    whole, upper, lower = features.reshape(3, 12)
    assert features.shape == (COLOUR_WIDTH,)
    red, blue = COLOUR_NAMES.index("red"), COLOUR_NAMES.index("blue")
    np.testing.assert_allclose([whole[red], whole[blue], upper[red], lower[blue]], [0.5, 0.5, 1, 1], atol=1e-5)
    np.testing.assert_allclose(features.reshape(3, 12)[:, :11].sum(axis=1), 1, atol=1e-5)


def test_texture_knows_upright_from_level_stripes() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::4] = stripes[:, 1::4] = 255
    boxes = np.array([[0, 0, 32, 32]], np.float32)
    upright, level = (texture_features(p, boxes, 32, 32)[0] for p in (stripes, stripes.transpose(1, 0, 2).copy()))
    assert upright.shape == (TEXTURE_WIDTH,)
    assert np.isfinite(upright).all()
    edges_upright, edges_level = upright[:128].reshape(16, 8), level[:128].reshape(16, 8)
    assert (edges_upright.argmax(axis=1) == 0).all()
    assert (edges_level.argmax(axis=1) == 4).all()


@given(st.integers(0, 2**32 - 1))
def test_flat_and_noisy_images_have_finite_descriptors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.full((24, 31, 3), rng.integers(0, 256, 3), np.uint8)
    pixels[5:9, 3:20] = rng.integers(0, 256, 3)
    low = rng.uniform(0, 40, (20, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 30, (20, 2))], axis=1).astype(np.float32)
    texture, colour = texture_features(pixels, boxes, 62, 48), colour_features(pixels, boxes, 62, 48)
    assert np.isfinite(texture).all()
    assert (colour >= 0).all() and (colour <= 1).all()


def test_the_outline_of_a_disc_is_in_the_middle() -> None:
    y, x = np.mgrid[:36, :36]
    pixels = np.full((36, 36, 3), 255, np.uint8)
    pixels[(x - 17.5) ** 2 + (y - 17.5) ** 2 < 100] = (200, 0, 0)
    outline = texture_features(pixels, np.array([[0, 0, 36, 36]], np.float32), 36, 36)[0, -36:].reshape(6, 6)
    assert outline[2:4, 2:4].min() > 0.9
    assert outline[0].max() < 0.1
