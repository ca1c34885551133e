"""Colour features: names of colours, and the shares of them in parts of a box."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.regions.features.colour import COLOUR_NAMES, COLOUR_WIDTH, colour_features, name_colours


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
