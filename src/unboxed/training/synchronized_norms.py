"""Batch norms whose statistics are those of the batches of all processes, on any device."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn

from unboxed.attention.batch_statistics import BatchNorm, Moments, Statistics
from unboxed.attention.normalize import CaptionBatchNorm
from unboxed.runtime.ranks import gather_results
from unboxed.runtime.replaced_forward import replaced_forward

__all__ = ["synchronized_norms"]


def synchronized_norms(model: nn.Module) -> AbstractContextManager[None]:
    """A context in which the batch norms of `model` normalize by the mean and variance over all processes.

    `torch.nn.SyncBatchNorm` does so on GPUs alone. All processes must call the same norms in the same order. A caption
    that is normalized by itself needs its own process only; the running statistics follow the captions of all.
    """
    return replaced_forward(model, (nn.BatchNorm1d, nn.BatchNorm2d), _normalized)


def _normalized(norm: BatchNorm, rows: torch.Tensor, mask_BCN: torch.Tensor | None = None) -> torch.Tensor:
    if mask_BCN is not None and isinstance(norm, CaptionBatchNorm):
        return norm.by_caption(rows, mask_BCN, gather_results)
    return Statistics.over_all(norm, Moments.of(norm, rows)).normalized(norm, rows)
