"""The set of boxes of a plural phrase, against rankings made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unboxed.inference.grounder import Grounder
from unboxed.inference.phrase_boxes import PhraseBoxes
from unboxed.inference.phrase_sets import MOST, phrase_set
from unboxed.inference.results import GroundedPhrase
from unboxed.types import Array


def _boxes(*boxes: list[int]) -> Array:
    return np.array(boxes, np.float32)


LEFT, MIDDLE, RIGHT = [0, 0, 10, 20], [20, 0, 30, 20], [40, 0, 50, 20]


def test_a_single_thing_has_the_best_box_and_nothing_has_none() -> None:
    boxes, scores = _boxes(LEFT, RIGHT), np.array([0.9, 0.9])
    assert phrase_set(boxes, scores, 1) == (0,)
    assert phrase_set(boxes[:1], scores[:1], 2) == (0,)
    assert phrase_set(boxes[:0], scores[:0], 2) == phrase_set(boxes[:0], scores[:0], None) == ()


def test_a_number_is_obeyed_and_is_a_most_not_a_least() -> None:
    boxes, scores = _boxes(LEFT, MIDDLE, RIGHT), np.array([0.9, 0.8, 0.7])
    assert [phrase_set(boxes, scores, number) for number in (2, 3, 5, None)] == [
        (0, 1),
        (0, 1, 2),
        (0, 1, 2),
        (0, 1, 2),
    ]


def test_without_a_number_boxes_of_low_scores_are_left_out() -> None:
    boxes, scores = _boxes(LEFT, MIDDLE, RIGHT), np.array([1, 0.29, 0.09])
    assert phrase_set(boxes, scores, None) == (0,)
    assert phrase_set(boxes, scores, 3) == (0, 1), "a stated number lets weaker boxes in"
    row = np.array([[20 * i, 0, 20 * i + 10, 10] for i in range(50)], np.float32)
    scores = np.repeat([1.0, 0.1], [20, 30])
    assert len(phrase_set(row, scores, None)) == MOST and len(phrase_set(row, scores, 12)) == 12


@pytest.mark.parametrize("best", [0.02, 0.9])
def test_a_flat_ranking_of_many_boxes_does_not_say_how_many_there_are(best: float) -> None:
    row = np.array([[20 * i, 0, 20 * i + 10, 10] for i in range(40)], np.float32)
    flat, steep = np.linspace(best, 0.5 * best, 40), np.geomspace(best, best / 1000, 40)
    assert phrase_set(row, flat, None) == (0,) and len(phrase_set(row, steep, None)) > 1
    assert len(phrase_set(row, flat, 3)) == 3, "a stated number says it"
    assert len(phrase_set(row[:5], flat[:5], None)) == 5, "of few boxes, all may be meant"


@pytest.mark.parametrize(("confidence", "boxes"), [(0.24, 1), (0.26, 3), (None, 3)])
def test_a_phrase_that_is_hardly_in_the_image_has_one_box(confidence: float | None, boxes: int) -> None:
    boxes_of_phrase = PhraseBoxes((_boxes(LEFT, MIDDLE, RIGHT), np.array([0.9, 0.8, 0.7])))
    assert len(boxes_of_phrase.set_ranks("boats", confidence)) == boxes


@pytest.mark.parametrize("again", [[1, 0, 11, 20], [0, 0, 10, 6], [0, 0, 14, 30]], ids=["same", "part", "whole"])
def test_the_same_thing_is_not_chosen_twice(again: list[int]) -> None:
    assert phrase_set(_boxes(LEFT, again, RIGHT), np.array([0.9, 0.8, 0.7]), 2) == (0, 2)


def test_a_box_of_the_whole_group_gives_way_to_its_members() -> None:
    group, boxes = [0, 0, 52, 22], (LEFT, MIDDLE)
    assert phrase_set(_boxes(group, *boxes), np.array([0.9, 0.8, 0.7]), 2) == (1, 2)
    assert phrase_set(_boxes(group, *boxes), np.array([0.9, 0.3, 0.3]), 2) == (0,), "its members are weak"
    assert phrase_set(_boxes(group, LEFT), np.array([0.9, 0.8]), 2) == (0,), "it has one member"


def test_regions_of_the_class_of_the_best_come_first() -> None:
    boxes, scores = _boxes(LEFT, MIDDLE, RIGHT), np.array([0.9, 0.8, 0.7])
    classes = np.array([[1, 0], [0, 1], [0.9, 0.1]], np.float32)
    assert phrase_set(boxes, scores, 2, classes) == (0, 2)
    assert phrase_set(boxes, scores, 2, np.zeros((3, 0), np.float32)) == (0, 1)
    nothing = np.zeros((3, 2), np.float32)  # no class has any probability: nothing is known of their likeness
    assert phrase_set(boxes, scores, 2, nothing) == (0, 1)


def test_scores_of_zero_still_give_the_best_box() -> None:
    assert phrase_set(_boxes(LEFT, RIGHT), np.zeros(2), 2) == (0,)


def test_a_grounder_answers_plurals_with_sets(tiny_run: object, tiny_dataset: object) -> None:
    grounder = Grounder.load(tiny_run)  # type: ignore[arg-type]
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    one, two = grounder.ground(image, "a box and two boxes").phrases
    assert (one.text, two.text) == ("a box", "two boxes")
    assert one.set_ranks == (0,) and len(two.set_ranks) <= 2
    np.testing.assert_array_equal(two.set_boxes, two.boxes[list(two.set_ranks)])


def test_a_set_may_have_ranks_beyond_the_best_boxes() -> None:
    phrase = GroundedPhrase("two men", 0, 7, _boxes(LEFT, MIDDLE, RIGHT), [3, 2, 1], set_ranks=(0, 2))
    assert phrase.set_boxes.tolist() == [LEFT, RIGHT]
    assert [phrase.chosen(top) for top in (1, 2, 9)] == [[0, 2], [0, 1, 2], [0, 1, 2]]
    assert replace(phrase, set_ranks=(1, 2)).chosen() == [1, 2], "the best box shows the group"
    assert replace(phrase, set_ranks=(1, 2)).with_set(1) == [0, 1, 2]
    assert GroundedPhrase("a man", 0, 5, np.zeros((0, 4)), []).set_boxes.shape == (0, 4)
