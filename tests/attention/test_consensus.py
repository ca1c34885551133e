"""Phrases with the same head noun in other captions of an image share the probabilities of their regions."""

from __future__ import annotations

import pytest
import torch

from unboxed.attention.consensus import agreed


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_probabilities_equal_the_loop(weight: float) -> None:
    rng = torch.Generator().manual_seed(0)
    probability_NR = torch.rand(12, 5, generator=rng).softmax(dim=1)
    head_N = torch.randint(3, (12,), generator=rng)
    caption_N = torch.randint(4, (12,), generator=rng)

    found_NR = agreed(probability_NR, head_N, caption_N, weight)

    for n in range(12):
        own, total = probability_NR[n].clone(), 1.0
        for other in range(12):
            if head_N[other] == head_N[n] and caption_N[other] != caption_N[n]:
                own += weight * probability_NR[other]
                total += weight
        torch.testing.assert_close(found_NR[n], own / total)
    torch.testing.assert_close(found_NR.sum(dim=1), torch.ones(12))


def test_two_phrases_of_one_caption_stay_apart() -> None:
    probability_NR = torch.eye(2)
    torch.testing.assert_close(
        agreed(probability_NR, torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long), 1), probability_NR
    )


def test_no_phrases_have_no_consensus() -> None:
    none_N = torch.zeros(0, dtype=torch.long)
    assert agreed(torch.zeros(0, 3), none_N, none_N, 1).shape == (0, 3)


def test_captions_without_phrases_keep_the_nouns_apart() -> None:
    probability_NR = torch.tensor([[0.8, 0.2], [0.2, 0.8], [0.6, 0.4]])
    found = agreed(probability_NR, torch.tensor([0, 1, 0]), torch.tensor([0, 1, 5]), 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.7, 0.3], [0.2, 0.8], [0.7, 0.3]]))
