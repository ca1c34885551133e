"""Key–value attention of words over regions (InfoGround, section 3.2).

A word's query meets every region's key, the softmax over the regions is the attention, and the evidence for the word is
the product of its own value with the attended region value. With `t_r = <value of the word, value of region r>` that
product is `Σ_r a_r t_r`: the attended value itself, of the joint width, is never built.
"""

from __future__ import annotations

import torch
from torch import nn

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings, mean_over_queries, pair_products
from unboxed.attention.memory_budget import ScoredInBlocks
from unboxed.attention.mlp import MaskedMLP

__all__ = ["KeyValueAttention"]


class KeyValueAttention(ScoredInBlocks, nn.Module):
    """Keys and values of regions, queries and values of words, each from a network of its own.

    Args:
        region_width: width V of a region's input.
        state_width: width H of a contextual word.
        joint_width: width D that keys, queries and values share.
        layers: linear maps of each network (the paper's default: 2).
    """

    def __init__(self, region_width: int, state_width: int, joint_width: int = 384, layers: int = 2) -> None:
        super().__init__()
        self.region_key = MaskedMLP(region_width, joint_width, joint_width, layers)
        self.region_value = MaskedMLP(region_width, joint_width, joint_width, layers)
        self.word_query = MaskedMLP(state_width, joint_width, joint_width, layers)
        self.word_value = MaskedMLP(state_width, joint_width, joint_width, layers)
        self.scale = joint_width**-0.5

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Keys and values `[B, R, D]`."""
        return RegionEmbeddings((self.region_key(inputs_BRV, mask_BR), self.region_value(inputs_BRV, mask_BR)), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Queries and values `[C, Q, D]`."""
        return QueryEmbeddings((self.word_query(states_CQH, mask_CQ), self.word_value(states_CQH, mask_CQ)), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """One matrix product for keys, one for values. The pair score is the mean evidence of the queries."""
        (keys_BRD, values_BRD), (queries_CQD, query_values_CQD) = regions.tensors, queries.tensors
        mask_BCQR = regions.mask_BR[None, :, None] if paired else regions.mask_BR[:, None, None]
        similarity = (pair_products(queries_CQD, keys_BRD, paired) * self.scale).masked_fill(~mask_BCQR, float("-inf"))
        value = pair_products(query_values_CQD, values_BRD, paired)
        attention = similarity.softmax(dim=-1)
        evidence = (attention * value).sum(dim=-1)
        return Alignment(similarity, attention, value, evidence, mean_over_queries(evidence, queries.mask_CQ))
