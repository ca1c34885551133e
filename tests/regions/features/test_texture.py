"""Texture features: stripes, outlines, and finite numbers for any image."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unboxed.regions.features.colour import colour_features
from unboxed.regions.features.texture import TEXTURE_WIDTH, texture_features


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
