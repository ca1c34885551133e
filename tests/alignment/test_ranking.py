"""The ranking of regions beside a loop over words and regions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unboxed.alignment.ranking import Ranking, rank_regions
from unboxed.boxes import iou
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


def _naive(similarity: torch.Tensor, value: torch.Tensor, ranking: Ranking) -> list[list[float]]:
    attention = []
    for w in range(4):
        odds = []
        for r in range(4):
            logit = float(similarity[w, r]) + ranking.value_weight * float(value[w, r])
            logit += ranking.confidence_weight * math.log(max(float(REGIONS.class_probs[r].max()), 0.01))
            odds.append(math.exp(logit))
        attention.append([x / sum(odds) for x in odds])
    scores = []
    for p in range(3):
        words = [w for w in range(4) if PHRASES_PW[p, w]]
        if ranking.phrase_words == "content" and any(CONTENT_W[w] for w in words):
            words = [w for w in words if CONTENT_W[w]]
        best = [max(attention[w][r] for w in words) for r in range(4)]
        scores.append(best)
    overlaps = iou(REGIONS.boxes, REGIONS.boxes)
    if ranking.exclusivity:
        logs = [[math.log(max(x, 1e-12)) for x in row] for row in scores]
        scores = [_softmax(row) for row in logs]
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
            [sum(row[other] * float(overlaps[other, r]) for other in range(4)) for r in range(4)] for row in scores
        ]
    return scores


def _softmax(logits: list[float]) -> list[float]:
    odds = [math.exp(x) for x in logits]
    return [x / sum(odds) for x in odds]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "ranking",
    [Ranking(), Ranking.paper(), Ranking(expected_overlap=False), Ranking(phrase_words="all")],
)
def test_scores_equal_the_loop(seed: int, ranking: Ranking) -> None:
    similarity_WR, value_WR = _logits(seed)
    scores = rank_regions(similarity_WR, value_WR, PHRASES_PW, CONTENT_W, REGIONS, ranking)
    np.testing.assert_allclose(scores.numpy(), _naive(similarity_WR, value_WR, ranking), rtol=1e-5)


def test_the_papers_rule_is_the_highest_attention_of_any_word() -> None:
    similarity_WR, value_WR = _logits(0)
    scores = rank_regions(similarity_WR, value_WR, PHRASES_PW, CONTENT_W, REGIONS, Ranking.paper())
    torch.testing.assert_close(scores[0], similarity_WR[:2].softmax(dim=1).amax(dim=0))


def test_expected_overlap_prefers_a_region_whose_neighbours_are_attended_too() -> None:
    similarity_WR = torch.tensor([[2.0, 1.9, 2.1, -9.0]])  # the third is attended most, alone
    one = torch.ones(1, 1, dtype=torch.bool)
    plain = Ranking(value_weight=0, confidence_weight=0, exclusivity=0, expected_overlap=False)
    by_attention = rank_regions(similarity_WR, similarity_WR, one, one[0], REGIONS, plain)
    by_overlap = rank_regions(
        similarity_WR, similarity_WR, one, one[0], REGIONS, Ranking(value_weight=0, confidence_weight=0, exclusivity=0)
    )
    assert int(by_attention.argmax()) == 2
    assert int(by_overlap.argmax()) == 0
