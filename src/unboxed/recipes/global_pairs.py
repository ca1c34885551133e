"""The pairs of a batch that several processes share: each scores its own captions with the images of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from unboxed.attention.base import RegionEmbeddings
from unboxed.attention.matched import MatchedAttention
from unboxed.recipes.embeddings import ImageEmbeddings
from unboxed.recipes.pairs import Pairs
from unboxed.runtime.ranks import gather_inputs, gather_results

__all__ = ["GlobalPairs", "images_of_all"]


def images_of_all(images: ImageEmbeddings) -> ImageEmbeddings:
    """The images of all processes, with gradients: regions travel, and captions stay."""
    regions = RegionEmbeddings(
        tuple(gather_inputs(tensor) for tensor in images.regions.tensors), gather_inputs(images.regions.mask_BR)
    )
    return ImageEmbeddings(regions, gather_inputs(images.class_score_BRE))


def _of_all(name: str) -> cached_property[torch.Tensor]:
    """The property of `Pairs` of this name, whose first axis are captions: of the captions of all processes."""
    return cached_property(lambda pairs: gather_results(getattr(pairs.own, name)))


@dataclass(frozen=True, eq=False)
class GlobalPairs(Pairs):
    """All pairs of the batch of all processes. A property is computed for the own captions, and then gathered.

    An objective computes the same loss from it on every process, and the gradients of the processes sum to that of one
    process with the whole batch. `captions` and `words_CWH` are those of the own captions.

    Attributes:
        own: the own captions with the images of all.
    """

    own: Pairs | None = None

    @property
    def _own(self) -> Pairs:
        assert self.own is not None
        return self.own

    def gathered(self, result: torch.Tensor) -> torch.Tensor:
        """The result of all processes' captions."""
        return gather_results(result)

    @cached_property
    def score_BC(self) -> torch.Tensor:
        """The scores of all pairs."""
        return gather_results(self._own.score_BC, 1)

    @cached_property
    def match(self) -> tuple[torch.Tensor, torch.Tensor]:
        """How well each query is matched in each image, `[B, C, Q]`, and the scores `[B, C]`."""
        matched_BCQ, score_BC = self._own.match
        return gather_results(matched_BCQ, 1), gather_results(score_BC, 1)

    def score_with(self, image_of_C: torch.Tensor) -> torch.Tensor:
        """The scores `[C]` of captions, each with one image of the batch."""
        return gather_results(self._own.score_with(image_of_C[self.batch.own_C]))

    query_mask_CQ = _of_all("query_mask_CQ")
    phrase_mask_CP = _of_all("phrase_mask_CP")
    paired_mask_CR = _of_all("paired_mask_CR")
    paired_edges_CR4 = _of_all("paired_edges_CR4")
    paired_logit_CPR = _of_all("paired_logit_CPR")
    paired_cosine_CPR = _of_all("paired_cosine_CPR")
    paired_prior_CPR = _of_all("paired_prior_CPR")

    def posterior_CPR(self, prior_weight: float) -> torch.Tensor:
        """Where each phrase attends in its image."""
        return gather_results(self._own.posterior_CPR(prior_weight))

    def matched(self) -> tuple[MatchedAttention, ...]:
        """The attention of each caption of all processes on its image."""
        return tuple(_gathered(attention) for attention in self._own.matched())


def _gathered(own: MatchedAttention) -> MatchedAttention:
    """The attention of all processes' captions; queries and contexts that pad it are zero vectors without weights."""
    tensors: dict[str, Any] = {
        name: gather_results(value) for name, value in vars(own).items() if isinstance(value, torch.Tensor)
    }
    return replace(own, **tensors)
