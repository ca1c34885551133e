"""Cross-attention scores of all pairs: exact, differentiable, and computed in blocks within a memory budget.

`attend` computes scores from cosines and Gram matrices alone. The blocks here are laid out so that this costs little
beside the matrix product that yields the cosines, which every exact method needs:

* **Little padding.** Captions of one length share a block. Their real words, packed, are the columns of one product.
  A training step has few captions of each length, and its time goes into the number of operations: with a gradient,
  captions of near lengths share a block, whose shorter captions are padded.
* **Reductions run along outer axes.** The product yields the cosines of a block as `[images, regions, words,
  captions]`. The norm over words and the softmax over regions then add whole rows of captions, and the quadratic
  form `aᵀ G a` of all words is one batched product. For regions over words, the axes of the block are permuted.
* **Each core computes its own block**, from the product to the scores, where no gradient is needed and there are many.
* **In the cache.** The element-wise operations take a few images (or captions) of the block at a time, so that the
  results of one operation are still in the core's cache for the next.
* **On a GPU** with `UNBOXED_TRITON=1` set, a kernel that keeps the cosines on the chip computes the scorers that it
  supports (`triton_scores`). Otherwise the blocks are computed there as on the CPU.
* **For the gradient of many pairs, only the cosines are kept**; everything else is recomputed in the backward pass.

`torch.compile` is not used. On a CPU most of the time is the product's: compiling `attend` saved a twentieth of the
whole, a tenth for BFAN, and took some ten seconds for every length of caption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
"""Numbers, such as cosines, that are processed at a time, to stay in the cache of a core."""

_KEPT = 10  # results of a cosine's size that the gradient needs, of each direction

_WORDS, _REGIONS = 512, 1152  # of a block: large enough that its product is as fast as a larger one


def score_matrix(
    scorer: AttentionScorer,
    regions_BRD: torch.Tensor,
    mask_BR: torch.Tensor,
    queries_CQD: torch.Tensor,
    mask_CQ: torch.Tensor,
    *,
    budget_bytes: int = BUDGET_BYTES,
) -> torch.Tensor:
    """Scores `[B, C]` of every image and caption, equal to those of `CrossAttention.align`; higher is better.

    Args:
        scorer: how words and regions attend and score.
        regions_BRD: unit vectors; padded ones may have any value.
        mask_BR: True for real regions.
        queries_CQD: unit vectors of words or phrases; padded ones may have any value.
        mask_CQ: True for real queries.
        budget_bytes: approximate memory limit besides the inputs and the result, at least that of one image and one
            caption. It does not change the result. For a gradient, the cosines of all pairs are kept besides, and what
            is computed from them where the budget holds it. The GPU
            kernel takes as much as the inputs, for packed copies of them, whatever the budget.

    Returns:
        Scores in single precision, or in the inputs' if that is higher; 0 for a caption without queries and for an
        image without regions.
    """
    if runs_on(regions_BRD, queries_CQD) and supports(scorer):
        return fused_scores(scorer, regions_BRD, mask_BR, queries_CQD, mask_CQ)
    dtype = torch.promote_types(regions_BRD.dtype, torch.float32)
    score_BC = torch.zeros(len(mask_BR), len(mask_CQ), dtype=dtype, device=regions_BRD.device)
    if score_BC.numel() == 0 or regions_BRD.shape[1] == 0:
        return score_BC
    gradient = torch.is_grad_enabled() and (regions_BRD.requires_grad or queries_CQD.requires_grad)
    cosines = int(mask_BR.sum()) * int(mask_CQ.sum())
    recomputed = gradient and _KEPT * cosines * dtype.itemsize > budget_bytes
    parallel = not (gradient or torch.is_autocast_enabled(regions_BRD.device.type))
    plan = BlockPlan(regions_BRD, mask_BR, queries_CQD, mask_CQ, budget_bytes, parallel, padded=gradient)
    plan.fill(score_BC, partial(_block, scorer, recomputed), "i2t" in scorer.directions)
    return score_BC


def _block(scorer: AttentionScorer, recomputed: bool, images: ImageBlock, captions: CaptionBlock) -> torch.Tensor:
    """Scores `[b, c]` of a block of images and a block of captions."""
    cosine_BRQC = images.cosines(captions)
    with torch.autocast(cosine_BRQC.device.type, enabled=False):
        cosine_BRQC = cosine_BRQC.to(torch.promote_types(cosine_BRQC.dtype, torch.float32))
        score_BC = cosine_BRQC.new_zeros(cosine_BRQC.shape[0], cosine_BRQC.shape[3])
        if "t2i" in scorer.directions:
            grams, masks = images.gram_BRR, (images.mask_BR, captions.mask_CQ)
            score_BC = score_BC + _pieces(scorer, "t2i", cosine_BRQC, grams, *masks, recomputed)
        if captions.gram_CQQ is not None:
            cosine_CQRB = cosine_BRQC.permute(3, 2, 1, 0)
            grams, masks = captions.gram_CQQ, (captions.mask_CQ, images.mask_BR)
            score_BC = score_BC + _pieces(scorer, "i2t", cosine_CQRB, grams, *masks, recomputed).T
        return score_BC if images.mask_BR is None else score_BC * images.mask_BR.any(dim=1, keepdim=True)


def _pieces(
    scorer: AttentionScorer,
    direction: Literal["t2i", "i2t"],
    cosine_KNQJ: torch.Tensor,
    gram_KNN: torch.Tensor,
    context_mask_KN: torch.Tensor | None,
    query_mask_JQ: torch.Tensor | None,
    recomputed: bool,
) -> torch.Tensor:
    """Scores `[K, J]` of one direction, computed for a few owners of contexts at a time."""
    query_mask_1QJ = None if query_mask_JQ is None else query_mask_JQ.T[None]
    mask_1QJ = (
        cosine_KNQJ.new_ones(1, *cosine_KNQJ.shape[2:], dtype=torch.bool) if query_mask_1QJ is None else query_mask_1QJ
    )

    def score(cosine: torch.Tensor, gram: torch.Tensor, context_mask: torch.Tensor | None = None) -> torch.Tensor:
        attended = attend(scorer, cosine.contiguous(), gram, context_mask, query_mask_KQJ=query_mask_1QJ)
        return scorer.score(attended, mask_1QJ, direction)

    # What the gradient keeps is in memory anyway: pieces in the cache help only where it is computed again.
    whole = cosine_KNQJ.requires_grad and not recomputed
    size = len(cosine_KNQJ) if whole else max(1, PIECE // max(1, cosine_KNQJ[0].numel()))
    parts = [torch.split(whole, size) for whole in (cosine_KNQJ, gram_KNN, context_mask_KN) if whole is not None]
    if not recomputed:
        return torch.cat([score(*part) for part in zip(*parts, strict=True)])
    again = [
        checkpoint(score, *part, use_reentrant=False, preserve_rng_state=False) for part in zip(*parts, strict=True)
    ]
    return torch.cat(again)


class ImageBlock(NamedTuple):
    """The images of a block.

    Attributes:
        number_B: their indices.
        regions_BRD: unit vectors; zero where padded.
        gram_BRR: Gram matrices of the regions.
        mask_BR: True for real regions; None: all are.
    """

    number_B: torch.Tensor
    regions_BRD: torch.Tensor
    gram_BRR: torch.Tensor
    mask_BR: torch.Tensor | None

    def cosines(self, captions: CaptionBlock) -> torch.Tensor:
        """Cosines `[B, R, Q, C]` of all regions and words of two blocks, as one matrix product."""
        product = self.regions_BRD.flatten(0, 1) @ captions.queries_QCD.flatten(0, 1).T
        return product.view(*self.regions_BRD.shape[:2], *captions.queries_QCD.shape[:2])


class CaptionBlock(NamedTuple):
    """The captions of a block.

    Attributes:
        number_C: their indices.
        queries_QCD: unit vectors of their words: the first words of all captions, then the second ones, …; zero where
            padded.
        gram_CQQ: Gram matrices of the words, where the block was made with them.
        mask_CQ: True for real words; None: all are.
    """

    number_C: torch.Tensor
    queries_QCD: torch.Tensor
    gram_CQQ: torch.Tensor | None
    mask_CQ: torch.Tensor | None


class BlockPlan:
    """Cuts images and captions into blocks, and prepares chunks of image blocks once, within a memory budget.

    Args:
        regions_BRD, mask_BR, queries_CQD, mask_CQ: as for `score_matrix`.
        budget_bytes: approximate memory limit of chunks and blocks, for all cores together.
        parallel: let each core compute its own blocks; for scores without gradients only.
        padded: let captions of different lengths share a block, whose shorter captions are padded; else all captions
            of a block have one length.
    """

    def __init__(
        self,
        regions_BRD: torch.Tensor,
        mask_BR: torch.Tensor,
        queries_CQD: torch.Tensor,
        mask_CQ: torch.Tensor,
        budget_bytes: int,
        parallel: bool = False,
        *,
        padded: bool = False,
    ) -> None:
        self._cores = torch.get_num_threads() if parallel and regions_BRD.device.type == "cpu" else 1
        self._regions_BRD, self._mask_BR = regions_BRD, mask_BR
        self._queries_CQD, self._padded = queries_CQD, padded
        self._length_C = mask_CQ.sum(dim=1).cpu()
        self._first_C = self._length_C.cumsum(0) - self._length_C
        self._real_T = mask_CQ.flatten().nonzero()[:, 0].cpu()  # rows of the real queries, caption by caption
        self._whole = bool(mask_BR.all())
        self._width = regions_BRD.shape[2]
        self._item = torch.promote_types(regions_BRD.dtype, torch.float32).itemsize
        self._budget = budget_bytes // self._item
        self._words, self._columns = _WORDS, _REGIONS
        # Half of the budget is for blocks: their vectors, their cosines, and what is computed from a piece of them.
        while self._cores * self._working() > self._budget // 2 and max(self._words, self._columns) > 1:
            if self._words > self._columns:
                self._words //= 2
            else:
                self._columns //= 2

    def _working(self) -> int:
        """Numbers that a block of the current size takes."""
        cosines = self._words * self._columns
        return (self._words + self._columns) * self._width + 2 * cosines + 6 * min(cosines, PIECE)

    def fill(
        self, score_BC: torch.Tensor, block_scores: Callable[[ImageBlock, CaptionBlock], torch.Tensor], grams: bool
    ) -> None:
        """Set the scores of all pairs, block by block; those of captions without queries are left unchanged.

        Args:
            score_BC: the scores to set.
            block_scores: returns the scores `[b, c]` of a block of images and a block of captions.
            grams: whether `block_scores` needs the captions' Gram matrices.
        """
        groups = self._caption_groups()
        words = self._packed(groups)
        for images in self._image_chunks():

            def score(group: int, images: list[ImageBlock] = images) -> None:
                captions = self._captions(groups[group], words[group], grams)
                for some in images:
                    score_BC[some.number_B[:, None], captions.number_C] = block_scores(some, captions)

            run_on_cores(score, range(len(groups)), self._cores if len(groups) >= 4 * self._cores else 1)

    def blocks(self, grams: bool) -> Iterator[tuple[ImageBlock, CaptionBlock]]:
        """The blocks of `fill`, one after the other."""
        groups = self._caption_groups()
        words = self._packed(groups)
        for images in self._image_chunks():
            for group, number_C in enumerate(groups):
                captions = self._captions(number_C, words[group], grams)
                yield from ((some, captions) for some in images)

    def _image_chunks(self) -> Iterator[list[ImageBlock]]:
        """Blocks of images with their Gram matrices, as many at a time as half of the budget holds."""
        images, regions = self._mask_BR.shape
        order_B = torch.arange(images) if self._whole else used_columns(self._mask_BR).argsort(stable=True).cpu()
        copied = 0 if self._whole else self._width
        a_chunk = max(1, self._budget // 2 // max(1, regions * (regions + copied)))
        a_block = max(1, self._columns // max(1, regions))
        for chunk in torch.split(order_B, a_chunk):
            regions_BRD = self._regions_BRD
            regions_BRD = (
                regions_BRD[int(chunk[0]) : int(chunk[-1]) + 1]
                if self._whole
                else regions_BRD.index_select(0, chunk.to(regions_BRD.device))
            )
            blocks = zip(torch.split(chunk, a_block), torch.split(regions_BRD, a_block), strict=True)
            yield [self._images(index.to(regions_BRD.device), part_BRD) for index, part_BRD in blocks]

    def _images(self, index: torch.Tensor, regions_BRD: torch.Tensor) -> ImageBlock:
        mask_BR = None
        if not self._whole:
            mask_BR = self._mask_BR[index]
            mask_BR = mask_BR[:, : max(1, int(used_columns(mask_BR).max()))]
            regions_BRD = regions_BRD[:, : mask_BR.shape[1]].masked_fill(~mask_BR[..., None], 0)
        return ImageBlock(index, regions_BRD, _gram(regions_BRD), mask_BR)

    def _caption_groups(self) -> list[torch.Tensor]:
        """Indices of the captions of each block, the longest first; captions without queries are in none."""
        counts = [count for count in self._length_C.bincount()[1:].flip(0).tolist() if count]  # of each length
        order_C = self._length_C.argsort(descending=True, stable=True)[: sum(counts)]
        groups: list[torch.Tensor] = []
        for some_C in torch.split(order_C, [sum(counts)] if self._padded and counts else counts):
            groups += some_C.tensor_split(-(-len(some_C) // max(1, self._words // int(self._length_C[some_C[0]]))))
        return groups

    def _packed(self, groups: list[torch.Tensor]) -> Sequence[torch.Tensor | None]:
        """The words of each group where a gradient is needed, which then reaches all groups at once; else None."""
        if not (groups and torch.is_grad_enabled() and self._queries_CQD.requires_grad):
            return [None] * len(groups)
        rows = [self._rows(number_C) for number_C in groups]
        return torch.split(self._words_of(torch.cat(rows)), [len(row_M) for row_M in rows])

    def _captions(self, number_C: torch.Tensor, words_MD: torch.Tensor | None, grams: bool) -> CaptionBlock:
        words_MD = self._words_of(self._rows(number_C)) if words_MD is None else words_MD
        queries_QCD = words_MD.view(-1, len(number_C), words_MD.shape[1])
        gram_CQQ = _gram(queries_QCD.transpose(0, 1)) if grams else None
        mask_QC = self._mask(number_C)
        mask_CQ = None if bool(mask_QC.all()) else mask_QC.T.to(words_MD.device)
        return CaptionBlock(number_C.to(words_MD.device), queries_QCD, gram_CQQ, mask_CQ)

    def _mask(self, number_C: torch.Tensor) -> torch.Tensor:
        """True for the real words `[Q, C]` of captions."""
        length_C = self._length_C[number_C]
        return torch.arange(int(length_C[0]))[:, None] < length_C

    def _rows(self, number_C: torch.Tensor) -> torch.Tensor:
        """Rows of `[C Q]`: the first words of captions, then the second ones, …; -1 where padded."""
        mask_QC = self._mask(number_C)
        place_QC = (self._first_C[number_C] + torch.arange(len(mask_QC))[:, None]) * mask_QC
        return self._real_T[place_QC].masked_fill(~mask_QC, -1).flatten()

    def _words_of(self, row_M: torch.Tensor) -> torch.Tensor:
        words_MD = self._queries_CQD.flatten(0, 1).index_select(0, row_M.clamp(min=0).to(self._queries_CQD.device))
        padded_M = row_M < 0
        return words_MD.masked_fill(padded_M[:, None].to(words_MD.device), 0) if padded_M.any() else words_MD


def _gram(vectors_KND: torch.Tensor) -> torch.Tensor:
    """Gram matrices `[K, N, N]` of unit vectors, in single precision or higher."""
    with torch.autocast(vectors_KND.device.type, enabled=False):
        vectors_KND = vectors_KND.to(torch.promote_types(vectors_KND.dtype, torch.float32))
        return vectors_KND @ vectors_KND.transpose(1, 2)
