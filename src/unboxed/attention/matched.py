"""What attention does on the pairs that belong together: what constraints on the attention itself are made of.

Tensors here have a row for each caption and its own image, and no axis of the joint width D but that of the
unit vectors. N counts the contexts: regions when words attend ("t2i"), words when regions do ("i2t"); Q the queries,
the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.normalize import cosine_to_content

__all__ = ["MatchedAttention", "match"]


@dataclass(frozen=True, eq=False)
class MatchedAttention:
    """Attention of one direction on C matched pairs.

    Attributes:
        direction: `t2i`, words attend to regions, or `i2t`, regions to words.
        weights_CQN: the host's own weights; rows sum to 1 over real contexts.
        similarity_CQN: cosines of queries and contexts.
        gram_CNN: cosines of the contexts among themselves.
        query_mask_CQ, context_mask_CN: True for what is real.
        queries_CQD, contexts_CND: the unit vectors that all of this is made of; zero where padded.
        scorer: which made the weights.
    """

    direction: Literal["t2i", "i2t"]
    weights_CQN: torch.Tensor
    similarity_CQN: torch.Tensor
    gram_CNN: torch.Tensor
    query_mask_CQ: torch.Tensor
    context_mask_CN: torch.Tensor
    queries_CQD: torch.Tensor
    contexts_CND: torch.Tensor
    scorer: AttentionScorer

    def weigh(self, similarity_CQN: torch.Tensor) -> torch.Tensor:
        """The weights that the scorer gives queries with these cosines, on the same contexts."""
        logits_CQN = self.scorer.logits(similarity_CQN, query_dim=1, context_dim=2)
        return self.scorer.weights(logits_CQN, self.context_mask_CN[:, None], context_dim=2)

    def cosine(self, similarity_CQN: torch.Tensor, weights_CQN: torch.Tensor) -> torch.Tensor:
        """`[C, Q]` cosines of queries that have these cosines with the contexts and what these weights gather."""
        product_CQ = (weights_CQN * similarity_CQN).sum(dim=2)
        square_CQ = (weights_CQN * (weights_CQN @ self.gram_CNN)).sum(dim=2)
        return cosine_to_content(product_CQ, square_CQ)


def match(
    scorer: AttentionScorer,
    regions_CRD: torch.Tensor,
    region_mask_CR: torch.Tensor,
    queries_CQD: torch.Tensor,
    query_mask_CQ: torch.Tensor,
) -> tuple[MatchedAttention, ...]:
    """The attention of matched pairs in each direction of the scorer.

    Args:
        scorer: of the host.
        regions_CRD: unit vectors of the regions of each caption's own image.
        region_mask_CR: True for real regions.
        queries_CQD: unit vectors of words or phrases.
        query_mask_CQ: True for real ones.
    """
    regions_CRD = regions_CRD.masked_fill(~region_mask_CR[..., None], 0)
    queries_CQD = queries_CQD.masked_fill(~query_mask_CQ[..., None], 0)
    sides = {
        "t2i": (queries_CQD, query_mask_CQ, regions_CRD, region_mask_CR),
        "i2t": (regions_CRD, region_mask_CR, queries_CQD, query_mask_CQ),
    }
    found = []
    for direction in scorer.directions:
        queries, query_mask, contexts, context_mask = sides[direction]
        similarity_CQN = queries @ contexts.transpose(1, 2)
        logits_CQN = scorer.logits(similarity_CQN, query_dim=1, context_dim=2)
        found.append(
            MatchedAttention(
                direction=direction,
                weights_CQN=scorer.weights(logits_CQN, context_mask[:, None], context_dim=2),
                similarity_CQN=similarity_CQN,
                gram_CNN=contexts @ contexts.transpose(1, 2),
                query_mask_CQ=query_mask,
                context_mask_CN=context_mask,
                queries_CQD=queries,
                contexts_CND=contexts,
                scorer=scorer,
            )
        )
    return tuple(found)
