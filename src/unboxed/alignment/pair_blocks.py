"""Images and captions cut into the blocks that scores of all pairs are made in: no padded word, and within a budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from unboxed.alignment.blocks import reach

__all__ = ["PIECE", "BlockPlan", "CaptionBlock", "ImageBlock"]

PIECE = 2**17
"""Cosines (or other numbers) of a block that are worked on at a time, to stay in a core's cache."""

_WORDS, _REGIONS = 512, 1152  # of a block: wide enough for the product to be as fast as a large one


class ImageBlock(NamedTuple):
    """Images of a block: which they are, their regions, Gram matrices, and mask unless all regions are real."""

    number_B: torch.Tensor
    codes_BRD: torch.Tensor
    gram_BRR: torch.Tensor
    mask_BR: torch.Tensor | None

    def cosines(self, captions: CaptionBlock) -> torch.Tensor:
        """`[B, R, Q, C]` of all regions and words of two blocks, as one matrix product."""
        product = self.codes_BRD.flatten(0, 1) @ captions.codes_QCD.flatten(0, 1).T
        return product.view(*self.codes_BRD.shape[:2], *captions.codes_QCD.shape[:2])


class CaptionBlock(NamedTuple):
    """Captions of one length: which they are, their words, all first words first, and their Gram matrices."""

    number_C: torch.Tensor
    codes_QCD: torch.Tensor
    gram_CQQ: torch.Tensor | None


class BlockPlan:
    """How images and captions are cut into blocks, and chunks of blocks that are prepared once, within a budget."""

    def __init__(
        self,
        regions_BRD: torch.Tensor,
        mask_BR: torch.Tensor,
        queries_CQD: torch.Tensor,
        mask_CQ: torch.Tensor,
        budget_bytes: int,
    ) -> None:
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
        # Half of the budget is a block's: its vectors, its cosines, and what a piece of them becomes.
        while self._working() > self._budget // 2 and max(self._words, self._columns) > 1:
            if self._words > self._columns:
                self._words //= 2
            else:
                self._columns //= 2

    def _working(self) -> int:
        cosines = self._words * self._columns
        return (self._words + self._columns) * self._width + 2 * cosines + 6 * min(cosines, PIECE)

    def image_chunks(self) -> Iterator[list[ImageBlock]]:
        """Blocks of images with their Gram matrices, as many at a time as half of the budget holds."""
        images, regions = self._mask_BR.shape
        order_B = torch.arange(images) if self._whole else reach(self._mask_BR).argsort(stable=True).cpu()
        copied = 0 if self._whole else self._width
        a_chunk = max(1, self._budget // 2 // max(1, regions * (regions + copied)))
        a_block = max(1, self._columns // max(1, regions))
        for chunk in torch.split(order_B, a_chunk):
            yield [self._images(index) for index in torch.split(chunk, a_block)]

    def _images(self, index: torch.Tensor) -> ImageBlock:
        device = self._mask_BR.device
        if self._whole:
            codes_BRD, mask_BR = self._regions_BRD[int(index[0]) : int(index[-1]) + 1], None
        else:
            mask_BR = self._mask_BR[index.to(device)]
            mask_BR = mask_BR[:, : max(1, int(reach(mask_BR).max()))]
            codes_BRD = self._regions_BRD[index.to(device), : mask_BR.shape[1]].masked_fill(~mask_BR[..., None], 0)
        return ImageBlock(index.to(device), codes_BRD, _gram(codes_BRD), mask_BR)

    def caption_blocks(self, grams: bool) -> Iterator[CaptionBlock]:
        """Blocks of captions of one length; those of no length are in none."""
        device = self._queries_CQD.device
        flat_TD = self._queries_CQD.flatten(0, 1)
        for length in sorted(set(self._length_C.tolist())):
            if length == 0:
                continue
            same = (self._length_C == length).nonzero()[:, 0]
            blocks = -(-len(same) // max(1, self._words // length))
            for index in same.tensor_split(blocks):
                row_QC = self._real_T[self._first_C[index] + torch.arange(length)[:, None]]
                codes_QCD = flat_TD.index_select(0, row_QC.flatten().to(device)).view(length, len(index), -1)
                yield CaptionBlock(index.to(device), codes_QCD, _gram(codes_QCD.transpose(0, 1)) if grams else None)


def _gram(codes_KND: torch.Tensor) -> torch.Tensor:
    """Cosines of each owner's vectors among themselves, never in less than single precision."""
    with torch.autocast(codes_KND.device.type, enabled=False):
        codes_KND = codes_KND.to(torch.promote_types(codes_KND.dtype, torch.float32))
        return codes_KND @ codes_KND.transpose(1, 2)
