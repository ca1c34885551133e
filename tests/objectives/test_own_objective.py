"""An objective of one's own, a function defined outside the package, trains an attention of the package."""

from __future__ import annotations

import math

import pytest
import torch

from unboxed.attention import AttentionScorer, BestRegion, CrossAttention, KeyValueAttention
from unboxed.attention.base import Aligner

ATTENTIONS = {
    "scan": lambda: CrossAttention(8, 8, 16, AttentionScorer("t2i")),
    "key value": lambda: KeyValueAttention(8, 8, 16),
    "best region": lambda: BestRegion(8, 8, 16, 16),
}


def smooth_hinge(
    score_BC: torch.Tensor, image_of_C: torch.Tensor, margin: float = 0.2, sharpness: float = 10.0
) -> torch.Tensor:
    """Toy objective: `[margin + smooth maximum over other images - score of the image]₊`, the mean over captions."""
    caption_C = torch.arange(len(image_of_C))
    paired_BC = torch.arange(len(score_BC))[:, None] == image_of_C
    negative_C = (sharpness * score_BC).masked_fill(paired_BC, float("-inf")).logsumexp(dim=0) / sharpness
    return (margin + negative_C - score_BC[image_of_C, caption_C]).clamp(min=0).mean()


def test_it_equals_a_plain_loop() -> None:
    score_BC = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image_of_C = torch.tensor([0, 0, 1, 2, 3, 3])
    losses = []
    for c, paired in enumerate(image_of_C.tolist()):
        others = [math.exp(10 * float(score_BC[b, c])) for b in range(4) if b != paired]
        losses.append(max(0.2 + math.log(sum(others)) / 10 - float(score_BC[paired, c]), 0))
    assert float(smooth_hinge(score_BC, image_of_C)) == pytest.approx(sum(losses) / 6)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_it_trains_an_attention_in_a_plain_loop(name: str) -> None:
    torch.manual_seed(0)
    attention: Aligner = ATTENTIONS[name]()
    optimizer = torch.optim.Adam(attention.parameters(), lr=0.01)
    inputs_BRV, image_of_C = torch.randn(6, 5, 8), torch.arange(6)
    states_CQH = inputs_BRV[:, :3].flip(-1)
    masks = torch.ones(6, 5, dtype=torch.bool), torch.ones(6, 3, dtype=torch.bool)
    losses = []
    for _ in range(60):
        regions = attention.embed_regions(inputs_BRV, torch.zeros(6, 5, 4), masks[0])
        loss = smooth_hinge(attention.scores(regions, attention.embed_queries(states_CQH, masks[1])), image_of_C)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
