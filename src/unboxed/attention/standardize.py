"""Region inputs on one scale: a fixed shift and scale of each column, measured once on training images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from unboxed.types import Array

__all__ = ["Standardize"]


class Standardize(nn.Module):
    """Subtract each column's mean and divide by its standard deviation, but by no less than `smallest`.

    A class that is rarely seen varies little, and its few sure detections must not drown in the limit: without the
    smallest deviation, 0.3 and 0.9 would both be cut to it.

    Args:
        width: number of columns V.
        limit: standardised values are cut to `[-limit, limit]`, against the rare extreme.
        smallest: the least deviation.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, width: int, limit: float = 10.0, smallest: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.limit = limit
        self.smallest = smallest

    def measure(self, regions: Iterable[Array]) -> None:
        """Take the means and deviations of the rows of arrays `[R, V]`."""
        count, total, squares = 0, np.zeros(len(self.mean)), np.zeros(len(self.mean))
        for rows in regions:
            count += len(rows)
            total += rows.sum(axis=0, dtype=np.float64)
            squares += np.square(rows, dtype=np.float64).sum(axis=0)
        mean = total / max(count, 1)
        deviation = np.sqrt(np.clip(squares / max(count, 1) - mean**2, 0, None))
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.maximum(deviation, self.smallest)))

    def forward(self, features_BRV: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """`[B, R, V]` standardised, zero where the mask is False."""
        standard_BRV = features_BRV - self.mean
        # In place from here on: these are the largest arrays of a step, and nothing else knows of this one.
        return standard_BRV.div_(self.deviation).clamp_(-self.limit, self.limit).mul_(mask_BR[..., None])
