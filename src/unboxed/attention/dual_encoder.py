"""Regions and queries as unit vectors, each from a perceptron of its own, compared by cosine."""

from __future__ import annotations

import torch
from torch import nn

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings, pair_products
from unboxed.attention.memory_budget import ScoredInBlocks
from unboxed.attention.mlp import MaskedMLP

__all__ = ["DualEncoder"]


class DualEncoder(ScoredInBlocks, nn.Module):
    """What aligners that compare by cosine have in common.

    Args:
        region: from a region's input to the joint width.
        query: from a phrase's or word's state to it.
    """

    def __init__(self, region: MaskedMLP, query: MaskedMLP) -> None:
        super().__init__()
        self.region, self.query = region, query

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Unit vectors `[B, R, D]`; the boxes are not looked at."""
        return RegionEmbeddings((nn.functional.normalize(self.region(inputs_BRV, mask_BR), dim=-1),), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Unit vectors `[C, Q, D]`."""
        return QueryEmbeddings((nn.functional.normalize(self.query(states_CQH, mask_CQ), dim=-1),), mask_CQ)

    def cosines(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The cosines `[B, C, Q, R]` of all pairs (with `paired`, `[1, C, Q, R]`), and where regions are real."""
        mask_BCQR = regions.mask_BR[None, :, None] if paired else regions.mask_BR[:, None, None]
        return pair_products(queries.tensors[0], regions.tensors[0], paired), mask_BCQR
