"""Views of an image: boxes are mapped back through resizing and padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unboxed.regions.image_view import View


def test_a_view_maps_boxes_back_through_resizing_and_padding() -> None:
    view = View(Image.new("RGB", (224, 224)), (500, 375))
    padded = view.fitted(448, 64, pad=114)
    assert padded.pixels.shape == (384, 448, 3)  # 448 x 336, padded to multiples of 64
    assert (padded.pixels[336:] == 114).all() and (padded.pixels[:336] == 0).all()
    np.testing.assert_allclose(padded.to_image(np.array([[0, 0, 448, 336]], np.float32)), [[0, 0, 224, 224]])
    stretched = view.fitted(352, 32)
    assert stretched.pixels.shape == (256, 352, 3)
    assert stretched.window == (0, 0, 224, 224)


sides = st.integers(1, 400)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(1, 300), st.sampled_from([1, 32, 64]))
def test_the_whole_image_maps_to_the_whole_image(
    stored: tuple[int, int], original: tuple[int, int], longest: int, multiple: int
) -> None:
    """Whatever the size, padded or not, the image's own corners are found at its corners again."""
    view = View(Image.new("RGB", stored, (9, 9, 9)), original)
    for sized in (view.fitted(longest, multiple), view.fitted(longest, multiple, pad=0), view.letterboxed(64, 32, 0)):
        inner = (sized.pixels == 9).all(axis=2)
        height, width = int(inner.any(axis=1).sum()), int(inner.any(axis=0).sum())
        box = sized.to_image(np.array([[0, 0, width, height]], np.float32))
        np.testing.assert_allclose(box, [[0, 0, *stored]], rtol=1e-4)
    np.testing.assert_allclose(view.fitted(longest, multiple).window, (0, 0, *stored))
    assert max(view.small.shape[:2]) == 112
