"""Contrasts of whole captions beside loops."""

from __future__ import annotations

import math

import pytest
import torch

from unboxed.objectives.infonce import caption_image_infonce, image_caption_infonce
from unboxed.objectives.score_difference import most_alike_image, score_difference

SCORE_BC = torch.tensor([[2.0, 0.1, 1.0], [0.3, 1.5, 0.2]])
IMAGE_OF_C = torch.tensor([0, 1, 0])


def test_a_caption_picks_its_image() -> None:
    expected = 0.0
    for c, own in enumerate(IMAGE_OF_C.tolist()):
        odds = [math.exp(SCORE_BC[b, c]) for b in range(2)]
        expected -= math.log(odds[own] / sum(odds)) / 3
    assert float(caption_image_infonce(SCORE_BC, IMAGE_OF_C)) == pytest.approx(expected)


def test_an_image_picks_each_of_its_captions_and_another_of_its_own_is_no_negative() -> None:
    expected = 0.0
    for c, own in enumerate(IMAGE_OF_C.tolist()):
        others = [math.exp(SCORE_BC[own, d]) for d in range(3) if IMAGE_OF_C[d] != own]
        expected -= math.log(math.exp(SCORE_BC[own, c]) / (math.exp(SCORE_BC[own, c]) + sum(others))) / 3
    assert float(image_caption_infonce(SCORE_BC, IMAGE_OF_C)) == pytest.approx(expected)


def test_the_hard_negative_is_the_image_whose_caption_shares_rare_words() -> None:
    # captions 0 and 2 share the rare word 9, captions 0 and 1 only the frequent word 5
    tokens_CW = torch.tensor([[5, 9, 3], [5, 6, 3], [9, 7, 5], [5, 8, 0]])
    content_CW = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    chosen = most_alike_image(tokens_CW, content_CW, torch.tensor([0, 1, 2, 0]))
    assert int(chosen[0]) == 2
    assert all(int(chosen[c]) != own for c, own in enumerate([0, 1, 2, 0]))


def test_the_difference_of_scores_by_hand() -> None:
    loss = score_difference(SCORE_BC, IMAGE_OF_C, torch.tensor([1, 0, 1]))
    assert float(loss) == pytest.approx(((0.3 - 2.0) + (0.1 - 1.5) + (0.2 - 1.0)) / 3)
