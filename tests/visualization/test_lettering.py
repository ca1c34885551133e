"""Letters that Pillow's font does not have are drawn in a form that it has, not as empty boxes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unboxed.types import Phrase
from unboxed.visualization import caption_strip, draw_grounding
from unboxed.visualization.lettering import lettering, plain_letters


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("2024 été/Straße & Café.jpg", "2024 ete/Strasse & Cafe.jpg"),
        ("e\u0301te\u0301", "ete"),
        ("naïve – yes — no", "naive - yes - no"),
        ("“both” ‘kinds’ … 5°", "“both” ‘kinds’ … 5°"),
        ("日本\u200b.jpg", "??.jpg"),
    ],
)
def test_a_text_in_letters_of_the_font(text: str, plain: str) -> None:
    assert plain_letters(text) == plain
    missing = bytes(lettering(20).getmask("\uffff"))
    assert all(bytes(lettering(20).getmask(letter)) != missing for letter in plain)


def test_captions_and_tags_are_drawn_in_them() -> None:
    caption, plain = "A café – nice", "A cafe - nice"
    assert np.array_equal(
        caption_strip(caption, [(0, 6, "#0072B2")], 400), caption_strip(plain, [(0, 6, "#0072B2")], 400)
    )
    image, box = Image.new("RGB", (200, 100)), np.array([[10, 10, 100, 60]], dtype=np.float32)
    drawn = [draw_grounding(image, text, [Phrase(text[:6], 0, 6, boxes=box)]) for text in (caption, plain)]
    assert np.array_equal(*drawn)
