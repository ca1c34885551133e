"""The spine as a module: encoders, a recipe's attention and objective, and what combines with every recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from unboxed.attention.base import Aligner, Alignment, RegionEmbeddings
from unboxed.attention.pooling import mean_weights
from unboxed.attention.standardize import Standardize
from unboxed.data.collate import GEOMETRY_WIDTH
from unboxed.objectives.distillation import distillation
from unboxed.objectives.infonce import negative_word_infonce
from unboxed.objectives.intra_caption import intra_caption_contrast
from unboxed.priors.semantic import scores
from unboxed.recipes.pairs import Pairs, Queries, TrainingStep
from unboxed.text.encoders.frozen import FrozenEncoder
from unboxed.text.encoders.pretrained import PretrainedEncoder
from unboxed.text.encoders.recurrent import RecurrentEncoder
from unboxed.text.vocabulary import Vocabulary
from unboxed.types import Batch

if TYPE_CHECKING:
    from unboxed.recipes.config import RecipeConfig, Units
    from unboxed.text.encoders.frozen import FrozenEncoder

__all__ = ["MatchingModel"]


class MatchingModel(nn.Module):
    """What a recipe builds. All recipes share this class; they differ in `choices.aligner` and `choices.objective`."""

    text: RecurrentEncoder | FrozenEncoder

    def __init__(self, options: RecipeConfig, vocabulary: Vocabulary, region_width: int, encoder: str) -> None:
        super().__init__()
        self.options = options
        self.standardise = Standardize(region_width)
        self.region_dropout = nn.Dropout(options.dropout)
        if encoder == "gru":
            self.text = RecurrentEncoder(
                len(vocabulary), options.embedding_width, options.hidden_width, options.dropout
            )
        else:
            self.text = FrozenEncoder(PretrainedEncoder.load(encoder), vocabulary)
        self.region_layer = nn.Linear(region_width, options.region_hidden) if options.region_hidden else None
        self.aligner: Aligner = options.aligner(options.region_hidden or region_width, self.text.output_width)

    def encode_regions(self, batch: Batch) -> RegionEmbeddings:
        """The regions of the B images, encoded once for all captions; codes that the batch has are taken."""
        if batch.codes is not None:
            codes: RegionEmbeddings = batch.codes
            return codes
        inputs_BRV = self.region_dropout(self.standardise(batch.features_BRV, batch.region_mask_BR))
        if self.region_layer is not None:
            inputs_BRV = self.region_layer(inputs_BRV).relu() * batch.region_mask_BR[..., None]
        return self.aligner.embed_regions(inputs_BRV, _edges(batch), batch.region_mask_BR)

    def encode_words(self, batch: Batch) -> torch.Tensor:
        """Contextual words `[C, W, H]`."""
        words_CWH: torch.Tensor = self.text(batch.tokens_CW, batch.word_mask_CW, batch.words_C)
        return words_CWH

    def queries(self, batch: Batch, words_CWH: torch.Tensor, units: Units) -> Queries:
        """What of the captions looks for regions."""
        if units == "words":
            return Queries(words_CWH, batch.word_mask_CW, batch.phrase_CPW)
        if units == "content":
            return _packed(words_CWH, batch.content_CW, batch.phrase_CPW)
        mask_CP = batch.phrase_CPW.any(dim=-1)
        itself_CPP = torch.eye(mask_CP.shape[1], dtype=torch.bool, device=mask_CP.device) & mask_CP[:, None]
        return Queries(mean_weights(batch.phrase_CPW, words_CWH.dtype) @ words_CWH, mask_CP, itself_CPP)

    def pairs(self, batch: Batch, training_step: TrainingStep, words_CWH: torch.Tensor) -> Pairs:
        """Every caption against every image of the batch."""
        regions, prior_BCPR = self.encode_regions(batch), _prior(batch)
        queries = self.queries(batch, words_CWH, self.options.units)
        codes = self.aligner.embed_queries(queries.states_CQH, queries.mask_CQ)
        prior_BCQR = prior_BCPR if self.options.units == "phrases" else None  # the prior knows of phrases alone
        return Pairs(batch, queries, regions, codes, self.aligner, training_step, prior_BCPR, prior_BCQR)

    def score(self, batch: Batch) -> torch.Tensor:
        """How well each image and caption fit, `[B, C]`."""
        return self.pairs(batch, TrainingStep(0, 1), self.encode_words(batch)).score_BC

    def loss(self, batch: Batch, training_step: TrainingStep) -> dict[str, torch.Tensor]:
        """The total under `loss`, and its parts, weighted, by name."""
        options = self.options
        words_CWH = self.encode_words(batch)
        pairs = self.pairs(batch, training_step, words_CWH)
        teaching = options.distillation
        parts = dict(options.objective(pairs))
        if batch.substitutes_CN.shape[1] and options.negative_weight:
            parts["negatives"] = options.negative_weight * self._negative_words(batch, words_CWH, pairs.regions)
        if teaching.distillation:
            parts["distillation"] = teaching.weight_at(training_step.step) * distillation(
                pairs.paired_logit_CPR,
                pairs.paired_prior_CPR,
                pairs.phrase_mask_CP,
                pairs.paired_mask_CR,
                _edges(batch)[batch.image_of_C],
                temperature=teaching.teacher_temperature,
                neighbours=teaching.neighbours,
            )
        if options.intra_caption:
            parts["intra_caption"] = options.intra_caption * intra_caption_contrast(
                pairs.paired_logit_CPR.masked_fill(~pairs.paired_mask_CR[:, None], 0),
                pairs.posterior_CPR(options.ranking.prior_weight),
                pairs.phrase_mask_CP,
            )
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _negative_words(self, batch: Batch, words_CWH: torch.Tensor, regions: RegionEmbeddings) -> torch.Tensor:
        """The true word, in the true caption, against its substitutes, each in its own false caption."""
        has = batch.slot_C >= 0
        slot_C = batch.slot_C[has]
        own_C1H = words_CWH[has][torch.arange(len(slot_C), device=slot_C.device), slot_C][:, None]
        texts = [words for words, present in zip(batch.words_C, has.tolist(), strict=True) if present]
        others_CNH = self.text.substitute(
            words_CWH[has], batch.word_mask_CW[has], slot_C, batch.substitutes_CN[has], texts
        )
        candidates_CNH = torch.cat([own_C1H, others_CNH], dim=1)
        mask_CN = nn.functional.pad(batch.substitutes_CN[has] > 0, (1, 0), value=True)
        codes = self.aligner.embed_queries(candidates_CNH, mask_CN)
        alignment = self.aligner.align(regions.of(batch.image_of_C[has]), codes, paired=True)
        return negative_word_infonce(alignment.matched_BCQ[0], mask_CN)

    def read(self, batch: Batch) -> tuple[Alignment, torch.Tensor, torch.Tensor | None]:
        """What grounding reads: each caption with its own image.

        Returns:
            The alignment of the recipe's units with the images' regions, its axes `[1, C, …]` (content words are read
            as all words), the attention of the words `[C, W, R]`, and the untrained scores of the phrases `[C, P, R]`
            where there are any.
        """
        words_CWH = self.encode_words(batch)
        regions = self.encode_regions(batch).of(batch.image_of_C)
        prior_1CPR = None
        if batch.affinity_CPK.shape[-1]:
            prior_1CPR = scores(batch.affinity_CPK, batch.evidence_BRK[batch.image_of_C])[None]

        def alignment(units: Units) -> Alignment:
            queries = self.queries(batch, words_CWH, units)
            codes = self.aligner.embed_queries(queries.states_CQH, queries.mask_CQ)
            prior_1CQR = prior_1CPR if units == "phrases" else None
            return self.aligner.align(regions, codes, paired=True, prior_BCQR=prior_1CQR)

        of_words = alignment("words")
        of_units = alignment("phrases") if self.options.units == "phrases" else of_words
        return of_units, of_words.attention_BCQR[0], None if prior_1CPR is None else prior_1CPR[0]


def _prior(batch: Batch) -> torch.Tensor | None:
    """The untrained scores `[B, C, P, R]` of every phrase in every image, where the batch has a prior."""
    if not batch.affinity_CPK.shape[-1]:
        return None

    prior_BCPR: torch.Tensor = scores(batch.affinity_CPK[None], batch.evidence_BRK[:, None])
    return prior_BCPR


def _edges(batch: Batch) -> torch.Tensor:
    """The boxes `[B, R, 4]` as shares of their photographs' sizes."""
    return batch.features_BRV[..., -GEOMETRY_WIDTH : 4 - GEOMETRY_WIDTH]


def _packed(words_CWH: torch.Tensor, mask_CW: torch.Tensor, phrase_CPW: torch.Tensor) -> Queries:
    """Only the words of the mask, moved together, so that the others cost nothing."""
    count = int(mask_CW.sum(dim=1).max())
    order_CQ = (~mask_CW).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
    states_CQH = words_CWH.gather(1, order_CQ[..., None].expand(-1, -1, words_CWH.shape[-1]))
    packed_mask_CQ = mask_CW.gather(1, order_CQ)
    phrase_CPQ = phrase_CPW.gather(2, order_CQ[:, None].expand(-1, phrase_CPW.shape[1], -1)) & packed_mask_CQ[:, None]
    return Queries(states_CQH, packed_mask_CQ, phrase_CPQ)
