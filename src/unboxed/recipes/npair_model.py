"""N-pair training in which each word of a batch is looked for once, however many captions say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from unboxed.objectives.npair import npair_loss
from unboxed.objectives.word_npair import word_npair
from unboxed.recipes.model import MatchingModel
from unboxed.text.encoders.recurrent import RecurrentEncoder

if TYPE_CHECKING:
    from unboxed.recipes.npair import NPair
    from unboxed.recipes.pairs import TrainingStep
    from unboxed.types import Batch

__all__ = ["WordMapModel"]


class WordMapModel(MatchingModel):
    """The same model, scores and loss as `MatchingModel`, for words that are read without their context.

    A word without context has one map in each image. The maps of a batch's distinct nouns and adjectives are a
    tenth of those of all captions, and the caption scores are means of their evidence: one matrix product more.
    """

    def loss(self, batch: Batch, training_step: TrainingStep) -> dict[str, torch.Tensor]:
        """The total under `loss`, and its parts, weighted, by name."""
        options = cast("NPair", self.options)
        if not options.shares_maps:
            return super().loss(batch, training_step)
        tokens_U, place_N = torch.unique(batch.tokens_CW[batch.content_CW], return_inverse=True)
        text = cast(RecurrentEncoder, self.text)
        states_1UH = text.dropout(text.embedding(tokens_U))[None]
        queries = self.aligner.embed_queries(states_1UH, torch.ones_like(states_1UH[..., 0], dtype=torch.bool))
        evidence_BU = self.aligner.align(self.encode_regions(batch), queries).matched_BCQ[:, 0]

        caption_N = torch.nonzero(batch.content_CW)[:, 0]
        count_CU = evidence_BU.new_zeros(len(batch.tokens_CW), len(tokens_U))
        count_CU.index_put_((caption_N, place_N), evidence_BU.new_ones(()), accumulate=True)
        score_BC = evidence_BU @ (count_CU / count_CU.sum(dim=1, keepdim=True)).T
        said_BU = torch.zeros_like(evidence_BU, dtype=torch.bool)
        said_BU[batch.image_of_C[caption_N], place_N] = True
        parts = {"npair": npair_loss(score_BC, batch.image_of_C)}
        if options.words_weight:
            parts["words"] = options.words_weight * word_npair(evidence_BU, said_BU)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}
