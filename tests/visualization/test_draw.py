"""Pictures show what they are given: colours where boxes are, dashed gold boxes, any caption."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unboxed.errors import ImageError
from unboxed.inference.results import GroundedPhrase
from unboxed.types import Phrase
from unboxed.visualization.draw import (
    PALETTE,
    caption_strip,
    draw_boxes,
    draw_grounding,
    ink,
    phrase_colours,
    save_picture,
)

CAPTION = "A dog chases a ball."


def grounded(text: str, *boxes: list[float], caption: str = CAPTION) -> GroundedPhrase:
    start = caption.index(text)
    return GroundedPhrase(text, start, start + len(text), np.array(boxes), np.linspace(1, 0.5, len(boxes)))


def rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def near(picture: Image.Image, colour: str) -> np.ndarray:
    """`[H, W]`: where the picture has this colour, give or take what reducing it blurs."""
    return np.abs(np.asarray(picture, dtype=int) - rgb(colour)).max(axis=2) < 12


def test_the_box_and_the_words_of_a_phrase_have_its_colour_and_others_have_not():
    image = Image.new("RGB", (800, 400), "#808080")
    picture = draw_grounding(image, CAPTION, [grounded("A dog", [100, 100, 300, 300]), grounded("a ball")])
    assert picture.width == 800
    blue = near(picture, PALETTE[0])
    assert blue[200, 95:105].any()
    assert blue[200, 295:305].any()
    assert blue[400:].any()
    assert not near(picture, PALETTE[1]).any()  # "a ball" has no box


def test_a_small_image_is_enlarged_and_its_boxes_with_it():
    picture = draw_grounding(Image.new("RGB", (100, 50), "#808080"), CAPTION, [grounded("A dog", [50, 10, 90, 40])])
    assert picture.width == 800
    assert near(picture, PALETTE[0])[200, 395:405].any()


def test_two_phrases_in_one_place_stay_both_visible():
    image, box = Image.new("RGB", (800, 400), "#808080"), [100, 100, 500, 350]
    picture = draw_grounding(image, CAPTION, [grounded("A dog", box), grounded("a ball", box)])
    assert near(picture, PALETTE[0])[225, :400].any()
    assert near(picture, PALETTE[1])[225, :400].any()


def test_tags_of_boxes_in_one_place_do_not_cover_each_other():
    image, box = Image.new("RGB", (800, 800), "#808080"), [300, 300, 500, 500]
    phrases = [GroundedPhrase("a phrase", i, i + 1, [box], [1]) for i in range(4)]
    tags_only = draw_grounding(image, "abcd", phrases)
    sizes = [near(tags_only, colour)[:800].sum() for colour in PALETTE[:4]]
    assert min(sizes) > 0.6 * max(sizes)


def test_boxes_too_small_to_be_inset_and_boxes_far_apart_stay_where_they_are():
    image = Image.new("RGB", (800, 400), "#808080")
    tiny = [grounded("A dog", [400, 200, 412, 212]), grounded("a ball", [400, 200, 412, 212])]
    picture = draw_boxes(image, tiny, phrase_colours(tiny), 1, tagged=False)
    box = np.zeros((400, 800), bool)
    box[195:217, 395:417] = True  # of the boxes and their lines
    assert not near(picture, PALETTE[1])[~box].any() and near(picture, PALETTE[1])[box].any()


def test_a_picture_may_be_smaller_than_the_image():
    image = Image.new("RGB", (1600, 800), "#808080")
    picture = draw_grounding(image, CAPTION, [grounded("A dog", [800, 100, 1200, 700])], scale=0.25)
    assert picture.width == 400
    assert near(picture, PALETTE[0])[100, 195:205].any()


def test_tags_can_be_left_out():
    image, phrases = Image.new("RGB", (800, 400), "#808080"), [grounded("A dog", [300, 100, 500, 300])]
    blue = [near(draw_boxes(image, phrases, phrase_colours(phrases), 1, tagged=t), PALETTE[0]) for t in (True, False)]
    assert blue[0].sum() > blue[1].sum() + 200  # a tag is a patch of the colour


@pytest.mark.parametrize("caption", ["a long caption that goes on " * 8, "with spaces  \n between"])
def test_a_caption_that_is_too_long_for_one_line_is_wrapped(caption):
    line = caption_strip("a", [], 400).height
    strip = caption_strip(caption, [(2, 6, PALETTE[0]), (7, len(caption), PALETTE[1])], 400)
    assert strip.width == 400 and near(strip, PALETTE[1]).any()
    assert (strip.height > 3 * line) == (len(caption) > 100)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".WEBP"])
def test_a_picture_is_written_in_the_format_of_its_ending_and_leaves_nothing_beside(tmp_path, ending):
    path = tmp_path / "new folder" / f"picture{ending}"
    save_picture(path, Image.new("RGB", (8, 4), PALETTE[0]))
    with Image.open(path) as picture:
        assert picture.size == (8, 4) and picture.format in ("PNG", "JPEG", "WEBP")
    assert list(path.parent.iterdir()) == [path]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError):
        save_picture(path, Image.new("F", (8, 4)))  # PNG has no floating-point pixels
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ImageError, match=r"Cannot save a picture as 'picture\.txt'"):
        save_picture(tmp_path / "picture.txt", Image.new("RGB", (8, 4)))


@pytest.mark.parametrize(("name", "most"), [("a.webp", 16_383), ("a.jpg", 65_500), ("a.JPEG", 65_500)])
def test_a_picture_that_is_too_large_for_its_format_is_an_error_that_names_the_limit(
    tmp_path: Path, name: str, most: int
) -> None:
    """A long caption makes a high picture."""
    save_picture(tmp_path / name, Image.new("RGB", (2, most)))
    with pytest.raises(ImageError, match=rf"'{name}' would have 2 x {most + 1} pixels, and .* at most {most} a side"):
        save_picture(tmp_path / name, Image.new("RGB", (2, most + 1)))
    save_picture(tmp_path / "a.png", Image.new("RGB", (2, most + 1)))


def test_the_calls_that_draw_phrases_are_linear_in_their_number():
    """With a call for each two tags, a picture of 4,000 phrases took a quarter of an hour."""
    rng = np.random.default_rng(0)

    def calls(count: int) -> int:
        corners = np.sort(rng.random((count, 1, 2, 2)) * 300, axis=2).reshape(count, 1, 4)
        phrases = [GroundedPhrase("dog", 4 * i, 4 * i + 3, box, np.ones(1)) for i, box in enumerate(corners)]
        counted = 0

        def count_one(*_: object) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count_one)
        try:
            draw_boxes(Image.new("RGB", (300, 300)), phrases, phrase_colours(phrases), 1)
        finally:
            sys.setprofile(None)
        return counted

    calls(1)  # what is done once
    first, second, third = (calls(count) for count in (20, 120, 220))
    assert third - second == pytest.approx(second - first, rel=0.1)


def test_gold_boxes_are_dashed():
    image, gold = Image.new("RGB", (800, 400), "#808080"), Phrase("A dog", 0, 5, boxes=np.array([[100, 100, 700, 300]]))
    picture = draw_grounding(image, CAPTION, [grounded("A dog")], gold=[gold])
    along_the_top = near(picture, PALETTE[0])[100, 100:700]
    assert 0.3 < along_the_top.mean() < 0.8


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=120).filter(lambda text: any(c.isalnum() for c in text)), st.data())
def test_any_caption_any_spans_any_boxes(caption, data):
    spans = data.draw(st.lists(st.tuples(st.integers(0, len(caption) - 1), st.integers(1, 9)), max_size=12))
    edges = st.floats(-20, 90)
    phrases = []
    for start, length in spans:
        end = min(start + length, len(caption))
        boxes = np.array(data.draw(st.lists(st.tuples(edges, edges, edges, edges), max_size=2))).reshape(-1, 4)
        boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
        phrases.append(GroundedPhrase(caption[start:end], start, end, boxes, np.zeros(len(boxes))))
    picture = draw_grounding(Image.new("RGB", (60, 40)), caption, phrases, top=2)
    assert picture.mode == "RGB"
    assert picture.width == 800


@pytest.mark.parametrize("colour", PALETTE)
def test_lettering_can_be_read_on_every_colour(colour):
    def luminance(shade: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(shade))]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    light, dark = sorted([luminance(colour), luminance(ink(colour))], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # what WCAG asks of small text
