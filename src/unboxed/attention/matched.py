"""Attention weights of matched pairs, from which objectives can constrain the attention itself (CCR, CCS).

Tensors have one row for each caption and the image that it is paired with. The joint width D is an axis of the unit
vectors only. N counts the contexts, Q the queries: in direction "t2i" the queries are words and the contexts regions,
in direction "i2t" the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.normalize import cosine_to_attended

__all__ = ["Constrainable", "MatchedAttention", "matched_attention"]


@dataclass(frozen=True, eq=False)
class MatchedAttention:
    """Attention in one direction on C matched pairs.

    Attributes:
        direction: `t2i`, words attend to regions, or `i2t`, regions to words.
        weights_CQN: attention weights; rows sum to 1 over real contexts.
        similarity_CQN: cosines of queries and contexts.
        gram_CNN: cosines of the contexts among themselves.
        query_mask_CQ, context_mask_CN: True for real ones.
        queries_CQD, contexts_CND: the unit vectors from which these are computed; zero where padded.
        scorer: the options with which the weights were computed.
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
        """The weights that queries with these cosines get from the scorer, on the same contexts."""
        real_CQ1 = self.query_mask_CQ[..., None]
        logits_CQN = self.scorer.logits(similarity_CQN, query_dim=1, query_mask=real_CQ1)
        return self.scorer.weights(logits_CQN, self.context_mask_CN[:, None], context_dim=2)

    def cosine(self, similarity_CQN: torch.Tensor, weights_CQN: torch.Tensor) -> torch.Tensor:
        """Cosines `[C, Q]` of queries and their attended vectors.

        Args:
            similarity_CQN: cosines of the queries and the contexts.
            weights_CQN: the weights that make the attended vectors of the contexts.
        """
        product_CQ = (weights_CQN * similarity_CQN).sum(dim=2)
        square_CQ = (weights_CQN * (weights_CQN @ self.gram_CNN)).sum(dim=2)
        return cosine_to_attended(product_CQ, square_CQ)


@runtime_checkable
class Constrainable(Protocol):
    """An aligner whose attention on matched pairs can be constrained; test for it with `isinstance`."""

    def matched(self, regions: RegionEmbeddings, queries: QueryEmbeddings) -> tuple[MatchedAttention, ...]:
        """The attention of each caption and its image, one item for each direction.

        Args:
            regions: one row for each caption (`RegionEmbeddings.of`).
            queries: of the captions.
        """


def matched_attention(
    scorer: AttentionScorer,
    regions_CRD: torch.Tensor,
    region_mask_CR: torch.Tensor,
    queries_CQD: torch.Tensor,
    query_mask_CQ: torch.Tensor,
) -> tuple[MatchedAttention, ...]:
    """The attention of matched pairs in each direction of the scorer.

    Args:
        scorer: computes the weights.
        regions_CRD: unit vectors of the regions of each caption's image.
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
        logits_CQN = scorer.logits(similarity_CQN, query_dim=1, query_mask=query_mask[..., None])
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
