"""A semantic prior mixed with a trained refinement (SPRM, section 3)."""

from __future__ import annotations

import torch

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings, mean_over_queries
from unboxed.attention.dual_encoder import DualEncoder
from unboxed.attention.mlp import MaskedMLP

__all__ = ["PriorRefinement"]


class PriorRefinement(DualEncoder):
    """`P = ω softmax(T / τ) + (1 - ω) softmax(S / τ')`: T a trained cosine, S the prior; evidence is the largest P.

    Args:
        region_width: width V of a region's input.
        state_width: width H of a phrase.
        joint_width: width D that both share (the paper: 300).
        hidden_width: of a hidden layer of the region network; 0 for a single linear map (the paper).
        omega: share of the refinement; where there is no prior (a single word), it stands alone.
        temperature, prior_temperature: τ and τ'.
    """

    def __init__(
        self,
        region_width: int,
        state_width: int,
        joint_width: int = 300,
        hidden_width: int = 0,
        omega: float = 0.4,
        temperature: float = 1.0,
        prior_temperature: float = 1.0,
    ) -> None:
        super().__init__(
            MaskedMLP(region_width, hidden_width, joint_width, 2 if hidden_width else 1, batch_norm=False),
            MaskedMLP(state_width, joint_width, joint_width, 1, batch_norm=False),
        )
        self.omega, self.temperature, self.prior_temperature = omega, temperature, prior_temperature

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """The mixture as the attention; the pair score is the mean of the queries' largest values."""
        cosine, mask_BCQR = self.cosines(regions, queries, paired)
        value = cosine / self.temperature
        similarity = value.masked_fill(~mask_BCQR, float("-inf"))
        mixed = similarity.softmax(dim=-1)
        if prior_BCQR is not None:
            prior = (prior_BCQR / self.prior_temperature).masked_fill(~mask_BCQR, float("-inf")).softmax(dim=-1)
            mixed = self.omega * mixed + (1 - self.omega) * prior
        evidence = mixed.amax(dim=-1)
        return Alignment(similarity, mixed, value, evidence, mean_over_queries(evidence, queries.mask_CQ))
