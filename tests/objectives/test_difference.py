"""The score difference of SPRM by hand, and its hard negatives."""

from __future__ import annotations

import pytest
import torch

from unboxed.objectives.difference import hardest_image, score_difference

SCORE_BC = torch.tensor([[2.0, 0.1, 1.0], [0.3, 1.5, 0.2]])
IMAGE_OF_C = torch.tensor([0, 1, 0])


def test_the_hard_negative_is_the_image_whose_caption_shares_rare_words() -> None:
    # captions 0 and 2 share the rare word 9, captions 0 and 1 only the frequent word 5
    tokens_CW = torch.tensor([[5, 9, 3], [5, 6, 3], [9, 7, 5], [5, 8, 0]])
    content_CW = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    chosen = hardest_image(tokens_CW, content_CW, torch.tensor([0, 1, 2, 0]))
    assert int(chosen[0]) == 2
    assert all(int(chosen[c]) != paired for c, paired in enumerate([0, 1, 2, 0]))


def test_the_difference_of_scores_by_hand() -> None:
    loss = score_difference(SCORE_BC, IMAGE_OF_C, torch.tensor([1, 0, 1]))
    assert float(loss) == pytest.approx(((0.3 - 2.0) + (0.1 - 1.5) + (0.2 - 1.0)) / 3)
