"""Each contrastive objective beside a loop over its definition, and where there is nothing to contrast."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.objectives.contrastive import (
    caption_image_infonce,
    contrast,
    image_caption_infonce,
    intra_caption_contrast,
    negative_word_infonce,
    npair_loss,
    word_image_infonce,
    word_npair,
)

IMAGE_OF_C = torch.tensor([2, 0, 0, 1, 2])


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _loss(positive: float, negatives: list[float]) -> float:
    """`-log(e^p / (e^p + Σ e^n))`."""
    return -math.log(math.exp(positive) / (math.exp(positive) + sum(map(math.exp, negatives))))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**16), st.integers(0, 1))
def test_contrast_equals_a_loop_over_the_negatives_of_each_score(rows: int, columns: int, seed: int, dim: int) -> None:
    score_XY = _random(rows, columns, seed=seed)
    positive_XY = _random(rows, columns, seed=seed + 1) > 0
    loss_XY = contrast(score_XY, positive_XY, dim)
    for x in range(rows):
        for y in range(columns):
            line = [(z, y) for z in range(rows)] if dim == 0 else [(x, z) for z in range(columns)]
            negatives = [float(score_XY[place]) for place in line if not positive_XY[place]]
            assert float(loss_XY[x, y]) == pytest.approx(_loss(float(score_XY[x, y]), negatives))
    pairs = positive_XY.nonzero(as_tuple=True)
    torch.testing.assert_close(contrast(score_XY, positive_XY, dim, pairs), loss_XY[pairs])


def test_each_word_picks_its_image() -> None:
    matched_BCW = _random(3, 4, 5)
    mask_CW = torch.tensor([[1, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    image_of_C = torch.tensor([0, 2, 1, 0])
    captions = []
    for c in (0, 1, 3):  # the caption without words does not count
        losses = []
        for w in mask_CW[c].nonzero()[:, 0].tolist():
            scores = matched_BCW[:, c, w].tolist()
            losses.append(_loss(scores.pop(int(image_of_C[c])), scores))
        captions.append(_mean(losses))
    assert float(word_image_infonce(matched_BCW, mask_CW, image_of_C)) == pytest.approx(_mean(captions))


def test_the_true_word_beats_its_substitutes() -> None:
    matched_CN = _random(3, 4, seed=1)
    mask_CN = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
    losses = [_loss(*_split(matched_CN[0].tolist())), _loss(*_split(matched_CN[1, [0, 2]].tolist()))]
    # The third caption has no substitute and does not count.
    assert float(negative_word_infonce(matched_CN, mask_CN)) == pytest.approx(_mean(losses))


def _split(scores: list[float]) -> tuple[float, list[float]]:
    return scores[0], scores[1:]


def _caption_losses(score_BC: torch.Tensor) -> list[float]:
    """Of each caption against the other images."""
    return [
        _loss(float(score_BC[b, c]), [float(score_BC[d, c]) for d in range(3) if d != b])
        for c, b in enumerate(IMAGE_OF_C.tolist())
    ]


def _image_losses(score_BC: torch.Tensor) -> list[float]:
    """Of each image with each of its captions against the captions of other images."""
    return [
        _loss(float(score_BC[b, c]), [float(score_BC[b, d]) for d in range(5) if IMAGE_OF_C[d] != b])
        for c, b in enumerate(IMAGE_OF_C.tolist())
    ]


def test_captions_pick_their_image_and_images_their_captions() -> None:
    score_BC = _random(3, 5)
    captions, images = _mean(_caption_losses(score_BC)), _mean(_image_losses(score_BC))
    assert float(caption_image_infonce(score_BC, IMAGE_OF_C)) == pytest.approx(captions)
    assert float(image_caption_infonce(score_BC, IMAGE_OF_C)) == pytest.approx(images)
    assert float(npair_loss(score_BC, IMAGE_OF_C)) == pytest.approx(captions + images)


def test_npair_is_both_directions_of_infonce_on_scaled_scores() -> None:
    score_BC = _random(3, 5)
    both = caption_image_infonce(3 * score_BC, IMAGE_OF_C) + image_caption_infonce(3 * score_BC, IMAGE_OF_C)
    torch.testing.assert_close(npair_loss(score_BC, IMAGE_OF_C, scale=3), both)
    torch.testing.assert_close(npair_loss(score_BC, IMAGE_OF_C, scale=torch.tensor(3.0)), both)


def test_npair_of_one_caption_an_image_is_the_sum_of_two_cross_entropies() -> None:
    score_BB, itself = _random(4, 4), torch.arange(4)
    cross_entropy = torch.nn.functional.cross_entropy
    torch.testing.assert_close(
        npair_loss(score_BB, itself), cross_entropy(score_BB, itself) + cross_entropy(score_BB.T, itself)
    )


def test_npair_of_words_equals_a_loop() -> None:
    matched_BU = _random(3, 4, seed=2)
    positive_BU = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    losses = []
    for b, u in positive_BU.nonzero().tolist():
        images = [float(matched_BU[o, u]) for o in range(3) if not positive_BU[o, u]]
        words = [float(matched_BU[b, o]) for o in range(4) if not positive_BU[b, o]]
        losses.append(_loss(float(matched_BU[b, u]), images) + _loss(float(matched_BU[b, u]), words))
    assert float(word_npair(matched_BU, positive_BU)) == pytest.approx(_mean(losses))


def test_npair_of_words_is_npair_where_the_words_are_captions() -> None:
    score_BC = _random(3, 5)
    positive_BC = torch.arange(3)[:, None] == IMAGE_OF_C
    torch.testing.assert_close(word_npair(score_BC, positive_BC), npair_loss(score_BC, IMAGE_OF_C))


def test_phrases_of_a_caption_are_contrasted_by_what_they_attend_to() -> None:
    logit_CPR = torch.tensor([[[2.0, 0.5, 0.1], [0.2, 1.5, 0.4], [0.3, 1.4, 0.2]]])
    posterior_CPR = torch.tensor([[[0.9, 0.1, 0.0], [0.0, 0.95, 0.05], [0.05, 0.9, 0.05]]])
    fit = (posterior_CPR @ logit_CPR.transpose(1, 2))[0].T.tolist()  # of phrase p and what phrase q attends to
    # The last two attend to the same region, so they are not contrasted with each other.
    negatives = [[1, 2], [0], [0]]
    losses = []
    for p, others in enumerate(negatives):
        row, column = [fit[p][q] for q in others], [fit[q][p] for q in others]
        losses.append((_loss(fit[p][p], row) + _loss(fit[p][p], column)) / 2)
    loss = intra_caption_contrast(logit_CPR, posterior_CPR, torch.ones(1, 3, dtype=torch.bool))
    assert float(loss) == pytest.approx(_mean(losses), rel=1e-5)


def test_where_all_images_score_alike_the_loss_is_the_logarithm_of_their_number() -> None:
    words = word_image_infonce(torch.full((7, 3, 2), 0.3), torch.ones(3, 2, dtype=torch.bool), torch.arange(3))
    captions = caption_image_infonce(torch.zeros(7, 7), torch.arange(7))
    both = npair_loss(torch.zeros(7, 7), torch.arange(7))
    assert [float(words), float(captions), float(both) / 2] == pytest.approx([math.log(7)] * 3)


def test_huge_scores_give_finite_losses() -> None:
    wrong = npair_loss(1e4 * (1 - torch.eye(8)), torch.arange(8))
    assert torch.isfinite(wrong) and float(wrong) == pytest.approx(2e4, rel=1e-3)


NONE = torch.zeros(2, 3, dtype=torch.bool)
NOTHING: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "no word": lambda score: word_image_infonce(score, NONE, torch.tensor([0, 1])),
    "no substitute": lambda score: negative_word_infonce(score[0], NONE),
    "one image": lambda score: image_caption_infonce(score[0, :1], torch.zeros(3, dtype=torch.long)),
    "one image, npair": lambda score: npair_loss(score[0, :1], torch.zeros(3, dtype=torch.long)),
    "words of all images": lambda score: word_npair(score[0], ~NONE),
    "one phrase": lambda score: intra_caption_contrast(
        score, torch.full((2, 2, 3), 1 / 3), torch.tensor([[True, False], [False, False]])
    ),
}


@pytest.mark.parametrize("loss", NOTHING.values(), ids=NOTHING.keys())
def test_nothing_to_contrast_is_a_zero_that_still_has_a_gradient(
    loss: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    score = torch.randn(2, 2, 3, requires_grad=True)
    value = loss(score)
    value.backward()
    assert value.item() == 0.0
    assert score.grad is not None and torch.isfinite(score.grad).all()
