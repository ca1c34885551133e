"""Scores of all pairs by any aligner, a block of images and captions at a time, so that memory does not grow with them.

Alignments are large, `[B, C, Q, R]`; where only scores are asked, one block's is there at a time. Images with like
counts of regions and captions with like counts of queries share a block, so that little of it is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings

__all__ = ["BUDGET_BYTES", "ScoredInBlocks", "block_scores", "reach"]

BUDGET_BYTES = 2**28
"""What scoring may take above its inputs and its result, about, unless told otherwise."""

_ARRAYS = 8  # of a block's shape [b, c, q, r] that exist at once, roughly


class ScoredInBlocks:
    """Gives an aligner its `scores` by `block_scores` of its `align`."""

    align: Callable[..., Alignment]

    def scores(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        prior_BCQR: torch.Tensor | None = None,
        budget_bytes: int = BUDGET_BYTES,
    ) -> torch.Tensor:
        """The scores alone, `[B, C]`; see `Aligner.scores`."""
        return block_scores(self.align, regions, queries, prior_BCQR, budget_bytes)


def block_scores(
    align: Callable[..., Alignment],
    regions: RegionEmbeddings,
    queries: QueryEmbeddings,
    prior_BCQR: torch.Tensor | None = None,
    budget_bytes: int = BUDGET_BYTES,
) -> torch.Tensor:
    """`align(regions, queries).score_BC`; in blocks where no gradient is asked.

    Args:
        align: of an aligner.
        regions, queries: embeddings of B images and C captions.
        prior_BCQR: as for `Aligner.align`.
        budget_bytes: about how much the alignment of a block may take. It bounds the memory, not the result.
    """
    if torch.is_grad_enabled():
        return align(regions, queries, prior_BCQR=prior_BCQR).score_BC
    score_BC = regions.tensors[0].new_zeros(len(regions.mask_BR), len(queries.mask_CQ))
    width = max(1, regions.mask_BR.shape[1]) * max(1, queries.mask_CQ.shape[1])
    pairs = max(1, budget_bytes // (_ARRAYS * regions.tensors[0].element_size() * width))
    images = max(1, min(int(pairs**0.5), len(regions.mask_BR)))
    captions = max(1, min(pairs // images, len(queries.mask_CQ)))
    for rows in _like(regions.mask_BR, images):
        block = RegionEmbeddings(*_trimmed(regions.tensors, regions.mask_BR, rows))
        for columns in _like(queries.mask_CQ, captions):
            asking = QueryEmbeddings(*_trimmed(queries.tensors, queries.mask_CQ, columns))
            prior = None
            if prior_BCQR is not None:
                prior = prior_BCQR[rows][:, columns, : asking.mask_CQ.shape[1], : block.mask_BR.shape[1]]
            score_BC[rows[:, None], columns] = align(block, asking, prior_BCQR=prior).score_BC.to(score_BC.dtype)
    return score_BC


def _like(mask_GN: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Indices of the groups, `size` at a time, those that reach equally far together."""
    return iter(torch.split(reach(mask_GN).argsort(stable=True), size))


def _trimmed(
    tensors: tuple[torch.Tensor, ...], mask_GN: torch.Tensor, chosen: torch.Tensor
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """The chosen groups without trailing columns that are padding in all; a tensor may have one column per group."""
    mask_GN = mask_GN[chosen]
    columns = max(1, int(reach(mask_GN).max()))
    return tuple(tensor[chosen, :columns] for tensor in tensors), mask_GN[:, :columns]


def reach(mask_GN: torch.Tensor) -> torch.Tensor:
    """The last real column of each group, counted from 1; 0 without any."""
    return (mask_GN * torch.arange(1, mask_GN.shape[1] + 1, device=mask_GN.device)).amax(dim=1)
