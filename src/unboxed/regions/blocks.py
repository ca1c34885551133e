"""The blocks of an image that boxes cover: the positions of PFAN (Wang et al., IJCAI 2019)."""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["BlockCover", "cover_blocks"]


class BlockCover(NamedTuple):
    """The blocks that boxes cover most of, largest share first.

    Attributes:
        block: `[..., slots]` block numbers `column · grid + row`; `grid²` where a box covers fewer blocks.
        share: `[..., slots]` covered area of each block; sums to 1 over the slots, 0 where there is no block.
    """

    block: torch.Tensor
    share: torch.Tensor


def cover_blocks(edges: torch.Tensor, grid: int = 16, slots: int = 15) -> BlockCover:
    """The `slots` blocks of a `grid` x `grid` image that each box covers most of.

    Blocks that are covered equally are taken column by column from the left, each from the top.

    Args:
        edges: `[..., 4]` x1, y1, x2, y2 as shares of the photograph's width and height; cut to the image.
        grid: blocks along each side.
        slots: how many blocks are kept.

    Returns:
        Blocks and shares; a box without area has no block at all.
    """
    lines = torch.arange(grid + 1, device=edges.device, dtype=edges.dtype) / grid
    across = _shared(edges[..., 0, None], edges[..., 2, None], lines)
    down = _shared(edges[..., 1, None], edges[..., 3, None], lines)
    area = (across[..., :, None] * down[..., None, :]).flatten(-2)
    # Blocks that a large box covers wholly differ in their last bits: rounded, and kept in order, they are equal
    # everywhere. What is covered ever so little still comes before what is not.
    largest = area.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(area.dtype).tiny)
    rank = torch.where(area > 0, (area / largest * 1e5).round().clamp(min=1), 0).to(torch.int64)
    later = torch.arange(grid**2, device=edges.device)
    order = (rank * grid**2 - later).topk(min(slots, grid**2), dim=-1).indices
    weight = area.gather(-1, order)
    total = weight.sum(dim=-1, keepdim=True)
    block = torch.where(weight > 0, order, grid**2)
    return BlockCover(block, torch.where(total > 0, weight / total.clamp(min=torch.finfo(area.dtype).tiny), 0))


def _shared(low: torch.Tensor, high: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
    """Length `[..., grid]` that the interval from `low` to `high` shares with each interval between two lines."""
    return (torch.minimum(high, lines[1:]) - torch.maximum(low, lines[:-1])).clamp(min=0)
