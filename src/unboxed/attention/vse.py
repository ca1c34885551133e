"""VSE0 and VSE++ on regions (Faghri et al., BMVC 2018): one vector for the image and one for the caption.

A baseline without attention: an image is represented by the mean of its regions, and the score does not depend on
single regions. Words and regions share one space, so phrases can be grounded by the cosines of their words.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings, pair_mask
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import pair_cosines, xavier_linear

__all__ = ["Measure", "PooledEmbedding", "TextPooling"]

Measure = Literal["cosine", "dot", "order"]
TextPooling = Literal["mean", "last"]


class PooledEmbedding(Aligner):
    """The dot product of the mean of regions and the mean (or last) of words, both of unit length; other measures too.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word.
        joint_width: width D of the joint space (the paper: 1024).
        text_pooling: `mean` of the words, or the `last` one, as VSE++ takes it from a recurrent network of one
            direction.
        sharpness: λ of the softmax over regions by which phrases are grounded; the score does not depend on it.
        measure: `cosine`; `dot`, the vector of the image being the mean of its regions, not scaled to unit length (VSE0
            without normalized images); or `order`, `-√Σ max(0, caption - image)²` of the absolute values of unit
            vectors (order embeddings, Vendrov et al., ICLR 2016).

    Raises:
        ValueError: an unknown way of pooling or measure.
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
        measure: Measure = "cosine",
    ) -> None:
        super().__init__()
        if measure not in get_args(Measure):
            raise ValueError(f"measure is one of {get_args(Measure)}, not {measure!r}.")
        if text_pooling not in get_args(TextPooling):
            raise ValueError(f"text_pooling is one of {get_args(TextPooling)}, not {text_pooling!r}.")
        self.region_map = xavier_linear(region_width, joint_width)
        self.word_map = xavier_linear(word_width, joint_width)
        self.text_pooling = text_pooling
        self.measure = measure
        self.reading = AttentionScorer(sharpness=sharpness, slope=1, normalized_over="none")

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Two tensors: unit vectors of the regions `[B, R, D]`, and one vector of the whole image `[B, 1, D]`."""
        mapped_BRD = self.region_map(inputs_BRV).masked_fill(~mask_BR[..., None], 0)
        sum_B1D = mapped_BRD.sum(dim=1, keepdim=True)  # points where the mean does
        if self.measure == "dot":
            image_B1D = sum_B1D / mask_BR.sum(dim=1)[:, None, None].clamp(min=1)
        else:
            image_B1D = self._whole(sum_B1D)
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
        return QueryEmbeddings((l2_normalize(mapped_CQD), self._whole(caption_C1D)), mask_CQ)

    def _whole(self, vectors: torch.Tensor) -> torch.Tensor:
        """Unit vectors; for the order, of entries >= 0."""
        unit = l2_normalize(vectors)
        return unit.abs() if self.measure == "order" else unit

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scores in [-1, 1], of `dot` unbounded.

        The similarity is `sharpness` times the cosine of query and region, plus the prior.
        """
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
            score_BC=self._scores(regions, queries, paired),
        )

    def fast_scores(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, budget_bytes: int
    ) -> torch.Tensor | None:
        """The measure of whole images and captions."""
        return self._scores(regions, queries, paired=False)

    def _scores(self, regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool) -> torch.Tensor:
        """Scores `[B, C]` of whole images and whole captions, or `[1, C]` of each caption and the image of its row."""
        image_B1D, caption_C1D = regions.tensors[1], queries.tensors[1]
        if self.measure == "order":
            others = caption_C1D if paired else caption_C1D.transpose(0, 1)
            square = (others - image_B1D).clamp(min=0).square().sum(dim=2)
            # The root has no finite gradient at 0, where the caption is wholly below the image.
            score = -square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()
        elif paired:
            score = (image_B1D * caption_C1D).sum(dim=2)
        else:
            score = image_B1D[:, 0] @ caption_C1D[:, 0].T
        return score.T if paired else score
