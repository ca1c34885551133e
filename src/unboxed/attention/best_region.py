"""Each query is matched by its best region (CKD, section 3.2): the largest cosine is the evidence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.dual_encoder import DualEncoder
from unboxed.attention.mlp import MaskedMLP

__all__ = ["BestRegion"]


class BestRegion(DualEncoder):
    """Two perceptrons to unit vectors, and the maximum over regions.

    Args:
        region_width: width V of a region's input.
        state_width: width H of a phrase or word.
        joint_width: width D that both share (the paper: 512).
        hidden_width: of both perceptrons (the paper: 1024).
        scale: what cosines are multiplied by (the paper: 2); where `learned`, at the start.
        learned: train the scale along.
        score: how a caption's queries make the pair score: their `sum` (the paper), their `mean`, or their sum over the
            root of their number, `root`.
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
        log_scale = torch.tensor(scale).log()
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
        """Scaled cosines; the attention is their softmax, which training does not use but distillation may."""
        cosine, mask_BCQR = self.cosines(regions, queries, paired)
        value = cosine * self.log_scale.exp()
        similarity = value.masked_fill(~mask_BCQR, float("-inf"))
        evidence = similarity.amax(dim=-1)
        score = self._score(evidence, queries.mask_CQ)
        return Alignment(similarity, similarity.softmax(dim=-1), value, evidence, score)

    def best(self, regions: RegionEmbeddings, queries: QueryEmbeddings) -> tuple[torch.Tensor, torch.Tensor]:
        """The evidence `[B, C, Q]` and the scores `[B, C]` that `align` gives of all pairs, without the rest.

        Only real queries are compared, for captions with few phrases are mostly padding; padded ones have evidence 0.
        """
        (regions_BRD,), (queries_CQD,), mask_CQ = regions.tensors, queries.tensors, queries.mask_CQ
        cosine_NBR = (queries_CQD[mask_CQ] @ regions_BRD.flatten(0, 1).T).view(-1, *regions.mask_BR.shape)
        best_NB = cosine_NBR.masked_fill(~regions.mask_BR, float("-inf")).amax(dim=-1) * self.log_scale.exp()
        evidence_CQB = best_NB.new_zeros(*mask_CQ.shape, best_NB.shape[1])
        evidence_CQB[mask_CQ] = best_NB
        matched_BCQ = evidence_CQB.permute(2, 0, 1)
        return matched_BCQ, self._score(matched_BCQ, mask_CQ)

    def _score(self, matched_BCQ: torch.Tensor, mask_CQ: torch.Tensor) -> torch.Tensor:
        count_C = mask_CQ.sum(dim=-1).clamp(min=1)
        score_BC: torch.Tensor = (matched_BCQ * mask_CQ).sum(dim=-1) / count_C**self.exponent
        return score_BC
