"""Each query is matched by its best region (CKD, section 3.2): the largest cosine is the evidence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from unboxed.alignment.aligner import Alignment, QueryCodes, RegionCodes
from unboxed.alignment.perceptron import MaskedPerceptron
from unboxed.alignment.towers import CosineTowers

__all__ = ["BestRegion"]


class BestRegion(CosineTowers):
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
            MaskedPerceptron(region_width, hidden_width, joint_width, batch_norm=False),
            MaskedPerceptron(state_width, hidden_width, joint_width, batch_norm=False),
        )
        log_scale = torch.tensor(scale).log()
        if learned:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        self.exponent = {"sum": 0.0, "root": 0.5, "mean": 1.0}[score]

    def align(
        self,
        regions: RegionCodes,
        queries: QueryCodes,
        *,
        own: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scaled cosines; the attention is their softmax, which training does not use but distillation may."""
        cosine, mask_BCQR = self.cosines(regions, queries, own)
        value = cosine * self.log_scale.exp()
        similarity = value.masked_fill(~mask_BCQR, float("-inf"))
        evidence = similarity.amax(dim=-1)
        count_C = queries.mask_CQ.sum(dim=-1).clamp(min=1)
        score = (evidence * queries.mask_CQ).sum(dim=-1) / count_C**self.exponent
        return Alignment(similarity, similarity.softmax(dim=-1), value, evidence, score)
