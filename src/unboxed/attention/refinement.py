"""Prior refinement of SPRM (Rigoni et al., BMVC 2023, section 3): a semantic prior mixed with a trained cosine."""

from __future__ import annotations

import torch
from torch import nn

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings, mean_over_queries
from unboxed.attention.dual_encoder import DualEncoder, MaskedMLP

__all__ = ["PriorRefinement", "box_shares"]


class PriorRefinement(DualEncoder):
    """`P = ω softmax(T / τ) + (1 - ω) softmax(S / τ')`, T a trained cosine and S the prior.

    Args:
        region_width: width V of a region's input.
        state_width: width H of a phrase; None: H is D, and phrases are not mapped (the paper).
        joint_width: width D of the joint space (the paper: 300).
        hidden_width: of a hidden layer of the region network; 0 for a single linear layer (the paper).
        omega: ω, the share of the trained part in [0, 1]; P is that part alone where no prior is given.
        temperature, prior_temperature: τ and τ', > 0.
        box_inputs: also map the box of a region: its edges and its area as shares of the image (the paper).

    Inputs of regions may be V + D wide: the last D numbers are added to the mapped regions (the paper: the word vector
    of a region's class).
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
        box_inputs: bool = False,
    ) -> None:
        mapped_width = region_width + 5 * box_inputs
        super().__init__(
            MaskedMLP(mapped_width, hidden_width, joint_width, 2 if hidden_width else 1, batch_norm=False),
            MaskedMLP(state_width or joint_width, joint_width, joint_width, 1 if state_width else 0, batch_norm=False),
        )
        self.omega, self.temperature, self.prior_temperature = omega, temperature, prior_temperature
        self.region_width, self.box_inputs = region_width, box_inputs

    def begin_with_xavier(self) -> None:
        """Set the weights of the region network to Xavier's normal numbers, and its biases to 0 (the paper)."""
        for layer in self.region.map:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def map_regions(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """Regions `[B, R, D]` before they are scaled to unit vectors, zero where the mask is False."""
        own_BRV, added_BRD = inputs_BRV[..., : self.region_width], inputs_BRV[..., self.region_width :]
        if self.box_inputs:
            own_BRV = torch.cat([own_BRV, box_shares(edges_BR4).to(own_BRV)], dim=-1)
        mapped_BRD: torch.Tensor = self.region(own_BRV, mask_BR)
        return mapped_BRD + added_BRD * mask_BR[..., None] if added_BRD.shape[-1] else mapped_BRD

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """One tensor: unit vectors `[B, R, D]`."""
        mapped_BRD = self.map_regions(inputs_BRV, edges_BR4, mask_BR)
        return RegionEmbeddings((nn.functional.normalize(mapped_BRD, dim=-1),), mask_BR)

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


def box_shares(edges_BR4: torch.Tensor) -> torch.Tensor:
    """`[..., 5]`: x1, y1, x2, y2 and the area of boxes `[..., 4]`, as shares of the image."""
    extent = edges_BR4[..., 2:] - edges_BR4[..., :2]
    return torch.cat([edges_BR4, extent.prod(dim=-1, keepdim=True)], dim=-1)
