"""The pictures show what they are given: colours where boxes are, heat where weight is, any caption without trouble."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unboxed.inference.results import GroundedPhrase
from unboxed.types import Phrase
from unboxed.visualization.draw import PALETTE, draw_grounding, draw_heat, heat_colours, heat_map, ink

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


def test_heat_lies_where_the_weight_is():
    image = Image.new("RGB", (400, 200), "#808080")
    hot = np.asarray(
        draw_heat(image, np.array([[0, 0, 200, 200], [200, 0, 400, 200]]), np.array([0.1, 0.9])), dtype=int
    )
    assert hot[200, 600].sum() > hot[200, 200].sum() + 100


def test_the_heat_map_adds_up_the_weight_over_each_point():
    boxes, weights = np.array([[0, 0, 2, 2], [1, 0, 3, 1], [0, 1, 3, 2]], dtype=np.float32), np.array([1, 2, 3])
    naive = np.zeros((2, 3))
    for (x1, y1, x2, y2), weight in zip(boxes.astype(int), weights, strict=True):
        naive[y1:y2, x1:x2] += weight
    np.testing.assert_allclose(heat_map(boxes, weights, (3, 2), (3, 2)), naive / naive.max())


def test_no_weight_is_no_heat():
    assert heat_map(np.zeros((0, 4), np.float32), np.zeros(0), (10, 10), (4, 4)).tolist() == [[0] * 4] * 4


def test_more_heat_is_always_lighter():
    lightness = heat_colours(np.linspace(0, 1, 50)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


@pytest.mark.parametrize("colour", PALETTE)
def test_lettering_can_be_read_on_every_colour(colour):
    def luminance(shade: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(shade))]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    light, dark = sorted([luminance(colour), luminance(ink(colour))], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # what WCAG asks of small text
