"""Embeddings of images and of captions, each encoded once, and their alignment and scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings
from unboxed.priors.scoring import scores as prior_scores
from unboxed.runtime.memory import scoring_bytes
from unboxed.types import Units

__all__ = [
    "CaptionEmbeddings",
    "ImageEmbeddings",
    "align",
    "caption_prior",
    "combines_prior",
    "pad_images",
    "phrase_prior",
    "score",
]


class ImageEmbeddings(NamedTuple):
    """B images, encoded.

    Attributes:
        regions: the embeddings of their regions.
        class_score_BRE: the semantic prior's row of each region; E is 0 without a prior.
    """

    regions: RegionEmbeddings
    class_score_BRE: torch.Tensor

    def of(self, index: torch.Tensor) -> ImageEmbeddings:
        """The images of an index `[C]`, such as the image of each caption."""
        index = index.to(self.class_score_BRE.device)
        return ImageEmbeddings(self.regions.of(index), self.class_score_BRE[index])

    def to(self, device: torch.device | str) -> ImageEmbeddings:
        """The same embeddings on `device`."""
        tensors = tuple(tensor.to(device) for tensor in self.regions.tensors)
        regions = RegionEmbeddings(tensors, self.regions.mask_BR.to(device))
        return ImageEmbeddings(regions, self.class_score_BRE.to(device))


class CaptionEmbeddings(NamedTuple):
    """C captions, encoded.

    Attributes:
        queries: the embeddings of their queries.
        phrase_CPQ: True where query q belongs to phrase p.
        affinity_CPE: the semantic prior's row of each phrase; E is 0 without a prior.
        units: what the queries are.
    """

    queries: QueryEmbeddings
    phrase_CPQ: torch.Tensor
    affinity_CPE: torch.Tensor
    units: Units

    def part(self, rows: slice | torch.Tensor) -> CaptionEmbeddings:
        """Some of the captions, which a slice or their positions name."""
        return CaptionEmbeddings(self.queries.part(rows), self.phrase_CPQ[rows], self.affinity_CPE[rows], self.units)

    def to(self, device: torch.device | str) -> CaptionEmbeddings:
        """The same embeddings on `device`."""
        tensors = tuple(tensor.to(device) for tensor in self.queries.tensors)
        queries = QueryEmbeddings(tensors, self.queries.mask_CQ.to(device))
        return CaptionEmbeddings(queries, self.phrase_CPQ.to(device), self.affinity_CPE.to(device), self.units)

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        tensors = (*self.queries.tensors, self.phrase_CPQ, self.affinity_CPE)
        return sum(tensor.nbytes for tensor in tensors)


def phrase_prior(images: ImageEmbeddings, captions: CaptionEmbeddings, *, paired: bool = False) -> torch.Tensor | None:
    """The semantic prior of every phrase's regions in [0, 1], `[B, C, P, R]`, or None without a prior.

    Args:
        images: B images; with `paired`, C of them, row by row with the captions.
        captions: C captions.
        paired: the result's axes are then `[1, C, P, R]`.
    """
    if not captions.affinity_CPE.shape[-1]:
        return None
    if paired:
        paired_CPR: torch.Tensor = prior_scores(captions.affinity_CPE, images.class_score_BRE)
        return paired_CPR[None]
    prior_BCPR: torch.Tensor = prior_scores(captions.affinity_CPE[None], images.class_score_BRE[:, None])
    return prior_BCPR


def combines_prior(aligner: Aligner, captions: CaptionEmbeddings) -> bool:
    """Whether `aligner` combines the semantic prior with its own scores of these queries: the prior scores phrases."""
    return aligner.uses_prior and captions.units == "phrases" and captions.affinity_CPE.shape[-1] > 0


def align(
    aligner: Aligner,
    images: ImageEmbeddings,
    captions: CaptionEmbeddings,
    *,
    paired: bool = False,
    prior_BCPR: torch.Tensor | None = None,
) -> Alignment:
    """Every caption aligned with every image; with `paired`, each with the image of its row.

    Args:
        aligner: the attention that embedded them.
        images: B images; with `paired`, C of them, row by row with the captions.
        captions: C captions.
        paired: the result's axes are then `[1, C, Q, R]`.
        prior_BCPR: the result of `phrase_prior` for them, if it is computed already.
    """
    if not combines_prior(aligner, captions):
        prior_BCPR = None
    elif prior_BCPR is None:
        prior_BCPR = phrase_prior(images, captions, paired=paired)
    return aligner.align(images.regions, captions.queries, paired=paired, prior_BCQR=prior_BCPR)


def score(
    aligner: Aligner, images: ImageEmbeddings, captions: CaptionEmbeddings, *, budget_bytes: int | None = None
) -> torch.Tensor:
    """How well each image and caption match, `[B, C]`; higher is better.

    Args:
        aligner: the attention that embedded them.
        images: B images.
        captions: C captions, of these images or of others.
        budget_bytes: approximate memory limit besides the embeddings and the result, where no gradient is needed.
            None: that of `runtime.memory.scoring_bytes`.
    """
    budget_bytes = scoring_bytes() if budget_bytes is None else budget_bytes
    if not combines_prior(aligner, captions):
        return aligner.scores(images.regions, captions.queries, budget_bytes=budget_bytes)
    if torch.is_grad_enabled():
        return aligner.scores(images.regions, captions.queries, prior_BCQR=phrase_prior(images, captions))
    columns = [
        aligner.scores(images.regions, part.queries, prior_BCQR=prior_BCPR, budget_bytes=budget_bytes // 2)
        for part, prior_BCPR in _parts_with_prior(images, captions, budget_bytes // 2)
    ]
    return torch.cat(columns, dim=1)


def caption_prior(
    images: ImageEmbeddings, captions: CaptionEmbeddings, *, budget_bytes: int | None = None
) -> torch.Tensor:
    """The semantic prior of each phrase's best region, averaged over the phrases of each caption: `[B, C]` in [0, 1].

    Args:
        images: B images.
        captions: C captions, encoded with a prior.
        budget_bytes: approximate memory limit; None: that of `runtime.memory.scoring_bytes`.
    """
    budget_bytes = scoring_bytes() if budget_bytes is None else budget_bytes
    columns = []
    for part, prior_BCPR in _parts_with_prior(images, captions, budget_bytes):
        real_CP = part.phrase_CPQ.any(dim=-1)
        best_BCP = prior_BCPR.amax(dim=-1).clamp(min=0) * real_CP
        columns.append(best_BCP.sum(dim=-1) / real_CP.sum(dim=-1).clamp(min=1))
    return torch.cat(columns, dim=1)


def _parts_with_prior(
    images: ImageEmbeddings, captions: CaptionEmbeddings, budget_bytes: int
) -> Iterator[tuple[CaptionEmbeddings, torch.Tensor]]:
    """A few captions at a time and the prior of their phrases, a number for each phrase and region."""
    pairs = max(1, images.class_score_BRE[..., 0].numel() * captions.affinity_CPE.shape[1])
    size = max(1, budget_bytes // (8 * pairs))
    for first in range(0, len(captions.affinity_CPE), size):
        part = captions.part(slice(first, first + size))
        prior_BCPR = phrase_prior(images, part)
        assert prior_BCPR is not None
        yield part, prior_BCPR


def pad_images(images: list[ImageEmbeddings]) -> ImageEmbeddings:
    """Images encoded one by one or in groups, padded to one batch.

    Args:
        images: at least one; all of one model.
    """
    most = max(image.regions.mask_BR.shape[1] for image in images)

    def padded(tensors: list[torch.Tensor]) -> torch.Tensor:
        # One vector for the whole image keeps its axis of length 1.
        whole = all(tensor.shape[1] == 1 for tensor in tensors) and most > 1
        length = 1 if whole else most
        return torch.cat([_zeros_behind(tensor, length) for tensor in tensors])

    tensors = tuple(padded(list(parts)) for parts in zip(*(image.regions.tensors for image in images), strict=True))
    mask_BR = torch.cat([_zeros_behind(image.regions.mask_BR, most) for image in images])
    return ImageEmbeddings(
        RegionEmbeddings(tensors, mask_BR), torch.cat([_zeros_behind(image.class_score_BRE, most) for image in images])
    )


def _zeros_behind(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """`tensor` with zeros behind axis 1 up to `length`."""
    missing = length - tensor.shape[1]
    if not missing:
        return tensor
    return torch.cat([tensor, tensor.new_zeros(tensor.shape[0], missing, *tensor.shape[2:])], dim=1)
