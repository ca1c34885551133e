"""Distillation beside a loop, and where the teacher has no scores."""

from __future__ import annotations

import math

import pytest
import torch

from unboxed.objectives.distill import distillation

EDGES_CR4 = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 0.5, 0.5], [0.8, 0.8, 1, 1], [0, 0, 0, 0]]]).float()
REGION_MASK_CR = torch.tensor([[True, True, True, True, False]])


def _softmax(logits: list[float]) -> list[float]:
    odds = [math.exp(x) for x in logits]
    return [x / sum(odds) for x in odds]


def _cross_entropy(teacher: list[float], student: list[float]) -> float:
    return -sum(t * math.log(s) for t, s in zip(_softmax(teacher), _softmax(student), strict=True))


def test_the_teacher_is_a_softmax_over_real_regions_and_phrases_it_does_not_know_do_not_count() -> None:
    logit_CPR = torch.tensor([[[0.1, 0.7, 0.2, -0.4, 9.0], [1.0, 0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.1, 0.0, 0.0]]])
    prior_CPR = torch.tensor([[[0.9, 0.2, 0.0, 0.1, 5.0], [0.0, 0.0, 0.0, 0.0, 7.0], [0.3, 0.3, 0.3, 0.3, 0.3]]])
    mask_CP = torch.tensor([[True, True, False]])
    loss = distillation(logit_CPR, prior_CPR, mask_CP, REGION_MASK_CR, EDGES_CR4, temperature=0.5)
    expected = _cross_entropy([0.9 / 0.5, 0.2 / 0.5, 0.0, 0.1 / 0.5], [0.1, 0.7, 0.2, -0.4])
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_only_the_neighbours_of_the_students_choice_are_compared() -> None:
    logit_CPR = torch.tensor([[[0.1, 0.7, 0.2, -0.4, 9.0]]])  # its choice among real regions is the second
    prior_CPR = torch.tensor([[[0.9, 0.2, 0.0, 0.1, 5.0]]])
    loss = distillation(
        logit_CPR, prior_CPR, torch.ones(1, 1, dtype=torch.bool), REGION_MASK_CR, EDGES_CR4, temperature=2, neighbours=2
    )
    assert float(loss) == pytest.approx(_cross_entropy([0.9 / 2, 0.2 / 2], [0.1, 0.7]), rel=1e-5)


def test_of_equal_overlaps_the_first_regions_are_neighbours() -> None:
    apart_CR4 = torch.tensor([[[float(i), 0, i + 1, 1] for i in range(40)]])  # none overlaps another
    logit_CPR, mask_CR = torch.zeros(1, 1, 40), torch.ones(1, 40, dtype=torch.bool)
    logit_CPR[0, 0, 30] = 1
    prior_CPR = torch.rand(1, 1, 40) + 0.1
    loss = distillation(
        logit_CPR, prior_CPR, torch.ones(1, 1, dtype=torch.bool), mask_CR, apart_CR4, temperature=1, neighbours=3
    )
    first = [30, 0, 1]
    expected = _cross_entropy(prior_CPR[0, 0, first].tolist(), logit_CPR[0, 0, first].tolist())
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_students_choice_is_its_own_neighbour_even_without_area() -> None:
    edges_CR4 = EDGES_CR4.clone()
    edges_CR4[0, 3] = torch.tensor([0.8, 0.8, 0.8, 1])
    logit_CPR, prior_CPR = torch.tensor([[[0.1, 0.2, 0.3, 0.7, 9.0]]]), torch.tensor([[[0.9, 0.2, 0.0, 0.1, 5.0]]])
    real_CP = torch.ones(1, 1, dtype=torch.bool)
    loss = distillation(logit_CPR, prior_CPR, real_CP, REGION_MASK_CR, edges_CR4, temperature=2, neighbours=2)
    assert float(loss) == pytest.approx(_cross_entropy([0.1 / 2, 0.9 / 2], [0.7, 0.1]), rel=1e-5)


def test_a_constant_added_to_the_teacher_changes_nothing() -> None:
    logit_CPR, prior_CPR = torch.randn(1, 2, 5), torch.rand(1, 2, 5) + 0.1
    mask_CP = torch.ones(1, 2, dtype=torch.bool)
    first, second = (
        distillation(logit_CPR, prior, mask_CP, REGION_MASK_CR, EDGES_CR4, temperature=1.0)
        for prior in (prior_CPR, prior_CPR + 0.4)
    )
    torch.testing.assert_close(first, second)


def test_nothing_known_is_a_zero_loss_with_a_gradient() -> None:
    logit_CPR = torch.randn(1, 2, 5, requires_grad=True)
    loss = distillation(
        logit_CPR, torch.zeros(1, 2, 5), torch.ones(1, 2, dtype=torch.bool), REGION_MASK_CR, EDGES_CR4, temperature=1
    )
    loss.backward()
    assert loss.item() == 0
    assert logit_CPR.grad is not None
    assert torch.isfinite(logit_CPR.grad).all()
