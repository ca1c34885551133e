"""VSE0 and VSE++ on regions (Faghri et al., BMVC 2018): one vector for the image and one for the caption.

A baseline without attention: the mean of the regions is the image, and the score does not depend on single regions.
Words and regions lie in one space all the same, so phrases can be grounded by the cosines of their words.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings, pair_mask
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import pair_cosines, xavier_linear

__all__ = ["PooledEmbedding", "TextPooling"]

TextPooling = Literal["mean", "last"]


class PooledEmbedding(Aligner):
    """The dot product of the mean of regions and the mean (or last) of words, both of unit length.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word.
        joint_width: width D of the joint space (the paper: 1024).
        text_pooling: `mean` of the words, or the `last` one, as VSE++ takes it from a recurrent network of one
            direction.
        sharpness: λ of the softmax over regions by which phrases are grounded; it has no part in the score.

    Raises:
        ValueError: an unknown way of pooling.
    """

    exports_to_onnx = True
    uses_prior = True

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
        self.region_map = xavier_linear(region_width, joint_width)
        self.word_map = xavier_linear(word_width, joint_width)
        self.text_pooling = text_pooling
        self.reading = AttentionScorer(sharpness=sharpness, slope=1, normalized_over="none")

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Two tensors: unit vectors of the regions `[B, R, D]`, and one of the whole image `[B, 1, D]`."""
        mapped_BRD = self.region_map(inputs_BRV).masked_fill(~mask_BR[..., None], 0)
        image_B1D = l2_normalize(mapped_BRD.sum(dim=1, keepdim=True))  # a sum points where the mean does
        return RegionEmbeddings((l2_normalize(mapped_BRD), image_B1D), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Two tensors: unit vectors of the queries `[C, Q, D]`, and one of the whole caption `[C, 1, D]`."""
        mapped_CQD = self.word_map(states_CQH).masked_fill(~mask_CQ[..., None], 0)
        if self.text_pooling == "mean":
            caption_C1D = mapped_CQD.sum(dim=1, keepdim=True)
        else:
            place_Q = torch.arange(1, mask_CQ.shape[1] + 1, device=mask_CQ.device)
            last_C = (mask_CQ * place_Q).argmax(dim=1)
            caption_C1D = mapped_CQD[torch.arange(len(last_C), device=last_C.device), last_C][:, None]
        return QueryEmbeddings((l2_normalize(mapped_CQD), l2_normalize(caption_C1D)), mask_CQ)

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
        cosine_BCQR = pairs.to_BCQR(pairs.cosine_BRQC)
        similarity_BCQR = self.reading.logits(cosine_BCQR, query_dim=2, context_dim=3)
        if prior_BCQR is not None:
            similarity_BCQR = similarity_BCQR + prior_BCQR
        mask_BCQR = pair_mask(regions.mask_BR, paired)
        attention_BCQR = self.reading.weights(similarity_BCQR, mask_BCQR, context_dim=3)
        return Alignment(
            similarity_BCQR=similarity_BCQR.masked_fill(~mask_BCQR, float("-inf")),
            attention_BCQR=attention_BCQR,
            value_BCQR=cosine_BCQR,
            matched_BCQ=(attention_BCQR * cosine_BCQR).sum(dim=3),
            score_BC=_paired_products(regions, queries) if paired else _products(regions, queries),
        )

    def fast_scores(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, budget_bytes: int
    ) -> torch.Tensor | None:
        """One product of whole images and captions."""
        return _products(regions, queries)


def _products(regions: RegionEmbeddings, queries: QueryEmbeddings) -> torch.Tensor:
    """Products `[B, C]` of whole images and whole captions."""
    return regions.tensors[1][:, 0] @ queries.tensors[1][:, 0].T


def _paired_products(regions: RegionEmbeddings, queries: QueryEmbeddings) -> torch.Tensor:
    """Products `[1, C]` of each whole caption and the whole image of its row."""
    return (regions.tensors[1] * queries.tensors[1]).sum(dim=2).T
