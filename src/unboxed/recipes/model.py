"""The model of every recipe: text encoder, region inputs, the recipe's attention and objective, and shared losses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn

from unboxed.attention.base import Aligner, Alignment, RegionEmbeddings
from unboxed.attention.chunks import in_chunks, rows_in_chunks
from unboxed.attention.normalize import Standardize
from unboxed.errors import RunError
from unboxed.objectives.contrastive import intra_caption_contrast, negative_word_infonce
from unboxed.objectives.corrections import right_regions
from unboxed.objectives.distill import distillation
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings, align, caption_prior, phrase_prior, score
from unboxed.recipes.global_pairs import GlobalPairs, images_of_all
from unboxed.recipes.pairs import Pairs, TrainingStep
from unboxed.runtime.dropout import Dropout
from unboxed.runtime.ranks import gather_inputs
from unboxed.text.pretrained import FrozenEncoder, PretrainedEncoder
from unboxed.text.recurrent import RecurrentEncoder, pooled
from unboxed.text.tokens import Vocabulary
from unboxed.types import CaptionBatch, ImageBatch, PairedBatch, Units

if TYPE_CHECKING:
    from unboxed.recipes.config import RecipeConfig

__all__ = ["MatchingModel", "PhraseAttention"]


class PhraseAttention(NamedTuple):
    """The attention from which boxes are selected for the phrases of C captions.

    Attributes:
        alignment: of the recipe's queries with each caption's image, axes `[1, C, ...]`; recipes that train with
            content words are read with all words.
        attention_CWR: the attention of every word.
        prior_CPR: the semantic prior of every phrase, or None without a prior.
    """

    alignment: Alignment
    attention_CWR: torch.Tensor
    prior_CPR: torch.Tensor | None

    def to(self, device: torch.device | str) -> PhraseAttention:
        """The same attention on `device`."""
        prior_CPR = None if self.prior_CPR is None else self.prior_CPR.to(device)
        return PhraseAttention(self.alignment.to(device), self.attention_CWR.to(device), prior_CPR)


class MatchingModel(nn.Module):
    """The model of every recipe, which supplies its attention (`options.aligner`) and loss (`options.objective`).

    Batches and embeddings on another device are moved to that of the model, and results stay there.
    """

    text: RecurrentEncoder | FrozenEncoder
    prior_share = 0.0  # of `caption_prior` in the score; `RunConfig.prior_share`

    def __init__(self, options: RecipeConfig, vocabulary: Vocabulary, region_width: int, encoder: str) -> None:
        super().__init__()
        self.options = options
        self.standardise = Standardize(region_width)  # spelled as in the state dicts of saved runs
        if options.region_inputs == "features":
            self.standardise.limit = float("inf")  # features are used as they are: the scale is not measured either
        self.region_dropout = Dropout(options.dropout)
        if encoder == "gru":
            self.text = RecurrentEncoder(
                len(vocabulary), options.embedding_width, options.hidden_width, options.dropout, options.text_encoder
            )
        else:
            self.text = FrozenEncoder(PretrainedEncoder.load(encoder), vocabulary)
        self.region_layer = nn.Linear(region_width, options.region_hidden) if options.region_hidden else None
        self.aligner: Aligner = options.aligner(options.region_hidden or region_width, self.text.output_width)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.standardise.mean.device

    def encode_images(self, images: ImageBatch) -> ImageEmbeddings:
        """Encode B images, once for all captions that they are compared with."""
        images = images.to(self.device)
        inputs_BRV = self.region_dropout(self.standardise(images.inputs_BRV, images.mask_BR))
        if self.region_layer is not None:
            inputs_BRV = self.region_layer(inputs_BRV).relu() * images.mask_BR[..., None]
        if images.label_BR is not None:
            labels_BRE = cast(RecurrentEncoder, self.text).embedding(images.label_BR)
            inputs_BRV = torch.cat([inputs_BRV, labels_BRE], dim=2)
        places = images.edges_BR4 if images.blocks_BRM is None else images.blocks_BRM
        return ImageEmbeddings(self.aligner.embed_regions(inputs_BRV, places, images.mask_BR), images.class_score_BRE)

    def encode_words(self, captions: CaptionBatch) -> torch.Tensor:
        """The states `[C, W, H]` of the captions' words, each read in its caption."""
        words_CWH: torch.Tensor = self.text(captions.tokens_CW, captions.mask_CW, captions.words_C)
        return words_CWH

    def encode_captions(
        self, captions: CaptionBatch, words_CWH: torch.Tensor | None = None, units: Units | None = None
    ) -> CaptionEmbeddings:
        """Encode C captions, once for all images that they are compared with.

        Args:
            captions: the captions.
            words_CWH: the result of `encode_words` for them, if it is computed already.
            units: which queries; None: those of the recipe.
        """
        captions = captions.to(self.device)
        units = self.options.units if units is None else units
        if words_CWH is None and not (units == "phrases" and self._reads_phrases):
            words_CWH = self.encode_words(captions)
        states_CQH, mask_CQ, phrase_CPQ = self._queries(captions, words_CWH, units)
        return CaptionEmbeddings(
            self.aligner.embed_queries(states_CQH, mask_CQ), phrase_CPQ, captions.affinity_CPE, units
        )

    @property
    def _reads_phrases(self) -> bool:
        """Whether each phrase is read alone, so that the states of the captions' words are not needed for phrases."""
        return self.options.text_encoder.phrase_reads == "phrase"

    def _queries(
        self, captions: CaptionBatch, words_CWH: torch.Tensor | None, units: Units
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The states `[C, Q, H]` of the captions' queries, their mask `[C, Q]`, and their phrases `[C, P, Q]`."""
        if units == "phrases":
            mask_CP = captions.phrase_CPW.any(dim=-1)
            itself_CPP = torch.eye(mask_CP.shape[1], dtype=torch.bool, device=mask_CP.device) & mask_CP[:, None]
            if self._reads_phrases:
                text = cast(RecurrentEncoder, self.text)
                return text.read_phrases(captions.tokens_CW, captions.phrase_CPW), mask_CP, itself_CPP
            assert words_CWH is not None
            pooling = self.options.text_encoder.phrase_pooling
            return pooled(words_CWH, captions.phrase_CPW, pooling), mask_CP, itself_CPP
        assert words_CWH is not None
        if units == "words":
            return words_CWH, captions.mask_CW, captions.phrase_CPW
        return _packed(words_CWH, captions.content_CW, captions.phrase_CPW, self.options.query_slots)

    def align(self, images: ImageEmbeddings, captions: CaptionEmbeddings, *, paired: bool = False) -> Alignment:
        """Every caption aligned with every image; with `paired`, each with the image of its row.

        Args:
            images: B images; with `paired`, C of them, row by row with the captions (`ImageEmbeddings.of`).
            captions: C captions.
            paired: the result's axes are then `[1, C, Q, R]`.
        """
        return align(self.aligner, images.to(self.device), captions.to(self.device), paired=paired)

    def score(
        self, images: ImageEmbeddings, captions: CaptionEmbeddings, *, budget_bytes: int | None = None
    ) -> torch.Tensor:
        """How well each image and caption match, `[B, C]`; see `embeddings.score`."""
        images, captions = images.to(self.device), captions.to(self.device)
        score_BC = self._trained_score(images, captions, budget_bytes)
        if not self.prior_share:
            return score_BC
        return score_BC + self.prior_share * caption_prior(images, captions, budget_bytes=budget_bytes)

    def _trained_score(
        self, images: ImageEmbeddings, captions: CaptionEmbeddings, budget_bytes: int | None
    ) -> torch.Tensor:
        return score(self.aligner, images, captions, budget_bytes=budget_bytes)

    def pairs(self, batch: PairedBatch, training_step: TrainingStep) -> Pairs:
        """Every caption of the batch with every image of the batch."""
        own = batch if batch.own_C is None else batch.own()
        own = replace(own, captions=self._contrasted(own.captions))
        skipped = self.options.units == "phrases" and self._reads_phrases and not own.captions.substitutes_CN.numel()
        chunk = training_step.chunk if torch.is_grad_enabled() else 0
        words_CWH = None if skipped else self._words_in_chunks(own.captions, chunk)
        images = self.images_in_chunks(own.images, chunk)
        captions = self.encode_captions(own.captions, words_CWH)
        fixed_NE = self.text.fixed_vectors if isinstance(self.text, RecurrentEncoder) else None
        if batch.own_C is None:
            return Pairs(batch, images, captions, words_CWH, self.aligner, training_step, fixed_NE)
        images = images_of_all(images)
        places = replace(own.images, edges_BR4=gather_inputs(own.images.edges_BR4), mask_BR=images.regions.mask_BR)
        values = (images, captions, words_CWH, self.aligner, training_step, fixed_NE)
        return GlobalPairs(batch, *values, own=Pairs(replace(own, images=places), *values))

    def _contrasted(self, captions: CaptionBatch) -> CaptionBatch:
        """The captions of a batch without the phrases that take no part in a loss.

        Where a phrase is the maximum over its known words (CKD), these are the phrases without any.
        """
        reading = self.options.text_encoder
        if self.options.units != "phrases" or (reading.phrase_reads, reading.phrase_pooling) != ("phrase", "max"):
            return captions
        captions = captions.to(self.device)
        known_CW = cast(RecurrentEncoder, self.text).knows(captions.tokens_CW)
        some_CP = (captions.phrase_CPW & known_CW[:, None]).any(dim=-1)
        return replace(captions, phrase_CPW=captions.phrase_CPW & some_CP[..., None])

    def _words_in_chunks(self, captions: CaptionBatch, chunk: int) -> torch.Tensor:
        """`encode_words`, in memory for `chunk` captions at a time; 0: for all."""
        if not 0 < chunk < len(captions):
            return self.encode_words(captions)
        return in_chunks(lambda rows: (self.encode_words(captions.rows(rows)),), len(captions), chunk, dim=0)[0]

    def images_in_chunks(self, images: ImageBatch, chunk: int) -> ImageEmbeddings:
        """`encode_images`, in memory for `chunk` images at a time; 0: for all."""
        if not 0 < chunk < len(images):
            return self.encode_images(images)

        def encoded(rows: slice) -> tuple[torch.Tensor, ...]:
            found = self.encode_images(images.rows(rows))
            return found.class_score_BRE, found.regions.mask_BR, *found.regions.tensors

        class_score_BRE, mask_BR, *tensors = rows_in_chunks(self, encoded, len(images), chunk, self.device)
        return ImageEmbeddings(RegionEmbeddings(tuple(tensors), mask_BR), class_score_BRE)

    def loss(self, batch: PairedBatch, training_step: TrainingStep) -> dict[str, torch.Tensor]:
        """The total under `loss`, and its parts, weighted, by name.

        Raises:
            RunError: the options give no loss a weight.
        """
        return self._losses(self.pairs(batch, training_step))

    def loss_and_scores(
        self, batch: PairedBatch, training_step: TrainingStep
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The result of `loss`, and the scores `[B, C]` of all pairs; the batch is encoded once."""
        pairs = self.pairs(batch, training_step)
        return self._losses(pairs), pairs.score_BC

    def _losses(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        options, batch = self.options, pairs.batch
        teaching = options.distillation
        parts = dict(options.objective(pairs))
        if batch.captions.substitutes_CN.shape[1] and options.negative_weight:
            parts["negatives"] = options.negative_weight * self._negative_words(pairs)
        teacher_CPR = pairs.paired_prior_CPR if teaching.from_prior else batch.teacher_CPR
        if teacher_CPR is not None:
            parts["distillation"] = teaching.weight_at(pairs.training_step.step) * distillation(
                pairs.paired_cosine_CPR if teaching.student == "cosine" else pairs.paired_logit_CPR,
                teacher_CPR,
                pairs.phrase_mask_CP,
                pairs.paired_mask_CR,
                pairs.paired_edges_CR4,
                temperature=teaching.teacher_temperature if teaching.from_prior else None,
                neighbours=teaching.neighbours,
            )
        if options.intra_caption:
            parts["intra_caption"] = options.intra_caption * intra_caption_contrast(
                pairs.paired_logit_CPR.masked_fill(~pairs.paired_mask_CR[:, None], 0),
                pairs.posterior_CPR(options.ranking.prior_weight),
                pairs.phrase_mask_CP,
            )
        if batch.right_CPR is not None:
            parts["corrections"] = right_regions(pairs.paired_logit_CPR, batch.right_CPR)
        if not parts:
            raise RunError("There is no loss to train with: all weights are 0; give one of them a value above 0.")
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _negative_words(self, pairs: Pairs) -> torch.Tensor:
        """InfoNCE of the true word, in its caption, against its substitutes, each in the changed caption."""
        own = pairs.own if isinstance(pairs, GlobalPairs) and pairs.own is not None else pairs
        matched_CN, mask_CN = self._substituted(own)
        return negative_word_infonce(pairs.gathered(matched_CN), pairs.gathered(mask_CN))

    def _substituted(self, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        """How well the true word and its substitutes are matched, `[C', 1 + N]`, and which of them are there."""
        captions, words_CWH = pairs.batch.captions, pairs.words_CWH
        assert words_CWH is not None
        has = captions.slot_C >= 0
        if not has.any():  # of the captions of this process: one takes part without counting, as others may have some
            has = torch.arange(len(has), device=has.device) == 0
        slot_C = captions.slot_C[has].clamp(min=0)
        true_C1H = words_CWH[has][torch.arange(len(slot_C), device=slot_C.device), slot_C][:, None]
        texts = [words for words, present in zip(captions.words_C, has.tolist(), strict=True) if present]
        others_CNH = self.text.substitute(
            words_CWH[has],
            captions.tokens_CW[has],
            captions.mask_CW[has],
            slot_C,
            captions.substitutes_CN[has],
            texts,
        )
        candidates_CNH = torch.cat([true_C1H, others_CNH], dim=1)
        mask_CN = nn.functional.pad(captions.substitutes_CN[has] > 0, (1, 0), value=True)
        if self.options.query_slots:  # zeros for what is missing, which may enter the batch statistics
            rows = has.nonzero()[:, 0]
            shape_CNH = (len(has), *candidates_CNH.shape[1:])
            filled_CNH = candidates_CNH * mask_CN[..., None]
            candidates_CNH = candidates_CNH.new_zeros(shape_CNH).index_copy(0, rows, filled_CNH)
            mask_CN = mask_CN.new_zeros(shape_CNH[:2]).index_copy(0, rows, mask_CN)
            has = torch.ones_like(has)
        candidates = self.aligner.embed_queries(candidates_CNH, mask_CN)
        alignment = self.aligner.align(pairs.images.regions.of(pairs.image_of_C[has]), candidates, paired=True)
        return alignment.matched_BCQ[0], mask_CN

    def ground(self, images: ImageEmbeddings, captions: CaptionBatch) -> PhraseAttention:
        """What the boxes of phrases are read from: each caption with the image of its row.

        Args:
            images: C images, row by row with the captions (`ImageEmbeddings.of`).
            captions: C captions.
        """
        images, captions = images.to(self.device), captions.to(self.device)
        words_CWH = self.encode_words(captions)
        of_words = self.encode_captions(captions, words_CWH, "words")
        by_words = by_units = self.align(images, of_words, paired=True)
        if self.options.units == "phrases":
            by_units = self.align(images, self.encode_captions(captions, words_CWH, "phrases"), paired=True)
        prior_1CPR = phrase_prior(images, of_words, paired=True)
        return PhraseAttention(by_units, by_words.attention_BCQR[0], None if prior_1CPR is None else prior_1CPR[0])


def _packed(
    words_CWH: torch.Tensor, mask_CW: torch.Tensor, phrase_CPW: torch.Tensor, slots: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Only the words of the mask, moved together, so that the others cost nothing; with `slots`, the first so many."""
    missing = max(slots - mask_CW.shape[1], 0)
    if missing:
        words_CWH = nn.functional.pad(words_CWH, (0, 0, 0, missing))
        mask_CW, phrase_CPW = nn.functional.pad(mask_CW, (0, missing)), nn.functional.pad(phrase_CPW, (0, missing))
    count = slots or int(mask_CW.sum(dim=1).max())
    order_CQ = (~mask_CW).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
    states_CQH = words_CWH.gather(1, order_CQ[..., None].expand(-1, -1, words_CWH.shape[-1]))
    packed_mask_CQ = mask_CW.gather(1, order_CQ)
    if slots:  # zeros where there is no word, which may enter the batch statistics
        states_CQH = states_CQH * packed_mask_CQ[..., None]
    phrase_CPQ = phrase_CPW.gather(2, order_CQ[:, None].expand(-1, phrase_CPW.shape[1], -1)) & packed_mask_CQ[:, None]
    return states_CQH, packed_mask_CQ, phrase_CPQ
