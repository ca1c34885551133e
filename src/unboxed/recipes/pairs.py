"""All pairs of a training batch's images and captions: the input of an objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from unboxed.attention.base import Aligner, Alignment
from unboxed.attention.chunks import in_chunks
from unboxed.attention.matched import Constrainable, MatchedAttention
from unboxed.attention.ranking import PRIOR_FLOOR, mean_weights
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings, align, combines_prior, phrase_prior
from unboxed.types import PairedBatch

__all__ = ["Pairs", "TrainingStep", "phrase_logits"]


class TrainingStep(NamedTuple):
    """Training progress.

    Attributes:
        step, epoch: counted from 0.
        steps: the total number.
        chunk: captions whose pairs with the images are held in memory at a time, see `in_chunks`; 0: all.
    """

    step: int
    steps: int
    epoch: int = 0
    chunk: int = 0


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of a batch's images and captions. Each property is computed when it is first read, and kept.

    Attributes:
        batch: the batch.
        images: its images, encoded.
        captions: its captions, encoded.
        words_CWH: the states of the captions' words; None where phrases are read alone and no word is replaced.
        aligner: the attention that embedded them.
        training_step: training progress.
        fixed_vectors_NE: word vectors of the vocabulary that are not trained, or None where the text encoder has none.
    """

    batch: PairedBatch
    images: ImageEmbeddings
    captions: CaptionEmbeddings
    words_CWH: torch.Tensor | None
    aligner: Aligner
    training_step: TrainingStep
    fixed_vectors_NE: torch.Tensor | None = None

    @property
    def image_of_C(self) -> torch.Tensor:
        """Index of each caption's image."""
        return self.batch.image_of_C

    @cached_property
    def paired_images(self) -> ImageEmbeddings:
        """The image of each caption, row by row."""
        return self.images.of(self.image_of_C)

    @cached_property
    def alignment(self) -> Alignment:
        """The alignment of all pairs."""
        return align(self.aligner, self.images, self.captions, prior_BCPR=self._prior_BCQR)

    @cached_property
    def score_BC(self) -> torch.Tensor:
        """The scores of all pairs, computed without the alignment or the matches unless these exist already."""
        if "match" in vars(self):
            return self.match[1]
        if "alignment" in vars(self):
            return self.alignment.score_BC
        if self._chunk:
            queries, prior_of = self.captions.queries, lambda rows: self._prior_of(self.captions.part(rows))
            return self.aligner.scores_in_chunks(self.images.regions, queries, self._chunk, prior_of)
        return self.aligner.scores(self.images.regions, self.captions.queries, prior_BCQR=self._prior_BCQR)

    def score_with(self, image_of_C: torch.Tensor) -> torch.Tensor:
        """The scores `[C]` of captions, each with one image of the batch, without those of the other images."""
        images = self.images.of(image_of_C)
        return align(self.aligner, images, self.captions, paired=True).score_BC[0]

    @cached_property
    def match(self) -> tuple[torch.Tensor, torch.Tensor]:
        """How well each query is matched in each image, `[B, C, Q]`, and the scores `[B, C]`."""
        if self._chunk and not self.aligner.normalizes_pairs:
            matched_BCQ, score_BC = in_chunks(self._match_of, len(self.captions.phrase_CPQ), self._chunk)
            return matched_BCQ, score_BC
        return self.aligner.match(self.images.regions, self.captions.queries, prior_BCQR=self._prior_BCQR)

    @property
    def _chunk(self) -> int:
        """Captions at a time; 0 for all of them."""
        chunk = self.training_step.chunk if torch.is_grad_enabled() else 0
        return chunk if chunk < len(self.captions.phrase_CPQ) else 0

    def _match_of(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        part = self.captions.part(rows)
        return self.aligner.match(self.images.regions, part.queries, prior_BCQR=self._prior_of(part))

    def _prior_of(self, captions: CaptionEmbeddings) -> torch.Tensor | None:
        return phrase_prior(self.images, captions) if combines_prior(self.aligner, captions) else None

    @property
    def image_count(self) -> int:
        """B."""
        return len(self.images.regions.mask_BR)

    def gathered(self, result: torch.Tensor) -> torch.Tensor:
        """The result of all captions: itself, unless several processes share the batch.

        Args:
            result: of the captions of this process, the first axis.
        """
        return result

    @cached_property
    def query_mask_CQ(self) -> torch.Tensor:
        """True for real queries."""
        return self.captions.queries.mask_CQ

    @cached_property
    def phrase_mask_CP(self) -> torch.Tensor:
        """True for phrases that have a query."""
        return self.captions.phrase_CPQ.any(dim=-1)

    @cached_property
    def paired_mask_CR(self) -> torch.Tensor:
        """The real regions of each caption's image."""
        return self.images.regions.mask_BR[self.image_of_C]

    @cached_property
    def paired_edges_CR4(self) -> torch.Tensor:
        """The boxes of each caption's image, as shares of its width and height."""
        return self.batch.images.edges_BR4[self.image_of_C]

    @cached_property
    def paired_logit_CPR(self) -> torch.Tensor:
        """Each phrase's logits over the regions of its image, means over its queries; -inf at padded regions."""
        alignment = align(
            self.aligner, self.paired_images, self.captions, paired=True, prior_BCPR=self._paired_prior_1CPR
        )
        logit_CPR = phrase_logits(alignment.attention_BCQR[0], self.captions.phrase_CPQ)
        return logit_CPR.masked_fill(~self.paired_mask_CR[:, None], float("-inf"))

    @cached_property
    def paired_cosine_CPR(self) -> torch.Tensor:
        """The bare cosine of each phrase and the regions of its image, means over its queries.

        Raises:
            RunError: the attention is not one of cosines.
        """
        cosine_1CQR, _ = self.aligner.cosines(self.paired_images.regions, self.captions.queries, paired=True)
        phrase_CPQ = self.captions.phrase_CPQ
        return mean_weights(phrase_CPQ, cosine_1CQR.dtype) @ cosine_1CQR[0]

    @cached_property
    def paired_prior_CPR(self) -> torch.Tensor:
        """The semantic prior of each phrase in its image. Needs a model with a prior."""
        prior_1CPR = self._paired_prior_1CPR
        assert prior_1CPR is not None
        return prior_1CPR[0]

    def matched(self) -> tuple[MatchedAttention, ...]:
        """The attention of each caption on its image, for constraints on attention.

        Raises:
            TypeError: the attention cannot be constrained.
        """
        if not isinstance(self.aligner, Constrainable):
            raise TypeError(f"{type(self.aligner).__name__} has no attention that can be constrained.")
        return self.aligner.matched(self.paired_images.regions, self.captions.queries)

    def generator(self) -> torch.Generator:
        """A random generator seeded with the step, so that a resumed run repeats its numbers."""
        return torch.Generator().manual_seed(self.training_step.step)

    def posterior_CPR(self, prior_weight: float) -> torch.Tensor:
        """Where each phrase attends in its image: the learned attention times the prior to a power, if there is one."""
        logit_CPR = self.paired_logit_CPR
        if self._paired_prior_1CPR is not None:
            logit_CPR = logit_CPR + prior_weight * (self.paired_prior_CPR.clamp(min=0) + PRIOR_FLOOR).log()
        return logit_CPR.softmax(dim=-1)

    @property
    def _prior_BCQR(self) -> torch.Tensor | None:
        """The prior of every query, for attentions that combine it with their own scores."""
        return self._prior_of(self.captions)

    @cached_property
    def _paired_prior_1CPR(self) -> torch.Tensor | None:
        """The prior of each caption's phrases in its image; None without a prior."""
        return phrase_prior(self.paired_images, self.captions, paired=True)


def phrase_logits(attention_CQR: torch.Tensor, phrase_CPQ: torch.Tensor) -> torch.Tensor:
    """`[C, P, R]` mean logarithm of the attention of a phrase's queries; 0 for a phrase without any."""
    return mean_weights(phrase_CPQ, attention_CQR.dtype) @ attention_CQR.clamp(min=1e-9).log()
