"""PFAN's `{split}_boxes.npy` (Wang et al., IJCAI 2019): the blocks that each region covers, and how much of each.

float64 `[N, R, 30]`: 15 numbers of blocks of a 16 x 16 grid, `column · 16 + row`, 256 where there are fewer; then the
share of each, largest first, summing to 1. The order of the columns is as in the one sample that could be inspected;
how boxes become blocks was never released, and is a reconstruction (`positions.cover_blocks`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.data.readers.scan import open_rows
from unboxed.errors import DatasetError, RegionsError

__all__ = ["SLOTS", "Blocks", "block_columns", "read_blocks"]

SLOTS = 15
_NO_BLOCK = 256


class Blocks(NamedTuple):
    """What regions cover.

    Attributes:
        block: `[..., 15]` block numbers, 256 where there is none.
        share: `[..., 15]` in [0, 1], 0 where there is none.
    """

    block: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]


def block_columns(boxes: npt.ArrayLike, width: float, height: float) -> npt.NDArray[np.float64]:
    """The thirty columns `[..., 30]` of boxes `[..., 4]`, x1, y1, x2, y2 in pixels of an image of that size."""
    import torch

    from unboxed.regions.blocks import cover_blocks

    edges = np.asarray(boxes, np.float64) / np.array([width, height, width, height])
    cover = cover_blocks(torch.from_numpy(edges), slots=SLOTS)
    return np.concatenate([cover.block.numpy(), cover.share.numpy()], axis=-1, dtype=np.float64)


def read_blocks(path: Path, rows: slice | int = slice(None)) -> Blocks:
    """Rows of such a file; only these are read from it.

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
    values = np.asarray(columns[rows], np.float64)
    block, share = values[..., :SLOTS], values[..., SLOTS:]
    is_block = (block >= 0) & (block <= _NO_BLOCK) & (block == np.floor(block))
    if not is_block.all() or not ((share >= 0) & (share <= 1 + 1e-6)).all():
        raise RegionsError(
            f"{path} holds values that are no blocks (0..{_NO_BLOCK}) or no shares (0..1); expected {SLOTS} columns of "
            "each."
        )
    return Blocks(block.astype(np.int64), share)
