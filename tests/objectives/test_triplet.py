"""The triplet loss beside a loop over pairs and their negatives."""

from __future__ import annotations

import pytest
import torch

from unboxed.objectives.triplet import TripletNegatives, triplet_loss

IMAGE_OF_C = torch.tensor([2, 0, 0, 1, 2])


def _scores(images: int = 3, captions: int = 5) -> torch.Tensor:
    return torch.randn(images, captions, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_the_hinge_equals_a_loop(negatives: TripletNegatives) -> None:
    score_BC = _scores()
    total = 0.0
    for c, b in enumerate(IMAGE_OF_C.tolist()):
        paired = float(score_BC[b, c])
        images = [max(0.0, 0.2 + float(score_BC[other, c]) - paired) for other in range(3) if other != b]
        captions = [max(0.0, 0.2 + float(score_BC[b, d]) - paired) for d in range(5) if IMAGE_OF_C[d] != b]
        total += sum(images) + sum(captions) if negatives == "all" else max(images) + max(captions)
    assert float(triplet_loss(score_BC, IMAGE_OF_C, 0.2, negatives)) == pytest.approx(total)


def test_the_hinge_on_constant_scores_is_twice_the_pairs_times_the_margin() -> None:
    score_BC = torch.full((128, 128), 0.37)
    itself = torch.arange(128)
    assert float(triplet_loss(score_BC, itself)) == pytest.approx(2 * 128 * 0.2)
    assert float(triplet_loss(score_BC, itself, negatives="all")) == pytest.approx(2 * 128 * 127 * 0.2, rel=1e-5)


def test_another_caption_of_the_same_image_is_never_a_negative() -> None:
    score_BC = torch.tensor([[0.1, 9.0, 0.0], [0.0, 0.0, 5.0]])
    assert float(triplet_loss(score_BC, torch.tensor([0, 0, 1]))) == pytest.approx(0.1 + 0.1)


def test_an_unknown_choice_of_negatives_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'semi-hard'"):
        triplet_loss(_scores(), IMAGE_OF_C, negatives="semi-hard")  # type: ignore[arg-type]


def test_one_image_alone_is_a_zero_that_still_has_a_gradient() -> None:
    score_BC = torch.tensor([[0.3, 0.1]], requires_grad=True)
    value = triplet_loss(score_BC, torch.tensor([0, 0]))
    value.backward()
    assert value.item() == 0.0
    assert score_BC.grad is not None and score_BC.grad.tolist() == [[0.0, 0.0]]
