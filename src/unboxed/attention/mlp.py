"""Small networks over the real rows of padded tensors."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["MaskedMLP"]


class MaskedMLP(nn.Module):
    """Linear – batch norm – ReLU blocks and a last linear map, over real rows only.

    Padded rows neither enter the batch statistics nor cost time, and come out as zeros.

    Args:
        layers: number of linear maps; 1 is a single one.
        batch_norm: normalise the hidden layers over the rows of a batch.
    """

    def __init__(
        self, input_width: int, hidden_width: int, output_width: int, layers: int = 2, batch_norm: bool = True
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = input_width
        for _ in range(layers - 1):
            blocks += [nn.Linear(width, hidden_width)]
            blocks += [nn.BatchNorm1d(hidden_width)] * batch_norm
            blocks += [nn.ReLU()]
            width = hidden_width
        self.map = nn.Sequential(*blocks, nn.Linear(width, output_width))
        self.output_width = output_width

    def forward(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[..., input_width]` and a mask `[...]` to `[..., output_width]`."""
        output = rows.new_zeros(*mask.shape, self.output_width)
        output[mask] = self.map(rows[mask])
        return output
