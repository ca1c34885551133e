"""Normalization: unit vectors with finite gradients, standardized region inputs, and batch norm of few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn
from torch.nn.functional import batch_norm

from unboxed.types import Array

__all__ = [
    "EPSILON",
    "CaptionBatchNorm",
    "RowBatchNorm",
    "SharedBatchNorm",
    "Standardize",
    "cosine_to_attended",
    "inverse_norm",
    "inverse_root",
    "l2_normalize",
]

EPSILON = 1e-8
"""Vectors are divided by their length, or by this where they are shorter."""


def inverse_root(square: torch.Tensor) -> torch.Tensor:
    """`1 / √square`, constant below EPSILON²: finite, with a finite gradient, at 0 and below it (rounding errors)."""
    return square.clamp(min=EPSILON**2).rsqrt()


def l2_normalize(rows: torch.Tensor) -> torch.Tensor:
    """Rows, along the last axis, divided by their lengths. A row of zeros stays zero, and its gradient is finite."""
    return rows * inverse_root(rows.square().sum(dim=-1, keepdim=True))


def cosine_to_attended(product: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
    """Cosine of a unit vector and an attended vector whose weights sum to 1.

    Args:
        product: of the two vectors.
        square: `aᵀ G a`, the squared length of the attended vector.
    """
    return product * inverse_norm(square, torch.ones_like(square))


def inverse_norm(square: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """One over the length of an attended vector, a weighted sum of unit vectors.

    Where the unit vectors cancel out, the computed squared length is only rounding error. It is then replaced by the
    largest value that rounding can produce, so that the cosine with an attended vector near zero is near zero.

    Args:
        square: `aᵀ G a`, the squared length.
        total: sum of the weights, >= 0; the result is large but finite where it is 0.
    """
    least = (4 * torch.finfo(square.dtype).eps * total.square()).clamp(min=torch.finfo(square.dtype).tiny)
    return torch.maximum(square, least).rsqrt()


class Standardize(nn.Module):
    """Subtracts the mean of each column, and divides by its standard deviation, but by no less than `smallest`.

    Both are measured once on training images. A class that is rarely detected has a small deviation; without a smallest
    one, its few confident detections, of 0.3 and of 0.9, would all be clipped to `limit`.

    Args:
        width: number of columns V.
        limit: standardized values are clipped to `[-limit, limit]`.
        smallest: the smallest divisor.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, width: int, limit: float = 10.0, smallest: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.limit = limit
        self.smallest = smallest

    def measure(self, regions: Iterable[Array], *, whole: bool = False) -> None:
        """Set means and deviations to those of the rows of the arrays `[R, V]`.

        Args:
            regions: the arrays.
            whole: all columns have one mean and one deviation, those of all numbers (CKD), however small.
        """
        count, total, squares = 0, np.zeros(len(self.mean)), np.zeros(len(self.mean))
        for rows in regions:
            count += len(rows)
            total += rows.sum(axis=0, dtype=np.float64)
            squares += np.square(rows, dtype=np.float64).sum(axis=0)
        mean = total / max(count, 1)
        square, smallest = squares / max(count, 1), self.smallest
        if whole:
            mean, square, smallest = np.full_like(mean, mean.mean()), np.full_like(mean, square.mean()), 1e-6
        deviation = np.sqrt(np.clip(square - mean**2, 0, None))
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.maximum(deviation, smallest)))

    def forward(self, features_BRV: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """`[B, R, V]` standardized, zero where the mask is False."""
        standard_BRV = features_BRV - self.mean
        # In place from here on: these are the largest arrays of a step, and nothing else refers to this one.
        return standard_BRV.div_(self.deviation).clamp_(-self.limit, self.limit).mul_(mask_BR[..., None])


class RowBatchNorm(nn.BatchNorm1d):
    """Batch norm that normalizes a single row by the running statistics, also in training."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows `[N, width]`, in the same shape."""
        if self.training and len(rows) < 2:
            return _by_running_statistics(self, rows)
        return super().forward(rows)


class SharedBatchNorm(nn.BatchNorm1d):
    """Batch norm with a single channel that all rows and columns share, so that there may be any number of rows.

    A batch of one value has no variance: it is normalized by the running statistics, also in training.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows `[N, width]`, in the same shape."""
        if self.training and rows.numel() < 2:
            return _by_running_statistics(self, rows[:, None])[:, 0]
        return super().forward(rows[:, None])[:, 0]


class CaptionBatchNorm(SharedBatchNorm):
    """A `SharedBatchNorm` that, called with a mask, normalizes the values of each caption by themselves in training.

    The running statistics follow those of the captions, one after the other, as if it were called for each.
    """

    def forward(self, values: torch.Tensor, mask_BCN: torch.Tensor | None = None) -> torch.Tensor:
        """Values `[B, C, N]` in the same shape, those of each c by the statistics of its real ones; or rows."""
        return super().forward(values) if mask_BCN is None else self.by_caption(values, mask_BCN)

    def by_caption(
        self,
        value_BCN: torch.Tensor,
        mask_BCN: torch.Tensor,
        gathered: Callable[[torch.Tensor], torch.Tensor] = lambda own: own,
    ) -> torch.Tensor:
        """`forward` with a mask.

        Args:
            value_BCN: the values.
            mask_BCN: True for real ones.
            gathered: from numbers of the captions of this process to those of all, which the running statistics follow.
        """
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        value_BCN, count_C = value_BCN.to(self.weight.dtype), mask_BCN.sum(dim=(0, 2))
        axes, divisor_C = (0, 2), count_C.clamp(min=1)
        mean_C = (value_BCN * mask_BCN).sum(dim=axes) / divisor_C
        offset_BCN = (value_BCN - mean_C[:, None]) * mask_BCN
        variance_C = offset_BCN.square().sum(dim=axes) / divisor_C
        spread_C = gathered((variance_C * count_C / (count_C - 1)).detach())
        means_C, counted_C = gathered(mean_C.detach()), gathered(count_C) > 1  # one value has no variance
        few_C = count_C < 2
        mean_C = torch.where(few_C, self.running_mean.to(mean_C.dtype), mean_C)
        variance_C = torch.where(few_C, self.running_var.to(mean_C.dtype), variance_C)
        with torch.no_grad():
            self.num_batches_tracked += counted_C.sum()
            for mean, spread in zip(means_C[counted_C], spread_C[counted_C], strict=True):
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum or 0.0)
                self.running_var.lerp_(spread.to(self.running_var.dtype), self.momentum or 0.0)
        inverse_C = (variance_C + self.eps).rsqrt()
        normal_BCN = (value_BCN - mean_C[:, None]) * inverse_C[:, None]
        return normal_BCN * self.weight + self.bias


def _by_running_statistics(norm: nn.BatchNorm1d, rows: torch.Tensor) -> torch.Tensor:
    return batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps)
