"""Places: which words of a phrase count, and of which boxes a place holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unboxed.priors.scoring import ELSEWHERE, REQUIRED, SPATIAL_WORDS, box_places, phrase_places, scores, text_places
from unboxed.text.phrases import phrase_words


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
        ("a pink top", set()),  # the head noun is no place
        ("the left", set()),
        ("a dog", set()),
    ],
)
def test_whole_words_that_are_not_the_head_noun_are_places(phrase: str, places: set[str]) -> None:
    found = phrase_places(phrase_words(phrase))
    assert {word for word, holds in zip(SPATIAL_WORDS, found, strict=True) if holds} == places


def test_places_of_boxes_among_others_of_their_label() -> None:
    boxes = np.array([[0, 0, 2, 2], [4, 8, 6, 10], [8, 4, 10, 6], [3, 3, 4, 4], [0, 0, 9, 9]], np.float32)
    places = box_places(boxes, [7, 7, 7, 2, -1])
    held = [{word for word, holds in zip(SPATIAL_WORDS, row, strict=True) if holds} for row in places]
    assert held == [
        {"left", "top"},
        {"center", "bottom"},
        {"right", "middle"},
        set(SPATIAL_WORDS),  # alone in its group
        set(SPATIAL_WORDS),  # in no group
    ]


def test_boxes_in_one_position_share_its_place() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 4, 2, 6]], np.float32)
    left, right, center = box_places(boxes, [0, 0])[:, :3].T
    assert left.all() and right.all() and not center.any()
    assert box_places(np.zeros((0, 4), np.float32), []).shape == (0, 6)


@pytest.mark.parametrize("placed", [False, True])
def test_of_several_nouns_the_one_counts_that_a_region_fits_best(placed: bool) -> None:
    generator = np.random.default_rng(5)
    nouns, classes = 3, 4
    affinity_CPNE = np.zeros((2, 5, nouns, classes + 1 + 6))
    affinity_CPNE[..., :classes] = generator.uniform(-1, 1, (2, 5, nouns, classes))
    class_score_BRE = np.zeros((3, 6, classes + 1 + 6))
    class_score_BRE[..., :classes] = np.eye(classes)[generator.integers(classes, size=(3, 6))]
    if placed:  # as SPRM's code has it: regions elsewhere are excluded before the noun is chosen
        affinity_CPNE[..., classes + 1 :] = REQUIRED * generator.integers(2, size=(2, 5, 1, 6))
        class_score_BRE[..., classes + 1 :] = generator.integers(2, size=(3, 6, 6))
    affinity_CPE = affinity_CPNE.reshape(2, 5, -1)
    found = scores(affinity_CPE[None], class_score_BRE[:, None])
    for b in range(3):
        for c in range(2):
            for p in range(5):
                of_noun_NR = [scores(affinity_CPNE[c, p, n][None], class_score_BRE[b])[0] for n in range(nouns)]
                best_R = max(of_noun_NR, key=lambda score_R: float(score_R.max()))
                np.testing.assert_allclose(found[b, c, p], best_R, rtol=0, atol=1e-12)
    tensors = scores(torch.from_numpy(affinity_CPE)[None], torch.from_numpy(class_score_BRE)[:, None])
    np.testing.assert_allclose(tensors.numpy(), found, rtol=0, atol=1e-12)


def test_released_places_are_found_anywhere_in_the_text_and_exclude_regions_elsewhere() -> None:
    assert text_places("a bright laptop").tolist() == [0, 1, 0, 1, 0, 0]
    assert text_places("Left hand").tolist() == [1] * 6
    affinity_PE = np.zeros((2, 2 + 1 + 6))
    affinity_PE[:, :2] = [0.5, -0.25]  # plain cosines of two classes
    affinity_PE[0, 3:] = REQUIRED * text_places("left")
    affinity_PE[1, 3:] = text_places("left")
    class_score_RE = np.zeros((3, 2 + 1 + 6))
    class_score_RE[[0, 1, 2], [0, 0, 1]] = 1
    class_score_RE[:, 3] = [0, 0, 1]  # only the region of the second class is left
    expected_PR = [[ELSEWHERE, ELSEWHERE, -0.25], [0.5, 0.5, -0.25]]  # preferred, a place is nothing without a class
    for kind in (np.asarray, torch.from_numpy):
        np.testing.assert_allclose(scores(kind(affinity_PE), kind(class_score_RE)), expected_PR)
