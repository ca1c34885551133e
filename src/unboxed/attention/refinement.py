"""Prior refinement of SPRM (Rigoni et al., BMVC 2023, section 3): a semantic prior mixed with a trained cosine."""

from __future__ import annotations

import torch

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings, mean_over_queries
from unboxed.attention.dual_encoder import DualEncoder, MaskedMLP

__all__ = ["PriorRefinement"]


class PriorRefinement(DualEncoder):
    """`P = ω softmax(T / τ) + (1 - ω) softmax(S / τ')`, T a trained cosine and S the prior.

    Args:
        region_width: width V of a region's input.
        state_width: width H of a phrase; None: H is D, and phrases are not mapped (the paper).
        joint_width: width D of the joint space (the paper: 300).
        hidden_width: of a hidden layer of the region network; 0 for a single linear layer (the paper).
        omega: ω, the share of the trained part in [0, 1]; P is that part alone where no prior is given.
        temperature, prior_temperature: τ and τ', > 0.
    """

    uses_prior = True

    def __init__(
        self,
        region_width: int,
        state_width: int | None,
        joint_width: int = 300,
        hidden_width: int = 0,
        omega: float = 0.4,
        temperature: float = 1.0,
        prior_temperature: float = 1.0,
    ) -> None:
        super().__init__(
            MaskedMLP(region_width, hidden_width, joint_width, 2 if hidden_width else 1, batch_norm=False),
            MaskedMLP(state_width or joint_width, joint_width, joint_width, 1 if state_width else 0, batch_norm=False),
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
        """P as the attention; the score of a pair is the mean over the queries of their largest P."""
        cosine_BCQR, mask_BCQR = self.cosines(regions, queries, paired)
        value_BCQR = cosine_BCQR / self.temperature
        similarity_BCQR = value_BCQR.masked_fill(~mask_BCQR, float("-inf"))
        mixed_BCQR = similarity_BCQR.softmax(dim=-1)
        if prior_BCQR is not None:
            prior_BCQR = (prior_BCQR / self.prior_temperature).masked_fill(~mask_BCQR, float("-inf")).softmax(dim=-1)
            mixed_BCQR = self.omega * mixed_BCQR + (1 - self.omega) * prior_BCQR
        matched_BCQ = mixed_BCQR.amax(dim=-1)
        score_BC = mean_over_queries(matched_BCQ, queries.mask_CQ)
        return Alignment(similarity_BCQR, mixed_BCQR, value_BCQR, matched_BCQ, score_BC)
