"""The ranking of regions beside a loop over words and regions."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from unboxed.attention.ranking import (
    PRIOR_FLOOR,
    Pooling,
    Ranking,
    RegionTerms,
    phrase_scores,
    pool_words,
    rank_regions,
    ranked_scores,
)
from unboxed.boxes import iou
from unboxed.errors import RunError
from unboxed.types import Regions

REGIONS = Regions(
    boxes=[[0, 0, 10, 10], [0, 0, 9, 10], [50, 50, 60, 60], [0, 0, 100, 100]],
    scores=[1, 1, 1, 1],
    features=np.zeros((4, 0)),
    class_probs=[[0.9, 0.0], [0.3, 0.2], [0.0, 0.005], [0.0, 0.5]],
    class_names=("dog", "grass"),
    sources=("detector", "detector", "detector", "image"),
    width=100,
    height=100,
)
PHRASES_PW = torch.tensor([[True, True, False, False], [False, False, True, True], [True, False, False, False]])
CONTENT_W = torch.tensor([False, True, True, True])


def _logits(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(4, 4, generator=rng), torch.randn(4, 4, generator=rng)


PRIOR_PR = torch.tensor([[0.9, 0.3, 0.0, 0.1], [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0]])


def _ranked(
    similarity: torch.Tensor, value: torch.Tensor, ranking: Ranking, prior: torch.Tensor | None = None
) -> torch.Tensor:
    scores = phrase_scores(similarity.softmax(dim=1), value, PHRASES_PW, CONTENT_W, ranking)
    return rank_regions(scores, REGIONS, ranking, prior)


def test_a_labelers_classes_are_no_confidence() -> None:
    """A labeler has a name for any crop; only a detector's classes tell that a box is a thing's."""
    labels = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    labelled = replace(
        REGIONS,
        class_probs=np.concatenate([labels, REGIONS.class_probs], axis=1),
        class_names=("labeler:hat", "labeler:cap", "labeler:dog", *REGIONS.class_names),
    )
    np.testing.assert_array_equal(labelled.confidence, REGIONS.class_probs.max(axis=1))
    score_PR, rule = torch.rand(2, 4, generator=torch.Generator().manual_seed(0)), Ranking(confidence_weight=1)
    assert torch.equal(rank_regions(score_PR, labelled, rule), rank_regions(score_PR, REGIONS, rule))


def _naive(similarity: torch.Tensor, value: torch.Tensor, ranking: Ranking) -> list[list[float]]:
    attention = []
    for w in range(4):
        odds = []
        for r in range(4):
            logit = float(similarity[w, r]) + ranking.value_weight * float(value[w, r])
            odds.append(math.exp(logit))
        attention.append([x / sum(odds) for x in odds])
    scores, logs = [], []
    for p in range(3):
        words = [w for w in range(4) if PHRASES_PW[p, w]]
        if ranking.phrase_words == "content" and any(CONTENT_W[w] for w in words):
            words = [w for w in words if CONTENT_W[w]]
        logits = []
        for r in range(4):
            logit = math.log(max(attention[w][r] for w in words))
            logit += ranking.confidence_weight * math.log(max(float(REGIONS.class_probs[r].max()), 0.01))
            x1, y1, x2, y2 = (float(x) for x in REGIONS.boxes[r])
            logit += ranking.area_weight * math.log((x2 - x1) * (y2 - y1))
            logit += ranking.prior_weight * math.log(float(PRIOR_PR[p, r]) + PRIOR_FLOOR)
            logits.append(logit)
        scores.append(_softmax(logits))
        logs.append(logits)
    overlaps = iou(REGIONS.boxes, REGIONS.boxes)
    if ranking.exclusivity:
        for _ in range(3):
            taken = [
                [
                    sum(scores[q][o] for q in range(3) if q != p for o in range(4) if overlaps[o, r] > 0.6)
                    for r in range(4)
                ]
                for p in range(3)
            ]
            scores = [_softmax([logs[p][r] - ranking.exclusivity * taken[p][r] for r in range(4)]) for p in range(3)]
    if ranking.expected_overlap:
        scores = [
            [
                sum(row[other] * float(overlaps[other, r]) ** ranking.overlap_power for other in range(4))
                for r in range(4)
            ]
            for row in scores
        ]
    return scores


def _softmax(logits: list[float]) -> list[float]:
    odds = [math.exp(x) for x in logits]
    return [x / sum(odds) for x in odds]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "ranking",
    [
        Ranking(),
        Ranking.plain(),
        Ranking(expected_overlap=False, value_weight=0.3),
        Ranking(overlap_power=0.7),
        Ranking(phrase_words="all", confidence_weight=2),
        Ranking(exclusivity=2, area_weight=0.25),
    ],
)
def test_scores_equal_the_loop(seed: int, ranking: Ranking) -> None:
    similarity_WR, value_WR = _logits(seed)
    scores = _ranked(similarity_WR, value_WR, ranking, PRIOR_PR)
    np.testing.assert_allclose(scores.numpy(), _naive(similarity_WR, value_WR, ranking), rtol=1e-5)


def test_the_plain_rule_is_by_the_highest_attention_of_any_word() -> None:
    similarity_WR, value_WR = _logits(0)
    scores = _ranked(similarity_WR, value_WR, Ranking.plain(), PRIOR_PR)
    highest_R = similarity_WR[:2].softmax(dim=1).amax(dim=0)
    torch.testing.assert_close(scores[0], highest_R / highest_R.sum())


def test_expected_overlap_prefers_a_region_whose_neighbours_are_attended_too() -> None:
    score_PR = torch.tensor([[2.0, 1.9, 2.1, -9.0]]).softmax(dim=1)  # the third is attended most, alone
    assert int(rank_regions(score_PR, REGIONS, Ranking.plain()).argmax()) == 2
    assert int(rank_regions(score_PR, REGIONS, Ranking(exclusivity=0)).argmax()) == 0


def test_a_phrase_of_which_the_prior_knows_nothing_goes_by_what_was_learned() -> None:
    similarity_WR, value_WR = _logits(1)
    ranking = Ranking(exclusivity=0)
    with_prior, without = (_ranked(similarity_WR, value_WR, ranking, prior) for prior in (PRIOR_PR, None))
    torch.testing.assert_close(with_prior[2], without[2])
    assert not torch.allclose(with_prior[0], without[0])


def test_without_a_learned_weight_the_prior_alone_ranks() -> None:
    prior_PR = torch.tensor([[0.1, 0.0, 0.9, 0.0]])
    attention_PR = torch.tensor([[0.97, 0.01, 0.01, 0.01]])
    rule = Ranking(prior_weight=1.0, exclusivity=0, expected_overlap=False)
    terms = RegionTerms(torch.eye(4))
    trained = ranked_scores(attention_PR, terms, rule, prior_PR)
    alone = ranked_scores(attention_PR, terms, replace(rule, learned_weight=0), prior_PR)
    assert (int(trained.argmax()), int(alone.argmax())) == (0, 2)
    odds = (prior_PR + 0.01) / (prior_PR + 0.01).sum()
    torch.testing.assert_close(alone, odds)


def test_padded_phrases_and_regions_change_nothing() -> None:
    similarity_WR, value_WR = _logits(0)
    ranking = Ranking(confidence_weight=2)
    score_PR = phrase_scores(similarity_WR.softmax(dim=1), value_WR, PHRASES_PW, CONTENT_W, ranking)
    overlap_RR = torch.from_numpy(iou(REGIONS.boxes, REGIONS.boxes))
    confidence_R = torch.from_numpy(REGIONS.class_probs.max(axis=1))

    def padded(values: torch.Tensor, filler: float = 1.0) -> torch.Tensor:
        return torch.nn.functional.pad(values, (0, 2) * values.ndim, value=filler)

    found = ranked_scores(
        padded(score_PR),
        RegionTerms(padded(overlap_RR, 0.0), padded(confidence_R), mask_R=torch.arange(6) < 4),
        ranking,
        padded(PRIOR_PR),
        mask_P=torch.arange(5) < 3,
    )
    torch.testing.assert_close(found[:3, :4], rank_regions(score_PR, REGIONS, ranking, PRIOR_PR))


@pytest.mark.parametrize("pooling", ["max", "mean", "sum-log"])
def test_words_are_pooled_as_in_a_loop(pooling: Pooling) -> None:
    attention_WR = _logits(0)[0].softmax(dim=1)
    scores_PR = pool_words(attention_WR, PHRASES_PW, pooling)
    for p in range(3):
        words = [w for w in range(4) if PHRASES_PW[p, w]]
        for r in range(4):
            values = [float(attention_WR[w, r]) for w in words]
            expected = {
                "max": max(values),
                "mean": sum(values) / len(words),
                "sum-log": math.prod(values) ** (1 / len(words)),
            }[pooling]
            assert float(scores_PR[p, r]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("option", "wrong", "message"), [("consensus", -1.0, "at least 0"), ("overlap_power", 0.0, "above 0")]
)
def test_weights_outside_their_range_are_refused(option: str, wrong: float, message: str) -> None:
    with pytest.raises(RunError, match=f"is {wrong}; it .*{message}"):
        Ranking(**{option: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", [field.name for field in fields(Ranking) if field.type == "float"])
def test_weights_are_finite(option: str) -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(RunError, match=f"--{option.replace('_', '-')} is {value}; it must be a finite number"):
            Ranking(**{option: value})  # type: ignore[arg-type]


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pooling is one of .*not 'median'"):
        pool_words(torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), "median")  # type: ignore[arg-type]
