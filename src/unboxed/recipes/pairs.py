"""The images and captions of a batch after alignment: what an objective is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.matched import Constrainable, MatchedAttention
from unboxed.attention.pooling import mean_weights
from unboxed.attention.ranking import PRIOR_FLOOR
from unboxed.types import Batch

__all__ = ["Pairs", "Queries", "TrainingStep"]


class TrainingStep(NamedTuple):
    """How far training has come."""

    step: int
    steps: int
    epoch: int = 0


class Queries(NamedTuple):
    """What looks for regions: words or phrases of C captions.

    Attributes:
        states_CQH: contextual states.
        mask_CQ: True for real ones.
        phrase_CPQ: True where query q belongs to phrase p.
    """

    states_CQH: torch.Tensor
    mask_CQ: torch.Tensor
    phrase_CPQ: torch.Tensor


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of a batch's images and captions.

    Attributes:
        batch: the batch.
        queries: of its captions.
        regions: of its images, encoded.
        codes: the queries, encoded.
        aligner: what encoded and aligned them.
        moment: how far training has come.
        prior_BCPR: untrained scores of every phrase in every image, or None.
        prior_BCQR: those that the alignment mixes in, or None.
    """

    batch: Batch
    queries: Queries
    regions: RegionEmbeddings
    codes: QueryEmbeddings
    aligner: Aligner
    training_step: TrainingStep
    prior_BCPR: torch.Tensor | None = None
    prior_BCQR: torch.Tensor | None = None

    @cached_property
    def alignment(self) -> Alignment:
        """Of all pairs, made when first asked for."""
        return self.aligner.align(self.regions, self.codes, prior_BCQR=self.prior_BCQR)

    @cached_property
    def score_BC(self) -> torch.Tensor:
        """Of all pairs; without their alignment, as long as nobody has asked for that."""
        if "alignment" in vars(self):
            return self.alignment.score_BC
        return self.aligner.scores(self.regions, self.codes, prior_BCQR=self.prior_BCQR)

    @cached_property
    def phrase_mask_CP(self) -> torch.Tensor:
        """True for phrases that have a query."""
        return self.queries.phrase_CPQ.any(dim=-1)

    @cached_property
    def paired_mask_CR(self) -> torch.Tensor:
        """The real regions of each caption's own image."""
        return self.batch.region_mask_BR[self.batch.image_of_C]

    @cached_property
    def paired_logit_CPR(self) -> torch.Tensor:
        """Each phrase's logits over the regions of its own image, -inf at padded ones: means over its queries."""
        prior_1CQR = None if self.prior_BCQR is None else self._own(self.prior_BCQR)[None]
        own = self.aligner.align(self.regions.of(self.batch.image_of_C), self.codes, paired=True, prior_BCQR=prior_1CQR)
        return phrase_logits(own.attention_BCQR[0], self.queries.phrase_CPQ).masked_fill(
            ~self.paired_mask_CR[:, None], float("-inf")
        )

    @cached_property
    def paired_prior_CPR(self) -> torch.Tensor:
        """The untrained scores of each phrase in its own image."""
        assert self.prior_BCPR is not None  # asked for only by terms that need the prior
        return self._own(self.prior_BCPR)

    def _own(self, pairs_BC: torch.Tensor) -> torch.Tensor:
        """Of all pairs `[B, C, …]` those of each caption with its own image, `[C, …]`."""
        image_of_C = self.batch.image_of_C
        return pairs_BC[image_of_C, torch.arange(len(image_of_C), device=image_of_C.device)]

    def matched(self) -> tuple[MatchedAttention, ...]:
        """The attention of each caption on its own image, of a host that tells it."""
        if not isinstance(self.aligner, Constrainable):
            raise TypeError(f"{type(self.aligner).__name__} has no attention that can be constrained.")
        return self.aligner.matched(self.regions.of(self.batch.image_of_C), self.codes)

    def generator(self) -> torch.Generator:
        """A source of lots that is the same whenever this step is made again."""
        return torch.Generator().manual_seed(self.training_step.step)

    def posterior_CPR(self, prior_weight: float) -> torch.Tensor:
        """Where each phrase looks in its own image: what is learned times the prior to a power, where there is one."""
        logit_CPR = self.paired_logit_CPR
        if self.prior_BCPR is not None:
            logit_CPR = logit_CPR + prior_weight * (self.paired_prior_CPR + PRIOR_FLOOR).log()
        return logit_CPR.softmax(dim=-1)


def phrase_logits(attention_CQR: torch.Tensor, phrase_CPQ: torch.Tensor) -> torch.Tensor:
    """`[C, P, R]` mean logarithm of the attention of a phrase's queries; 0 for a phrase without any."""
    return mean_weights(phrase_CPQ, attention_CQR.dtype) @ attention_CQR.clamp(min=1e-9).log()
