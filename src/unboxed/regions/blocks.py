"""PFAN's positions: the blocks of an image that boxes cover, computed from boxes or read from its `{split}_boxes.npy`.

The file (Wang et al., IJCAI 2019) is float64 `[N, R, 30]`: 15 numbers of blocks of a 16 x 16 grid, `column · 16 + row`,
or 256 if a box covers fewer blocks; then the share of each, largest first, summing to 1. The order of the columns
follows the one sample that could be inspected. PFAN's computation of blocks from boxes was never released;
`cover_blocks` reconstructs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unboxed.data.readers.scan import open_rows
from unboxed.errors import DatasetError, RegionsError

__all__ = ["GRID", "SLOTS", "BlockCover", "block_columns", "cover_blocks", "read_blocks"]

GRID, SLOTS = 16, 15


class BlockCover(NamedTuple):
    """The blocks that boxes cover most, largest share first.

    Attributes:
        block: int64 `[..., slots]` block numbers `column · grid + row`; `grid²` if a box covers fewer blocks.
        share: `[..., slots]` covered area of each block; sums to 1 over the slots, 0 where there is no block.
    """

    block: torch.Tensor
    share: torch.Tensor


def cover_blocks(edges: torch.Tensor, grid: int = GRID, slots: int = SLOTS) -> BlockCover:
    """The `slots` blocks of a `grid` x `grid` image that each box covers most.

    Blocks that are covered equally are ordered by column, then by row.

    Args:
        edges: `[..., 4]` x1, y1, x2, y2 as shares of the image's width and height; clipped to the image.
        grid: blocks along each side.
        slots: number of blocks that are kept.

    Returns:
        Blocks and shares; a box without area has no block.
    """
    lines = torch.arange(grid + 1, device=edges.device, dtype=edges.dtype) / grid
    across = _shared(edges[..., 0, None], edges[..., 2, None], lines)
    down = _shared(edges[..., 1, None], edges[..., 3, None], lines)
    area = (across[..., :, None] * down[..., None, :]).flatten(-2)
    # The areas of wholly covered blocks differ in their last bits; rounded, and kept in order, they are equal on every
    # machine. A block that is hardly covered still ranks before one that is not.
    largest = area.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(area.dtype).tiny)
    rank = torch.where(area > 0, (area / largest * 1e5).round().clamp(min=1), 0).to(torch.int64)
    later = torch.arange(grid**2, device=edges.device)
    order = (rank * grid**2 - later).topk(min(slots, grid**2), dim=-1).indices
    weight = area.gather(-1, order)
    total = weight.sum(dim=-1, keepdim=True)
    block = torch.where(weight > 0, order, grid**2)
    return BlockCover(block, torch.where(total > 0, weight / total.clamp(min=torch.finfo(area.dtype).tiny), 0))


def block_columns(boxes: npt.ArrayLike, width: float, height: float) -> npt.NDArray[np.float64]:
    """The thirty columns `[..., 30]` of boxes `[..., 4]`, x1, y1, x2, y2 in pixels of an image of that size."""
    edges = np.asarray(boxes, np.float64) / np.array([width, height, width, height])
    cover = cover_blocks(torch.from_numpy(edges))
    return np.concatenate([cover.block.numpy(), cover.share.numpy()], axis=-1, dtype=np.float64)


def read_blocks(path: Path, rows: slice | int = slice(None)) -> BlockCover:
    """Some rows of PFAN's file; only these are read from the disk.

    Raises:
        RegionsError: no such file, or values that cannot be blocks and shares.
    """
    try:
        columns = open_rows(path, 3)
    except DatasetError as error:
        raise RegionsError(str(error)) from None
    if columns.shape[2] != 2 * SLOTS:
        boxes = " Four columns are boxes; `block_columns` computes blocks from them." if columns.shape[2] == 4 else ""
        raise RegionsError(f"{path} has {columns.shape[2]} columns; expected {2 * SLOTS}.{boxes}")
    values = torch.from_numpy(np.array(columns[rows], np.float64))
    block, share = values[..., :SLOTS], values[..., SLOTS:]
    is_block = (block >= 0) & (block <= GRID**2) & (block == block.floor())
    if not is_block.all() or not ((share >= 0) & (share <= 1 + 1e-6)).all():
        raise RegionsError(
            f"{path} holds values that are no blocks (0..{GRID**2}) or no shares (0..1); expected {SLOTS} columns of "
            "each."
        )
    return BlockCover(block.to(torch.int64), share)


def _shared(low: torch.Tensor, high: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
    """Length `[..., grid]` that the interval from `low` to `high` shares with each interval between two lines."""
    return (torch.minimum(high, lines[1:]) - torch.maximum(low, lines[:-1])).clamp(min=0)
