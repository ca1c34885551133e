"""The loss of corrected boxes beside a plain loop."""

from __future__ import annotations

import pytest
import torch

from unboxed.objectives.corrections import right_regions


def test_the_attention_on_right_regions_as_in_a_loop() -> None:
    random = torch.Generator().manual_seed(0)
    logit_CPR = torch.randn(3, 2, 5, generator=random, dtype=torch.double)
    logit_CPR[1, :, 3:] = float("-inf")  # an image with three regions
    logit_CPR.requires_grad_()
    right_CPR = torch.rand(3, 2, 5, generator=random) < 0.4
    right_CPR[1, :, 3:] = False
    right_CPR[2, 0] = False  # nobody corrected it
    losses = [
        -logit_CPR[c, p].softmax(dim=0)[right_CPR[c, p]].sum().log()
        for c in range(3)
        for p in range(2)
        if right_CPR[c, p].any()
    ]
    expected, found = torch.stack(losses).mean(), right_regions(logit_CPR, right_CPR)
    torch.testing.assert_close(found, expected)
    (slow,) = torch.autograd.grad(expected, logit_CPR, retain_graph=True)
    (fast,) = torch.autograd.grad(found, logit_CPR)
    torch.testing.assert_close(fast, slow)


def test_without_a_corrected_phrase_the_loss_and_its_gradient_are_0() -> None:
    logit_CPR = torch.tensor([[[1.0, 2.0, float("-inf")]]], requires_grad=True)
    loss = right_regions(logit_CPR, torch.zeros(1, 1, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and logit_CPR.grad is not None
    assert logit_CPR.grad.abs().max() == pytest.approx(0, abs=1e-6)
