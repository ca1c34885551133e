"""Best-region matching of CKD (Wang et al., CVPR 2021, section 3.2): a query is matched by its largest cosine."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.dual_encoder import DualEncoder, MaskedMLP, over_real_rows

__all__ = ["BestRegion"]


class BestRegion(DualEncoder):
    """Two MLPs to unit vectors, and the maximum of their scaled cosine over the regions.

    Args:
        region_width: width V of a region's input.
        state_width: width H of a phrase or word.
        joint_width: width D of the joint space (the paper: 512).
        hidden_width: of both MLPs (the paper: 1024).
        scale: factor of the cosines (the paper: 2); its initial value where `learned`.
        learned: train the scale.
        score: how the queries of a caption make the score of a pair: their `sum` (the paper), their `mean`, or `root`,
            their sum divided by the square root of their number.
    """

    def __init__(
        self,
        region_width: int,
        state_width: int,
        joint_width: int = 512,
        hidden_width: int = 1024,
        scale: float = 2.0,
        learned: bool = False,
        score: Literal["sum", "root", "mean"] = "sum",
    ) -> None:
        super().__init__(
            MaskedMLP(region_width, hidden_width, joint_width, batch_norm=False),
            MaskedMLP(state_width, hidden_width, joint_width, batch_norm=False),
        )
        log_scale = torch.tensor(math.log(scale))
        if learned:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        self.exponent = {"sum": 0.0, "root": 0.5, "mean": 1.0}[score]

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scaled cosines as similarity and value; the attention is their softmax, which the score does not use."""
        cosine_BCQR, mask_BCQR = self.cosines(regions, queries, paired)
        value_BCQR = cosine_BCQR * self.log_scale.exp()
        similarity_BCQR = value_BCQR.masked_fill(~mask_BCQR, float("-inf"))
        matched_BCQ = similarity_BCQR.amax(dim=-1)
        score_BC = self._score(matched_BCQ, queries.mask_CQ)
        return Alignment(similarity_BCQR, similarity_BCQR.softmax(dim=-1), value_BCQR, matched_BCQ, score_BC)

    def match(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, *, prior_BCQR: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`matched_BCQ` and `score_BC` of `align`, without the attention; 0 at padded queries.

        Only real queries are compared: captions with few phrases are mostly padding.
        """
        (regions_BRD,), (queries_CQD,) = regions.tensors, queries.tensors
        mask_BR, mask_CQ = regions.mask_BR, queries.mask_CQ
        bias_M = regions_BRD.new_zeros(mask_BR.numel()).masked_fill_(~mask_BR.flatten(), float("-inf"))

        def best(queries_ND: torch.Tensor) -> torch.Tensor:
            cosine_NM = torch.addmm(bias_M, queries_ND, regions_BRD.flatten(0, 1).T)
            return cosine_NM.view(len(cosine_NM), *mask_BR.shape).amax(dim=-1) * self.log_scale.exp()

        matched_BCQ = over_real_rows(best, queries_CQD, mask_CQ).permute(2, 0, 1)
        return matched_BCQ, self._score(matched_BCQ, mask_CQ)

    def _score(self, matched_BCQ: torch.Tensor, mask_CQ: torch.Tensor) -> torch.Tensor:
        count_C = mask_CQ.sum(dim=-1).clamp(min=1)
        score_BC: torch.Tensor = (matched_BCQ * mask_CQ).sum(dim=-1) / count_C**self.exponent
        return score_BC
