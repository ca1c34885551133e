"""The mixture of prior and refinement beside a loop over regions."""

from __future__ import annotations

import math

import pytest
import torch

from unboxed.attention.refinement import PriorRefinement

REGION_MASK_BR = torch.arange(5) < torch.tensor([5, 2, 1])[:, None]
QUERY_MASK_CQ = torch.arange(3) < torch.tensor([3, 1])[:, None]
EDGES_BR4 = torch.zeros(3, 5, 4)


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 7, generator=rng), torch.randn(2, 3, 6, generator=rng)


@torch.no_grad()
def test_a_refinement_is_mixed_with_the_prior_in_the_named_share() -> None:
    regions_BRV, states_CQH = _inputs()
    model = PriorRefinement(7, 6, joint_width=4, omega=0.3, temperature=0.5, prior_temperature=0.2)
    regions = model.embed_regions(regions_BRV, EDGES_BR4, REGION_MASK_BR)
    queries = model.embed_queries(states_CQH, QUERY_MASK_CQ)
    prior_BCQR = torch.rand(3, 2, 3, 5, generator=torch.Generator().manual_seed(1))
    alignment = model.align(regions, queries, prior_BCQR=prior_BCQR)
    for b in range(3):
        count = int(REGION_MASK_BR[b].sum())
        learned = [math.exp(float(regions.tensors[0][b, r] @ queries.tensors[0][0, 1]) / 0.5) for r in range(count)]
        prior = [math.exp(float(prior_BCQR[b, 0, 1, r]) / 0.2) for r in range(count)]
        mixed = [0.3 * learned[r] / sum(learned) + 0.7 * prior[r] / sum(prior) for r in range(count)]
        assert alignment.attention_BCQR[b, 0, 1].tolist() == pytest.approx(mixed + [0.0] * (5 - count), abs=1e-5)
        assert float(alignment.matched_BCQ[b, 0, 1]) == pytest.approx(max(mixed), abs=1e-5)
    untrained = PriorRefinement(7, 6, joint_width=4, omega=0.0, prior_temperature=0.2)
    alone = untrained.align(
        untrained.embed_regions(regions_BRV, EDGES_BR4, REGION_MASK_BR),
        untrained.embed_queries(states_CQH, QUERY_MASK_CQ),
        prior_BCQR=prior_BCQR,
    )
    assert int(alone.attention_BCQR[0, 0, 0].argmax()) == int(prior_BCQR[0, 0, 0].argmax())
