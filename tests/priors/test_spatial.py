"""Places among like boxes: which words count, and which boxes they are true of."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.priors.spatial import SPATIAL_WORDS, box_relations, phrase_places


@pytest.mark.parametrize(
    ("phrase", "places"),
    [
        ("the left dog", {"left"}),
        ("the man on the right", {"right"}),
        ("the Right dog", {"right"}),
        ("a bright laptop", set()),
        ("an upright piano", set()),
        ("the stop sign", set()),
        ("a topless man", set()),
        ("the top left window", {"top", "left"}),
        ("the centre door", {"center"}),
        ("the leftmost door", {"left"}),
        ("the bottom drawer in the middle", {"bottom", "middle"}),
        ("a pink top", set()),  # what the phrase is about is no place
        ("the left", set()),
        ("a dog", set()),
    ],
)
def test_only_whole_words_are_places(phrase: str, places: set[str]) -> None:
    found = phrase_places(phrase)
    assert {word for word, said in zip(SPATIAL_WORDS, found, strict=True) if said} == places


def test_relations_of_boxes_among_their_like() -> None:
    boxes = np.array([[0, 0, 2, 2], [4, 8, 6, 10], [8, 4, 10, 6], [3, 3, 4, 4], [0, 0, 9, 9]], np.float32)
    relations = box_relations(boxes, [7, 7, 7, 2, -1])
    held = [{word for word, is_so in zip(SPATIAL_WORDS, row, strict=True) if is_so} for row in relations]
    assert held == [
        {"left", "top"},
        {"center", "bottom"},
        {"right", "middle"},
        set(SPATIAL_WORDS),  # alone of its kind
        set(SPATIAL_WORDS),  # of no kind
    ]


def test_boxes_in_one_place_are_all_of_it() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 4, 2, 6]], np.float32)
    left, right, center = box_relations(boxes, [0, 0])[:, :3].T
    assert left.all() and right.all() and not center.any()
    assert box_relations(np.zeros((0, 4), np.float32), []).shape == (0, 6)
