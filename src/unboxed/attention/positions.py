"""The position-focused region encoder of PFAN (Wang et al., IJCAI 2019).

The image is cut into 16 x 16 blocks, each with a learned vector. The position of a region is a weighted mean of the
vectors of the 15 blocks of which it covers most. The weights are a softmax over the covered share of a block times the
attention of the region's features to the block's vector. The authors released files of blocks and shares for
Flickr30K. Their repository also contains the computation (`extract_one_box` in `Tencent_PFAN/model_whole.py`), which
its code never calls; `cover_blocks` computes the same from boxes, and gives the blocks and shares of the files.
"""

from __future__ import annotations

import torch
from torch import nn

from unboxed.attention.scan import map_rows, xavier_linear

__all__ = ["PositionFocusedRegions", "cover_blocks"]


class PositionFocusedRegions(nn.Module):
    """Vectors, of unit length, of the features and the position of each region.

    Args:
        region_width: width V of a region's input.
        joint_width: width D of the result.
        position_width: width of a block's vector.
        masked: leave slots without a block out of both softmaxes. The reference implementation does not, so that the
            position of a small region is largely the vector of "no block".
        grid, slots: of `cover_blocks`.
        unit: scale the vectors to unit length (`ProjectedRegions`).
    """

    def __init__(
        self,
        region_width: int,
        joint_width: int,
        position_width: int = 200,
        masked: bool = False,
        grid: int = 16,
        slots: int = 15,
        unit: bool = True,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(grid**2 + 1, position_width)
        self.content = xavier_linear(region_width, position_width)
        self.map = xavier_linear(region_width + position_width, joint_width)
        self.masked = masked
        self.grid, self.slots = grid, slots
        self.unit = unit

    def positions(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor) -> torch.Tensor:
        """Position vectors `[B, R, position_width]` of regions, from boxes, or from blocks and shares `[B, R, 2L]`."""
        if edges_BR4.shape[-1] != 4:
            block_BRL, share_BRL = edges_BR4.chunk(2, dim=-1)
            return self.positions_of_blocks(inputs_BRV, block_BRL.long(), share_BRL)
        return self.positions_of_blocks(inputs_BRV, *cover_blocks(edges_BR4, self.grid, self.slots))

    def positions_of_blocks(
        self, inputs_BRV: torch.Tensor, block_BRL: torch.Tensor, share_BRL: torch.Tensor
    ) -> torch.Tensor:
        """Position vectors `[B, R, position_width]` of regions, from the blocks that they cover.

        Args:
            inputs_BRV: region inputs.
            block_BRL, share_BRL: of `cover_blocks`, or as the authors released them.
        """
        # Products with all 257 vectors, then looked up: no tensor [B, R, slots, position_width] is built.
        block_BRK = self.content(inputs_BRV) @ self.embedding.weight.T
        _, mixed_BRL = self.slot_weights(block_BRK.gather(-1, block_BRL), block_BRL, share_BRL)
        # Each block is in one slot only, but several slots may have no block: their weights are added.
        weight_BRK = torch.zeros_like(block_BRK).scatter_add(-1, block_BRL, mixed_BRL)
        return weight_BRK @ self.embedding.weight

    def slot_weights(
        self, product_BRL: torch.Tensor, block_BRL: torch.Tensor, share_BRL: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights `[B, R, slots]` of the blocks by content alone, and by content and covered share.

        Args:
            product_BRL: of the mapped inputs and the vectors of the blocks.
            block_BRL, share_BRL: as for `positions_of_blocks`.
        """
        suits_BRL = torch.tanh(product_BRL)
        real_BRL = block_BRL < self.grid**2 if self.masked else torch.ones_like(block_BRL, dtype=torch.bool)
        real_BRL = real_BRL | ~real_BRL.any(dim=-1, keepdim=True)
        content_BRL = suits_BRL.masked_fill(~real_BRL, float("-inf")).softmax(dim=-1)
        return content_BRL, (share_BRL * content_BRL).masked_fill(~real_BRL, float("-inf")).softmax(dim=-1)

    def forward(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """Vectors `[B, R, D]`, zero where padded."""
        rows = torch.cat([inputs_BRV, self.positions(inputs_BRV, edges_BR4)], dim=-1)
        return map_rows(self.map, rows, mask_BR, self.unit)


def cover_blocks(edges: torch.Tensor, grid: int = 16, slots: int = 15) -> tuple[torch.Tensor, torch.Tensor]:
    """The `slots` blocks of a `grid` x `grid` image that each box covers most.

    Blocks that are covered equally are ordered by column, then by row.

    Args:
        edges: `[..., 4]` x1, y1, x2, y2 as shares of the image's width and height; clipped to the image.
        grid: blocks along each side.
        slots: number of blocks that are kept.

    Returns:
        block: int64 `[..., slots]` block numbers `column · grid + row`, largest share first; `grid²` if a box covers
            fewer blocks.
        share: `[..., slots]` covered area of each block; sums to 1 over the slots, 0 where there is no block.
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
    return block, torch.where(total > 0, weight / total.clamp(min=torch.finfo(area.dtype).tiny), 0)


def _shared(low: torch.Tensor, high: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
    """Length `[..., grid]` that the interval from `low` to `high` shares with each interval between two lines."""
    return (torch.minimum(high, lines[1:]) - torch.maximum(low, lines[:-1])).clamp(min=0)
