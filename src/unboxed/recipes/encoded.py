"""Images and captions encoded apart, each once, and then scored against each other: what retrieval is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from unboxed.attention.base import BUDGET_BYTES, QueryEmbeddings, RegionEmbeddings
from unboxed.priors.scoring import scores

if TYPE_CHECKING:
    from unboxed.recipes.model import MatchingModel
    from unboxed.types import Batch

__all__ = ["EncodedCaptions", "EncodedImages", "encode_captions", "encode_images", "score_encoded"]


class EncodedImages(NamedTuple):
    """B photographs: their regions' codes, and the evidence `[B, R, E]` that a prior needs of them; E may be 0."""

    regions: RegionEmbeddings
    evidence_BRE: torch.Tensor


class EncodedCaptions(NamedTuple):
    """C captions: the codes of the recipe's queries, and the affinity `[C, P, E]` of their phrases; E may be 0."""

    queries: QueryEmbeddings
    affinity_CPE: torch.Tensor


def encode_images(model: MatchingModel, batch: Batch) -> EncodedImages:
    """The batch's images; its captions are not looked at."""
    return EncodedImages(model.encode_regions(batch), batch.evidence_BRK)


def encode_captions(model: MatchingModel, batch: Batch) -> EncodedCaptions:
    """The batch's captions; its images are not looked at."""
    queries = model.queries(batch, model.encode_words(batch), model.options.units)
    return EncodedCaptions(model.aligner.embed_queries(queries.states_CQH, queries.mask_CQ), batch.affinity_CPK)


def score_encoded(
    model: MatchingModel, images: EncodedImages, captions: EncodedCaptions, *, budget_bytes: int = BUDGET_BYTES
) -> torch.Tensor:
    """How well each image and caption fit, `[B, C]`, as `MatchingModel.score` has it.

    Args:
        model: which encoded them.
        images, captions: any; they need not belong together.
        budget_bytes: about how much may be taken above them and the result.
    """
    if model.options.units != "phrases" or not captions.affinity_CPE.shape[2]:
        return model.aligner.scores(images.regions, captions.queries, budget_bytes=budget_bytes)

    # The prior is a number for each phrase and region: a few captions at a time.
    pairs = max(1, images.evidence_BRE[..., 0].numel() * captions.affinity_CPE.shape[1])
    size = max(1, budget_bytes // 2 // (8 * pairs))
    columns = []
    for first in range(0, len(captions.affinity_CPE), size):
        some = slice(first, first + size)
        prior_BCPR = scores(captions.affinity_CPE[None, some], images.evidence_BRE[:, None])
        queries = QueryEmbeddings(
            tuple(code[some] for code in captions.queries.tensors), captions.queries.mask_CQ[some]
        )
        columns.append(
            model.aligner.scores(images.regions, queries, prior_BCQR=prior_BCPR, budget_bytes=budget_bytes // 2)
        )
    return torch.cat(columns, dim=1)
