"""VSE0 and VSE++ on regions (Faghri et al., BMVC 2018): one vector for the image and one for the caption.

A baseline without attention: an image is represented by the mean of its regions, and the score does not depend on
single regions. Words and regions share one space, so phrases can be grounded by the cosines of their words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings, pair_mask
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import pair_cosines, query_map, xavier_linear
from unboxed.runtime.counts import require_literal

__all__ = ["Measure", "PooledEmbedding", "PoolingSettings", "TextPooling"]

Measure = Literal["cosine", "order"]
TextPooling = Literal["mean", "last"]


@dataclass(frozen=True)
class PoolingSettings:
    """How images and captions become vectors, and how these are compared.

    Attributes:
        text_pooling: the vector of a caption: the `mean` of the words, or the `last` one, as VSE++ takes it from a
            recurrent network of one direction.
        measure: `cosine`, the product of the two vectors; or `order`, `-√Σ max(0, caption - image)²` (order embeddings,
            Vendrov et al., ICLR 2016).
        unit_images: the vector of an image has unit length; VSE0's has not (`no_imgnorm`), and is the mean of the
            mapped regions. That of a caption always has.
        absolute: take the absolute values of both vectors (`use_abs`, of order embeddings).
        sharpness: λ of the softmax over regions by which phrases are grounded; the score does not depend on it.

    Raises:
        ValueError: an unknown way of pooling or measure.
    """

    text_pooling: TextPooling = "mean"
    measure: Measure = "cosine"
    unit_images: bool = True
    absolute: bool = False
    sharpness: float = 9.0

    def __post_init__(self) -> None:
        require_literal("measure", self.measure, Measure)
        require_literal("text_pooling", self.text_pooling, TextPooling)


class PooledEmbedding(Aligner):
    """One vector for the image, from the mean of its regions, and one for the caption, from its words.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word; None: H is D, and words are not mapped (VSE++).
        joint_width: width D of the joint space (the paper: 1024).
        settings: pooling and measure; by default the cosine of two means.
    """

    exports_to_onnx = True
    uses_prior = True

    def __init__(
        self,
        region_width: int,
        word_width: int | None,
        joint_width: int = 1024,
        settings: PoolingSettings | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings if settings is not None else PoolingSettings()
        self.region_map = xavier_linear(region_width, joint_width)
        self.word_map = query_map(word_width, joint_width)
        self.reading = AttentionScorer(sharpness=self.settings.sharpness, norm="no_norm")

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Two tensors: unit vectors of the regions `[B, R, D]`, and one vector of the whole image `[B, 1, D]`."""
        mapped_BRD = self.region_map(inputs_BRV).masked_fill(~mask_BR[..., None], 0)
        image_B1D = mapped_BRD.sum(dim=1, keepdim=True)  # points where the mean does
        if self.settings.unit_images:
            image_B1D = l2_normalize(image_B1D)
        else:
            image_B1D = image_B1D / mask_BR.sum(dim=1)[:, None, None].clamp(min=1)
        image_B1D = image_B1D.abs() if self.settings.absolute else image_B1D
        return RegionEmbeddings((l2_normalize(mapped_BRD), image_B1D), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Two tensors: unit vectors of the queries `[C, Q, D]`, and one of the whole caption `[C, 1, D]`."""
        mapped_CQD = self.word_map(states_CQH).masked_fill(~mask_CQ[..., None], 0)
        if self.settings.text_pooling == "mean":
            caption_C1D = mapped_CQD.sum(dim=1, keepdim=True)
        else:
            place_Q = torch.arange(1, mask_CQ.shape[1] + 1, device=mask_CQ.device)
            last_C = (mask_CQ * place_Q).argmax(dim=1)
            caption_C1D = mapped_CQD[torch.arange(len(last_C), device=last_C.device), last_C][:, None]
        caption_C1D = l2_normalize(caption_C1D)
        caption_C1D = caption_C1D.abs() if self.settings.absolute else caption_C1D
        return QueryEmbeddings((l2_normalize(mapped_CQD), caption_C1D), mask_CQ)

    def cosines(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The cosines of single regions and queries."""
        pairs = pair_cosines(regions, queries, paired)
        return pairs.to_BCQR(pairs.cosine_BRQC), pair_mask(regions.mask_BR, paired)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scores in [-1, 1]; without `unit_images` unbounded.

        The similarity is `sharpness` times the cosine of query and region, plus the prior.
        """
        cosine_BCQR, mask_BCQR = self.cosines(regions, queries, paired)
        similarity_BCQR = self.reading.logits(cosine_BCQR, query_dim=2)
        if prior_BCQR is not None:
            similarity_BCQR = similarity_BCQR + prior_BCQR
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
        if self.settings.measure == "order":
            others = caption_C1D if paired else caption_C1D.transpose(0, 1)
            square = (others - image_B1D).clamp(min=0).square().sum(dim=2)
            # The root has no finite gradient at 0, where the caption is wholly below the image.
            score = -square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()
        elif paired:
            score = (image_B1D * caption_C1D).sum(dim=2)
        else:
            score = image_B1D[:, 0] @ caption_C1D[:, 0].T
        return score.T if paired else score
