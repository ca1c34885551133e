"""The contrastive objectives beside loops over words and captions."""

from __future__ import annotations

import math

import pytest
import torch

from unboxed.objectives.infonce import negative_word_infonce, word_image_infonce


def test_word_image_contrast_equals_a_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    evidence_BCW = torch.randn(3, 4, 5, generator=rng, dtype=torch.float64)
    mask_CW = torch.tensor([[1, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    image_of_C = torch.tensor([0, 2, 1, 0])
    captions = []
    for c in range(4):
        losses = []
        for w in range(5):
            if mask_CW[c, w]:
                odds = [math.exp(evidence_BCW[b, c, w]) for b in range(3)]
                losses.append(-math.log(odds[image_of_C[c]] / sum(odds)))
        if losses:
            captions.append(sum(losses) / len(losses))
    expected = sum(captions) / len(captions)
    assert float(word_image_infonce(evidence_BCW, mask_CW, image_of_C)) == pytest.approx(expected)


def test_word_image_contrast_is_ln_b_when_all_images_look_alike() -> None:
    evidence_BCW = torch.full((7, 3, 2), 0.3)
    loss = word_image_infonce(evidence_BCW, torch.ones(3, 2, dtype=torch.bool), torch.tensor([0, 1, 2]))
    assert loss.item() == pytest.approx(math.log(7))


def test_negative_words_equal_a_loop() -> None:
    rng = torch.Generator().manual_seed(1)
    evidence_CN = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    mask_CN = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
    losses = []
    for c in range(2):  # the third caption has no substitute and does not count
        odds = [math.exp(evidence_CN[c, n]) for n in range(4) if mask_CN[c, n]]
        losses.append(-math.log(odds[0] / sum(odds)))
    assert float(negative_word_infonce(evidence_CN, mask_CN)) == pytest.approx(sum(losses) / 2)


def test_nothing_to_contrast_is_a_zero_that_still_has_a_gradient() -> None:
    evidence = torch.randn(2, 2, 3, requires_grad=True)
    loss = word_image_infonce(evidence, torch.zeros(2, 3, dtype=torch.bool), torch.tensor([0, 1]))
    loss = loss + negative_word_infonce(evidence[0], torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert evidence.grad is not None
    assert torch.isfinite(evidence.grad).all()
