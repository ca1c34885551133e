"""N-pair of words and images beside its definition as loops."""

from __future__ import annotations

import math

import pytest
import torch

from unboxed.objectives.word_npair import word_npair


def test_both_directions_equal_a_loop() -> None:
    rng = torch.Generator().manual_seed(2)
    evidence_BU = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    said_BU = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    losses = []
    for b in range(3):
        for u in range(4):
            if said_BU[b, u]:
                own = math.exp(evidence_BU[b, u])
                images = sum(math.exp(evidence_BU[o, u]) for o in range(3) if not said_BU[o, u])
                words = sum(math.exp(evidence_BU[b, o]) for o in range(4) if not said_BU[b, o])
                losses.append(-math.log(own / (own + images)) - math.log(own / (own + words)))
    assert float(word_npair(evidence_BU, said_BU)) == pytest.approx(sum(losses) / len(losses))


def test_with_a_word_for_each_image_it_is_the_n_pair_loss() -> None:
    from unboxed.objectives.npair import npair_loss

    evidence_BU = torch.randn(5, 5, dtype=torch.float64)
    expected = npair_loss(evidence_BU, torch.arange(5))
    torch.testing.assert_close(word_npair(evidence_BU, torch.eye(5, dtype=torch.bool)), expected)


def test_words_that_all_images_share_contrast_nothing_and_have_a_gradient() -> None:
    evidence_BU = torch.randn(2, 3, requires_grad=True)
    loss = word_npair(evidence_BU, torch.ones(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert evidence_BU.grad is not None
    assert torch.isfinite(evidence_BU.grad).all()
