"""The parts that InfoGround puts together, and its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from unboxed.alignment.key_value import Alignment, KeyValueAttention
from unboxed.alignment.standardise import Standardise
from unboxed.data.batching import AREA_COLUMN, GEOMETRY_WIDTH
from unboxed.objectives.infonce import negative_word_infonce, word_image_infonce
from unboxed.recipes.infoground import InfoGround
from unboxed.text.recurrent import RecurrentEncoder
from unboxed.text.vocabulary import Vocabulary
from unboxed.types import Batch

if TYPE_CHECKING:
    from unboxed.text.frozen import FrozenEncoder

__all__ = ["InfoGroundModel"]


class InfoGroundModel(nn.Module):
    """The parts of InfoGround and its loss."""

    text: RecurrentEncoder | FrozenEncoder

    def __init__(
        self, choices: InfoGround, vocabulary: Vocabulary, region_width: int, class_count: int, encoder: str
    ) -> None:
        super().__init__()
        self.choices = choices
        self.class_count = class_count
        self.standardise = Standardise(region_width)
        self.region_dropout = nn.Dropout(choices.dropout)
        if encoder == "gru":
            self.text = RecurrentEncoder(
                len(vocabulary), choices.embedding_width, choices.hidden_width, choices.dropout
            )
        else:
            from unboxed.text.frozen import FrozenEncoder
            from unboxed.text.pretrained import PretrainedEncoder

            self.text = FrozenEncoder(PretrainedEncoder.load(encoder), vocabulary)
        self.attention = KeyValueAttention(region_width, self.text.output_width, choices.joint_width, choices.layers)

    def align(self, batch: Batch) -> Alignment:
        """Every word of every caption against every region of every image of the batch."""
        words_CWH = self.text(batch.tokens_CW, batch.word_mask_CW, batch.words_C)
        words = self.attention.words(words_CWH, batch.word_mask_CW)
        return self.attention.align(self._regions(batch), batch.region_mask_BR, words, self._prior(batch))

    def score(self, batch: Batch) -> torch.Tensor:
        """How well each image and caption fit, `[B, C]`: the mean evidence of the caption's nouns and adjectives."""
        weight_CW = batch.content_CW / batch.content_CW.sum(dim=1, keepdim=True)
        return (self.align(batch).evidence_BCW * weight_CW).sum(dim=-1)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The total under `loss`, and its parts by name."""
        words_CWH = self.text(batch.tokens_CW, batch.word_mask_CW, batch.words_C)
        regions = self._regions(batch)
        # Only words that are contrasted are aligned, all captions' in one row, so that no padding is computed.
        content_1NH = words_CWH[batch.content_CW][None]
        words = self.attention.words(content_1NH, torch.ones_like(content_1NH[..., 0], dtype=torch.bool))
        prior_BR = self._prior(batch)
        evidence_BN = self.attention.align(regions, batch.region_mask_BR, words, prior_BR).evidence_BCW[:, 0]
        evidence_BCW = evidence_BN.new_zeros(len(batch.features_BRV), *batch.content_CW.shape)
        evidence_BCW[:, batch.content_CW] = evidence_BN
        parts = {"word_image": word_image_infonce(evidence_BCW, batch.content_CW, batch.image_of_C)}
        total = parts["word_image"]
        if batch.substitutes_CN.shape[1]:
            parts["negatives"] = self._negative_words(batch, words_CWH, regions, prior_BR)
            total = total + self.choices.negative_weight * parts["negatives"]
        return {"loss": total, **parts}

    def _negative_words(
        self,
        batch: Batch,
        words_CWH: torch.Tensor,
        regions: tuple[torch.Tensor, torch.Tensor],
        prior_BR: torch.Tensor | None,
    ) -> torch.Tensor:
        """The true word, in the true caption, against its substitutes, each in its own false caption."""
        has = batch.slot_C >= 0
        slot_C, image_of_C = batch.slot_C[has], batch.image_of_C[has]
        own_C1H = words_CWH[has][torch.arange(len(slot_C)), slot_C][:, None]
        texts = [words for words, present in zip(batch.words_C, has.tolist(), strict=True) if present]
        others_CNH = self.text.substitute(
            words_CWH[has], batch.word_mask_CW[has], slot_C, batch.substitutes_CN[has], texts
        )
        candidates_CNH = torch.cat([own_C1H, others_CNH], dim=1)
        mask_CN = nn.functional.pad(batch.substitutes_CN[has] > 0, (1, 0), value=True)
        words = self.attention.words(candidates_CNH, mask_CN)
        keys_BRD, values_BRD = regions
        own = (keys_BRD[image_of_C], values_BRD[image_of_C])
        prior_CR = None if prior_BR is None else prior_BR[image_of_C]
        evidence_1CN = self.attention.align_own(own, batch.region_mask_BR[image_of_C], words, prior_CR).evidence_BCW
        return negative_word_infonce(evidence_1CN[0], mask_CN)

    def _prior(self, batch: Batch) -> torch.Tensor | None:
        """What speaks for a region before any word is read, `[B, R]`: logarithms of its size and surest class."""
        weights = self.choices
        if not (weights.prior_area or (weights.prior_confidence and self.class_count)):
            return None
        prior_BR = weights.prior_area * (batch.features_BRV[..., AREA_COLUMN] + 1e-3).log()
        if weights.prior_confidence and self.class_count:
            roots_BRK = batch.features_BRV[..., -GEOMETRY_WIDTH - self.class_count : -GEOMETRY_WIDTH]
            prior_BR = prior_BR + weights.prior_confidence * roots_BRK.amax(dim=-1).square().clamp(min=0.01).log()
        return prior_BR

    def _regions(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        inputs_BRV = self.region_dropout(self.standardise(batch.features_BRV, batch.region_mask_BR))
        return self.attention.regions(inputs_BRV, batch.region_mask_BR)
