"""A grounding in a notebook: boxes and caption in the same colours, any caption escaped, with or without an image."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Regions
from unboxed.visualization.draw import PALETTE

CAPTION = "A dog <b>chases</b> a ball & runs."
DOG, BALL = [20, 20, 120, 80], [140, 10, 190, 60]


def grounding(*, size: tuple[int, int] = (200, 100), ball: float = 0.9, **given: object) -> Grounding:
    """A dog and a ball in an image; `ball` is the probability that the ball is there."""
    phrases = []
    for text, box, confidence in (("A dog", DOG, 0.9), ("a ball", BALL, ball)):
        start = CAPTION.index(text)
        phrases.append(GroundedPhrase(text, start, start + len(text), [box], [1.0], confidence=confidence))
    none = np.zeros((0, 0))
    regions = Regions(np.zeros((0, 4)), np.zeros(0), none, none, (), (), *size)
    return Grounding(CAPTION, tuple(phrases), (), regions, none, *size, **given)


def has(picture: Image.Image, colour: str) -> np.ndarray:
    """`[H, W]`: where the picture has this colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(np.asarray(picture.convert("RGB"), dtype=int) - wanted).max(axis=2) < 12


def opened_png(shown: Grounding) -> Image.Image:
    picture = Image.open(BytesIO(shown._repr_png_()))
    assert picture.format == "PNG"
    return picture


class _Text(HTMLParser):
    """Collects the text and the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("size", [(200, 100), (2000, 1000)])
def test_the_png_has_the_image_and_every_phrase_in_its_colour(size: tuple[int, int]) -> None:
    picture = opened_png(grounding(size=size, image=Image.new("RGB", size, "#808080")))
    assert picture.width == 800 and picture.height > 400  # the caption is below the image
    assert has(picture, "#808080")[:400].mean() > 0.5
    for colour in PALETTE[:2]:
        assert has(picture, colour)[:400].any() and has(picture, colour)[400:].any()


def test_the_image_may_be_a_file_an_array_or_a_picture(tmp_path: Path) -> None:
    picture = Image.new("RGB", (200, 100), "#406080")
    picture.save(tmp_path / "image.png")
    images = [picture, np.asarray(picture), tmp_path / "image.png", str(tmp_path / "image.png")]
    first, *others = [grounding(image=image)._repr_png_() for image in images]
    assert all(other == first for other in others)


def test_without_an_image_the_boxes_are_on_white_paper(tmp_path: Path) -> None:
    for shown in (grounding(), grounding(image=tmp_path / "gone.png")):
        picture = opened_png(shown)
        assert picture.width == 800
        assert has(picture, "#FFFFFF")[:400].mean() > 0.5
        assert has(picture, PALETTE[0])[:400].any()


def test_html_has_the_caption_escaped_and_its_phrases_in_the_colours_of_the_boxes() -> None:
    page = grounding(image=Image.new("RGB", (200, 100), "#808080"))._repr_html_()
    assert _Text(page).text == CAPTION and "b" not in _Text(page).tags
    assert re.findall(r"background:(#\w+);[^>]*>([^<]*)<", page) == [(PALETTE[0], "A dog"), (PALETTE[1], "a ball")]
    (encoded,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    picture = Image.open(BytesIO(base64.b64decode(encoded)))
    assert picture.size == (800, 400)
    blue = np.asarray(picture, dtype=int)[200, 75:90] - [0x00, 0x72, 0xB2]  # where the left edge of the dog's box is
    assert np.abs(blue).max(axis=1).min() < 40  # JPEG blurs colours


def test_a_phrase_that_is_not_in_the_image_has_no_box_and_is_listed() -> None:
    shown = grounding(ball=0.2)
    assert not has(opened_png(shown), PALETTE[1]).any()
    page = shown._repr_html_()
    assert PALETTE[1] not in page and _Text(page).text == CAPTION + "Not in the image: a ball"


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=60), st.lists(st.tuples(st.integers(0, 59), st.integers(1, 20)), max_size=5))
def test_any_caption_is_shown_as_it_is(caption: str, spans: list[tuple[int, int]]) -> None:
    phrases = tuple(
        GroundedPhrase(caption[start : start + length], start, min(start + length, len(caption)), [[0, 0, 5, 5]], [1])
        for start, length in spans
        if start < len(caption)
    )
    plain = grounding(size=(20, 10))
    shown = Grounding(caption, phrases, (), plain.regions, plain.attention_WR, 20, 10)
    page = shown._repr_html_()
    assert _Text(page).text == caption
    assert set(_Text(page).tags) <= {"figure", "img", "figcaption", "span"}


def test_the_image_is_neither_printed_nor_compared_nor_exported() -> None:
    shown = grounding(image="secret.png")
    assert "secret" not in repr(shown) and "secret" not in str(shown.to_dict())
