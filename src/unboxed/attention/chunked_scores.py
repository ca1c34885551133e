"""Cross-attention scores of all pairs: exact, block by block within a budget of memory, and differentiable.

`attend` makes a score of cosines and Gram matrices alone. What is done here is to make the cosines so that this costs
next to nothing beside the matrix product that no method can do without:

* **No padding.** Captions of one length share a block; their real words, packed, are the columns of one product.
* **Sums add rows to rows.** A block's cosines come out of the product as `[images, regions, words, captions]`. The
  norm over words and the softmax over regions then run along outer axes, whole rows of captions at a time, and the
  quadratic form `aᵀ G a` of all words is one batched product. The same block, turned round, serves regions over words.
* **A core has a block to itself**, from the product to the scores, where no gradient is asked and blocks are many.
* **In the cache.** The element-wise part takes a few images (or captions) of the block at a time, so that what one
  operation writes the next one finds in the core's cache.
* **On a GPU** a kernel that keeps the cosines on the chip takes over, for the scorers that it has (`triton_scores`).
* **Nothing is kept for the gradient but the cosines**; the rest of a piece is computed again on the way back.

No compiler is needed. `torch.compile` of `attend` took a twentieth off the whole, a tenth for BFAN, for some ten
seconds of compilation for every length of caption: on a CPU most of the time is the product's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from unboxed.attention.base import BUDGET_BYTES, used_columns
from unboxed.attention.cosine_attention import AttentionScorer, attend
from unboxed.attention.triton_scores import fused_scores, runs_on, supports
from unboxed.runtime.core_pool import run_on_cores

__all__ = ["BlockPlan", "CaptionBlock", "ImageBlock", "score_matrix"]

PIECE = 2**17
"""Cosines (or other numbers) of a block that are worked on at a time, to stay in a core's cache."""

_WORDS, _REGIONS = 512, 1152  # of a block: wide enough for the product to be as fast as a large one


def score_matrix(
    scorer: AttentionScorer,
    regions_BRD: torch.Tensor,
    mask_BR: torch.Tensor,
    queries_CQD: torch.Tensor,
    mask_CQ: torch.Tensor,
    *,
    budget_bytes: int = BUDGET_BYTES,
) -> torch.Tensor:
    """Scores `[B, C]` of every image and caption, as `CrossAttention.align` has them; higher is better.

    Args:
        scorer: how words and regions attend and score.
        regions_BRD: unit vectors; what is padded may be anything.
        mask_BR: True for real regions.
        queries_CQD: unit vectors of words or phrases.
        mask_CQ: True for real ones.
        budget_bytes: what may be taken above the inputs and the result, about; at the least, one image and one caption
            are. It bounds the memory, not the result. A gradient takes the cosines of all pairs besides. The GPU's
            kernel takes as much as the inputs, for their packed copies, whatever the budget.

    Returns:
        Scores in single precision, or the inputs' if higher; 0 for a caption without queries and an image without
        regions.
    """
    if runs_on(regions_BRD, queries_CQD) and supports(scorer):
        return fused_scores(scorer, regions_BRD, mask_BR, queries_CQD, mask_CQ)
    dtype = torch.promote_types(regions_BRD.dtype, torch.float32)
    score_BC = torch.zeros(len(mask_BR), len(mask_CQ), dtype=dtype, device=regions_BRD.device)
    if score_BC.numel() == 0:
        return score_BC
    kept = torch.is_grad_enabled() and (regions_BRD.requires_grad or queries_CQD.requires_grad)
    apart = not (kept or torch.is_autocast_enabled(regions_BRD.device.type))
    plan = BlockPlan(regions_BRD, mask_BR, queries_CQD, mask_CQ, budget_bytes, apart)
    plan.fill(score_BC, partial(_block, scorer, kept), "i2t" in scorer.directions)
    return score_BC


