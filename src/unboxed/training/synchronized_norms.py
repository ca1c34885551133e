"""Batch norms whose statistics are those of the batches of all processes, on any device."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.nn.functional import batch_norm

from unboxed.attention.normalize import CaptionBatchNorm, SharedBatchNorm
from unboxed.runtime.ranks import gather_results, sum_over_ranks
from unboxed.training.replaced_forward import replaced_forward

__all__ = ["synchronized_norms"]


def synchronized_norms(model: nn.Module) -> AbstractContextManager[None]:
    """A context in which the batch norms of `model` normalize by the mean and variance over all processes.

    `torch.nn.SyncBatchNorm` does so on GPUs alone. All processes must call the same norms in the same order. A caption
    that is normalized by itself needs its own process only; the running statistics follow the captions of all.
    """
    return replaced_forward(model, (nn.BatchNorm1d, nn.BatchNorm2d), _normalized)


def _normalized(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, rows: torch.Tensor, mask_BCN: torch.Tensor | None = None
) -> torch.Tensor:
    if mask_BCN is not None and isinstance(norm, CaptionBatchNorm):
        return norm.by_caption(rows, mask_BCN, gather_results)
    if isinstance(norm, SharedBatchNorm):
        return _over_all(norm, rows[:, None])[:, 0]
    return _over_all(norm, rows)


def _over_all(norm: nn.BatchNorm1d | nn.BatchNorm2d, rows: torch.Tensor) -> torch.Tensor:
    """Rows `[N, channels, …]` normalized by statistics over all axes but the second."""
    axes = [axis for axis in range(rows.ndim) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(rows.ndim)]
    own = rows.new_tensor([rows.numel() // rows.shape[1]])
    sums = sum_over_ranks(torch.cat([rows.sum(dim=axes), own]))
    count = float(sums[-1].detach())
    if count < 2:  # no variance: by the running statistics, as the norms of one process
        return batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    mean = sums[:-1] / count
    variance = sum_over_ranks((rows - mean.view(shape)).square().sum(dim=axes)) / count
    _update(norm, mean.detach(), variance.detach() * count / (count - 1))
    normal = (rows - mean.view(shape)) * (variance + norm.eps).rsqrt().view(shape)
    return normal * norm.weight.view(shape) + norm.bias.view(shape)


def _update(norm: nn.BatchNorm1d | nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """The running statistics, as PyTorch keeps them."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    with torch.no_grad():
        norm.num_batches_tracked += 1
        momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
        norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)
