"""One vector for the image and one for the caption: the baseline that attention has to beat (VSE0, VSE++).

Faghri et al., BMVC 2018, on regions: their mean is the image. Nothing in the score looks at single regions, but words
and regions lie in one space all the same, so that phrases can be grounded by the cosine of their words.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.memory_budget import BUDGET_BYTES
from unboxed.attention.normalize import unit
from unboxed.attention.scan import pair_cosines, xavier

__all__ = ["PooledEmbedding", "TextPooling"]

TextPooling = Literal["mean", "last"]


class PooledEmbedding(nn.Module):
    """The dot product of the mean of regions and the mean (or last) of words, both of unit length.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word.
        joint_width: width D of the space that both share (the paper's: 1024).
        text_pooling: `mean` of the words, or the `last` one, as VSE++ takes from a recurrent network of one direction.
        sharpness: λ of the softmax over regions by which phrases are grounded; it has no part in the score.

    Raises:
        ValueError: an unknown way of pooling.
    """

    def __init__(
        self,
        region_width: int,
        word_width: int,
        joint_width: int = 1024,
        text_pooling: TextPooling = "mean",
        sharpness: float = 9.0,
    ) -> None:
        super().__init__()
        if text_pooling not in get_args(TextPooling):
            raise ValueError(f"text_pooling is one of {get_args(TextPooling)}, not {text_pooling!r}.")
        self.region_map = xavier(region_width, joint_width)
        self.word_map = xavier(word_width, joint_width)
        self.text_pooling = text_pooling
        self.reading = AttentionScorer(sharpness=sharpness, slope=1, normalised_over="none")

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Two tensors: unit vectors of the regions `[B, R, D]`, and one of the whole image `[B, 1, D]`."""
        mapped_BRD = self.region_map(inputs_BRV).masked_fill(~mask_BR[..., None], 0)
        image_B1D = unit(mapped_BRD.sum(dim=1, keepdim=True))  # a sum points where the mean does
        return RegionEmbeddings((unit(mapped_BRD), image_B1D), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Two tensors: unit vectors of the queries `[C, Q, D]`, and one of the whole caption `[C, 1, D]`."""
        mapped_CQD = self.word_map(states_CQH).masked_fill(~mask_CQ[..., None], 0)
        if self.text_pooling == "mean":
            caption_C1D = mapped_CQD.sum(dim=1, keepdim=True)
        else:
            place_Q = torch.arange(1, mask_CQ.shape[1] + 1, device=mask_CQ.device)
            last_C = (mask_CQ * place_Q).argmax(dim=1)
            caption_C1D = mapped_CQD[torch.arange(len(last_C), device=last_C.device), last_C][:, None]
        return QueryEmbeddings((unit(mapped_CQD), unit(caption_C1D)), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scores in [-1, 1]; the similarity is `sharpness` times the cosine of query and region, plus the prior."""
        pairs = pair_cosines(regions.tensors[0], regions.mask_BR, queries.tensors[0], queries.mask_CQ, paired)
        cosine_BCQR = pairs.seen(pairs.cosine_BRQC)
        similarity_BCQR = self.reading.logits(cosine_BCQR, query_dim=2, context_dim=3)
        if prior_BCQR is not None:
            similarity_BCQR = similarity_BCQR + prior_BCQR
        region_mask = regions.mask_BR[None, :, None] if paired else regions.mask_BR[:, None, None]
        attention_BCQR = self.reading.weights(similarity_BCQR, region_mask, context_dim=3)
        paired_BC = (regions.tensors[1] * queries.tensors[1]).sum(dim=2).T if paired else None
        return Alignment(
            similarity_BCQR=similarity_BCQR.masked_fill(~region_mask, float("-inf")),
            attention_BCQR=attention_BCQR,
            value_BCQR=cosine_BCQR,
            matched_BCQ=(attention_BCQR * cosine_BCQR).sum(dim=3),
            score_BC=self.scores(regions, queries) if paired_BC is None else paired_BC,
        )

    def scores(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        prior_BCQR: torch.Tensor | None = None,
        budget_bytes: int = BUDGET_BYTES,
    ) -> torch.Tensor:
        """The scores alone: one product of whole images and captions."""
        score_BC: torch.Tensor = regions.tensors[1][:, 0] @ queries.tensors[1][:, 0].T
        return score_BC
