"""The model of the N-pair recipe: each distinct word of a batch is matched once, for all captions that contain it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from unboxed.attention.base import QueryEmbeddings
from unboxed.attention.chunks import in_chunks
from unboxed.objectives.contrastive import word_npair
from unboxed.recipes.model import MatchingModel
from unboxed.runtime.ranks import gather_results
from unboxed.text.recurrent import RecurrentEncoder

if TYPE_CHECKING:
    from unboxed.recipes.npair import NPair
    from unboxed.recipes.pairs import TrainingStep
    from unboxed.types import PairedBatch

__all__ = ["WordMapModel"]


class WordMapModel(MatchingModel):
    """The model, scores and losses of `MatchingModel`, computed faster for words without context.

    A word without context has one map in each image. A batch has about a tenth as many distinct nouns and adjectives as
    words, and the score of a caption is the mean over its words: one more matrix product.
    """

    def loss(self, batch: PairedBatch, training_step: TrainingStep) -> dict[str, torch.Tensor]:
        """The total under `loss`, and its parts, weighted, by name."""
        return self.loss_and_scores(batch, training_step)[0]

    def loss_and_scores(
        self, batch: PairedBatch, training_step: TrainingStep
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The result of `loss`, and the scores `[B, C]` of all pairs; the batch is encoded once."""
        options, captions, image_of_C = cast("NPair", self.options), batch.captions, batch.image_of_C
        if not options.shares_maps:
            return super().loss_and_scores(batch, training_step)
        tokens_U, place_N = torch.unique(captions.tokens_CW[captions.content_CW], return_inverse=True)
        text = cast(RecurrentEncoder, self.text)
        states_1UH = text.dropout(text.embedding(tokens_U))[None]
        words = self.aligner.embed_queries(states_1UH, torch.ones_like(states_1UH[..., 0], dtype=torch.bool))
        chunk = training_step.chunk if torch.is_grad_enabled() else 0
        regions = self.images_in_chunks(batch.images, chunk).regions

        def matched(rows: slice) -> tuple[torch.Tensor]:
            part = QueryEmbeddings(tuple(tensor[:, rows] for tensor in words.tensors), words.mask_CQ[:, rows])
            return (self.aligner.align(regions, part).matched_BCQ[:, 0],)

        count = len(tokens_U)
        (matched_BU,) = in_chunks(matched, count, chunk) if chunk else matched(slice(count))
        if batch.own_C is not None:  # images stay, and every process has the words of all captions
            matched_BU = gather_results(matched_BU)

        caption_N = torch.nonzero(captions.content_CW)[:, 0]
        count_CU = matched_BU.new_zeros(len(captions), len(tokens_U))
        count_CU.index_put_((caption_N, place_N), matched_BU.new_ones(()), accumulate=True)
        score_BC = matched_BU @ (count_CU / count_CU.sum(dim=1, keepdim=True)).T
        mentioned_BU = torch.zeros_like(matched_BU, dtype=torch.bool)
        mentioned_BU[image_of_C[caption_N], place_N] = True
        parts = options.pair_loss(score_BC, image_of_C)
        if options.words_weight:
            parts["words"] = options.words_weight * word_npair(matched_BU, mentioned_BU)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}, score_BC
