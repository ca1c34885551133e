"""The best region beside loops over phrases and regions, and dual encoders on matched pairs."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from unboxed.attention.best_region import BestRegion
from unboxed.attention.refinement import PriorRefinement

REGION_MASK_BR = torch.arange(5) < torch.tensor([5, 2, 1])[:, None]
QUERY_MASK_CQ = torch.arange(3) < torch.tensor([3, 1])[:, None]
EDGES_BR4 = torch.zeros(3, 5, 4)


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 7, generator=rng), torch.randn(2, 3, 6, generator=rng)


@torch.no_grad()
@pytest.mark.parametrize(("score", "exponent"), [("sum", 0), ("root", 0.5), ("mean", 1)])
def test_a_caption_scores_by_the_best_region_of_each_phrase(
    score: Literal["sum", "root", "mean"], exponent: float
) -> None:
    regions_BRV, states_CQH = _inputs()
    model = BestRegion(7, 6, joint_width=4, hidden_width=8, scale=2.0, score=score)
    regions = model.embed_regions(regions_BRV, EDGES_BR4, REGION_MASK_BR)
    queries = model.embed_queries(states_CQH, QUERY_MASK_CQ)
    alignment = model.align(regions, queries)
    for b in range(3):
        for c in range(2):
            best = []
            for q in range(int(QUERY_MASK_CQ[c].sum())):
                cosines = [
                    float(torch.cosine_similarity(regions.tensors[0][b, r], queries.tensors[0][c, q], dim=0))
                    for r in range(int(REGION_MASK_BR[b].sum()))
                ]
                best.append(2 * max(cosines))
                assert float(alignment.matched_BCQ[b, c, q]) == pytest.approx(2 * max(cosines), abs=1e-5)
                assert float(alignment.attention_BCQR[b, c, q].sum()) == pytest.approx(1)
                assert (alignment.attention_BCQR[b, c, q, len(cosines) :] == 0).all()
            assert float(alignment.score_BC[b, c]) == pytest.approx(sum(best) / len(best) ** exponent, abs=1e-5)


@torch.no_grad()
def test_each_caption_with_its_own_image_is_a_row_of_all_pairs() -> None:
    regions_BRV, states_CQH = _inputs()
    image_of_C = torch.tensor([2, 0])
    for model in (BestRegion(7, 6, 4, 8), PriorRefinement(7, 6, 4)):
        regions = model.embed_regions(regions_BRV, EDGES_BR4, REGION_MASK_BR)
        queries = model.embed_queries(states_CQH, QUERY_MASK_CQ)
        everything, paired = model.align(regions, queries), model.align(regions.of(image_of_C), queries, paired=True)
        for of_paired, of_all in zip(paired, everything, strict=True):
            torch.testing.assert_close(of_paired[0], of_all[image_of_C, torch.arange(2)])


@pytest.mark.parametrize("score", ["sum", "root", "mean"])
def test_scores_without_attention_are_those_of_the_alignment_gradients_included(
    score: Literal["sum", "root", "mean"],
) -> None:
    torch.manual_seed(0)
    mask_BR = torch.tensor([[True, True, True], [True, False, False]])
    mask_CQ = torch.tensor([[True, False, False, False], [True] * 4, [False] * 4])
    inputs_BRV, states_CQH = torch.randn(2, 3, 5), torch.randn(3, 4, 6)
    gradients, results = [], []
    for direct in (False, True):
        torch.manual_seed(1)
        aligner = BestRegion(5, 6, 4, 7, learned=True, score=score)
        regions = aligner.embed_regions(inputs_BRV, torch.zeros(2, 3, 4), mask_BR)
        queries = aligner.embed_queries(states_CQH, mask_CQ)
        alignment = aligner.align(regions, queries)
        matched_BCQ, score_BC = (
            aligner.match(regions, queries) if direct else (alignment.matched_BCQ, alignment.score_BC)
        )
        ((matched_BCQ * mask_CQ).square().sum() + score_BC.square().sum()).backward()
        gradients.append([parameter.grad for parameter in aligner.parameters()])
        results.append((matched_BCQ[:, mask_CQ].detach(), score_BC.detach()))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(gradients[1], gradients[0])