def _block(scorer: AttentionScorer, kept: bool, images: ImageBlock, captions: CaptionBlock) -> torch.Tensor:
    """Scores `[b, c]` of a block of images and a block of captions."""
    cosine_BRQC = images.cosines(captions)
    with torch.autocast(cosine_BRQC.device.type, enabled=False):
        cosine_BRQC = cosine_BRQC.to(torch.promote_types(cosine_BRQC.dtype, torch.float32))
        score_BC = cosine_BRQC.new_zeros(cosine_BRQC.shape[0], cosine_BRQC.shape[3])
        if "t2i" in scorer.directions:
            score_BC = score_BC + _pieces(scorer, "t2i", cosine_BRQC, images.gram_BRR, images.mask_BR, None, kept)
        if captions.gram_CQQ is not None:
            cosine_CQRB = cosine_BRQC.permute(3, 2, 1, 0)
            score_BC = score_BC + _pieces(scorer, "i2t", cosine_CQRB, captions.gram_CQQ, None, images.mask_BR, kept).T
        return score_BC if images.mask_BR is None else score_BC * images.mask_BR.any(dim=1, keepdim=True)


def _pieces(
    scorer: AttentionScorer,
    direction: Literal["t2i", "i2t"],
    cosine_KNQJ: torch.Tensor,
    gram_KNN: torch.Tensor,
    context_mask_KN: torch.Tensor | None,
    query_mask_JQ: torch.Tensor | None,
    kept: bool,
) -> torch.Tensor:
    """Scores `[K, J]` of one direction, a few owners of contexts at a time."""
    mask_1QJ = (
        cosine_KNQJ.new_ones(1, *cosine_KNQJ.shape[2:], dtype=torch.bool)
        if query_mask_JQ is None
        else query_mask_JQ.T[None]
    )

    def score(cosine: torch.Tensor, gram: torch.Tensor, context_mask: torch.Tensor | None = None) -> torch.Tensor:
        return scorer.score(attend(scorer, cosine.contiguous(), gram, context_mask), mask_1QJ, direction)

    size = max(1, PIECE // max(1, cosine_KNQJ[0].numel()))
    parts = [torch.split(whole, size) for whole in (cosine_KNQJ, gram_KNN, context_mask_KN) if whole is not None]
    if not kept:
        return torch.cat([score(*part) for part in zip(*parts, strict=True)])
    again = [
        checkpoint(score, *part, use_reentrant=False, preserve_rng_state=False) for part in zip(*parts, strict=True)
    ]
    return torch.cat(again)


class ImageBlock(NamedTuple):
    """Images of a block: which they are, their regions, Gram matrices, and mask unless all regions are real."""

    number_B: torch.Tensor
    regions_BRD: torch.Tensor
    gram_BRR: torch.Tensor
    mask_BR: torch.Tensor | None

    def cosines(self, captions: CaptionBlock) -> torch.Tensor:
        """`[B, R, Q, C]` of all regions and words of two blocks, as one matrix product."""
        product = self.regions_BRD.flatten(0, 1) @ captions.queries_QCD.flatten(0, 1).T
        return product.view(*self.regions_BRD.shape[:2], *captions.queries_QCD.shape[:2])


class CaptionBlock(NamedTuple):
    """Captions of one length: which they are, their words, all first words first, and their Gram matrices."""

    number_C: torch.Tensor
    queries_QCD: torch.Tensor
    gram_CQQ: torch.Tensor | None


class BlockPlan:
    """How images and captions are cut into blocks, and chunks of blocks that are prepared once, within a budget.

    Args:
        regions_BRD, mask_BR, queries_CQD, mask_CQ: vectors and what is real; padded ones may be anything.
        budget_bytes: what chunks and blocks may take, about, all cores together.
        apart: give every core blocks of its own. Only without gradients, and where there are enough blocks.
    """

    def __init__(
        self,
        regions_BRD: torch.Tensor,
        mask_BR: torch.Tensor,
        queries_CQD: torch.Tensor,
        mask_CQ: torch.Tensor,
        budget_bytes: int,
        apart: bool = False,
    ) -> None:
        self._cores = torch.get_num_threads() if apart and not regions_BRD.is_cuda else 1
        self._regions_BRD, self._mask_BR = regions_BRD, mask_BR
        self._queries_CQD = queries_CQD
        self._length_C = mask_CQ.sum(dim=1).cpu()
        self._first_C = self._length_C.cumsum(0) - self._length_C
        self._real_T = mask_CQ.flatten().nonzero()[:, 0].cpu()  # rows of the real queries, caption by caption
        self._whole = bool(mask_BR.all())
        self._width = regions_BRD.shape[2]
        self._item = torch.promote_types(regions_BRD.dtype, torch.float32).itemsize
        self._budget = budget_bytes // self._item
        self._words, self._columns = _WORDS, _REGIONS
        # Half of the budget is for blocks: their vectors, their cosines, and what a piece of them becomes.
        while self._cores * self._working() > self._budget // 2 and max(self._words, self._columns) > 1:
            if self._words > self._columns:
                self._words //= 2
            else:
                self._columns //= 2

    def _working(self) -> int:
        cosines = self._words * self._columns
        return (self._words + self._columns) * self._width + 2 * cosines + 6 * min(cosines, PIECE)

    def fill(
        self, score_BC: torch.Tensor, block_scores: Callable[[ImageBlock, CaptionBlock], torch.Tensor], grams: bool
    ) -> None:
        """Set the scores of all pairs, block by block; those of captions without queries stay what they are.

        Args:
            score_BC: where they go.
            block_scores: makes the scores `[b, c]` of a block of images and one of captions.
            grams: whether it needs the captions' Gram matrices.
        """
        groups = self._caption_groups()
        for images in self._image_chunks():

            def score(number_C: torch.Tensor, images: list[ImageBlock] = images) -> None:
                captions = self._captions(number_C, grams)
                for some in images:
                    score_BC[some.number_B[:, None], captions.number_C] = block_scores(some, captions)

            run_on_cores(score, groups, self._cores if len(groups) >= 4 * self._cores else 1)

    def _image_chunks(self) -> Iterator[list[ImageBlock]]:
        """Blocks of images with their Gram matrices, as many at a time as half of the budget holds."""
        images, regions = self._mask_BR.shape
        order_B = torch.arange(images) if self._whole else used_columns(self._mask_BR).argsort(stable=True).cpu()
        copied = 0 if self._whole else self._width
        a_chunk = max(1, self._budget // 2 // max(1, regions * (regions + copied)))
        a_block = max(1, self._columns // max(1, regions))
        for chunk in torch.split(order_B, a_chunk):
            yield [self._images(index) for index in torch.split(chunk, a_block)]

    def _images(self, index: torch.Tensor) -> ImageBlock:
        device = self._mask_BR.device
        if self._whole:
            regions_BRD, mask_BR = self._regions_BRD[int(index[0]) : int(index[-1]) + 1], None
        else:
            mask_BR = self._mask_BR[index.to(device)]
            mask_BR = mask_BR[:, : max(1, int(used_columns(mask_BR).max()))]
            regions_BRD = self._regions_BRD[index.to(device), : mask_BR.shape[1]].masked_fill(~mask_BR[..., None], 0)
        return ImageBlock(index.to(device), regions_BRD, _gram(regions_BRD), mask_BR)

    def _caption_groups(self) -> list[torch.Tensor]:
        """Captions of one length that make a block; those of no length are in none."""
        groups: list[torch.Tensor] = []
        for length in sorted(set(self._length_C.tolist()) - {0}, reverse=True):
            same = (self._length_C == length).nonzero()[:, 0]
            groups += same.tensor_split(-(-len(same) // max(1, self._words // length)))
        return groups

    def _captions(self, number_C: torch.Tensor, grams: bool) -> CaptionBlock:
        device, length = self._queries_CQD.device, int(self._length_C[number_C[0]])
        row_QC = self._real_T[self._first_C[number_C] + torch.arange(length)[:, None]]
        queries_MD = self._queries_CQD.flatten(0, 1).index_select(0, row_QC.flatten().to(device))
        queries_QCD = queries_MD.view(length, len(number_C), -1)
        return CaptionBlock(number_C.to(device), queries_QCD, _gram(queries_QCD.transpose(0, 1)) if grams else None)


def _gram(vectors_KND: torch.Tensor) -> torch.Tensor:
    """Cosines of each owner's vectors among themselves, never in less than single precision."""
    with torch.autocast(vectors_KND.device.type, enabled=False):
        vectors_KND = vectors_KND.to(torch.promote_types(vectors_KND.dtype, torch.float32))
        return vectors_KND @ vectors_KND.transpose(1, 2)
