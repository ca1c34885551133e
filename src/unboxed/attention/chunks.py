"""Computation of a large batch in chunks, of which one at a time is in memory, with the gradient of the whole."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

__all__ = ["in_chunks"]


def in_chunks(
    compute: Callable[[slice], tuple[torch.Tensor, ...]], total: int, chunk: int, dim: int = 1
) -> tuple[torch.Tensor, ...]:
    """What `compute` gives for consecutive slices, joined along an axis, with the gradient of the whole.

    Only the results are kept for the backward pass, which computes each chunk again, with the same random numbers: in
    memory are the numbers of one chunk, however large the batch is. It costs a second forward pass.

    Args:
        compute: from a slice to tensors with the slice along the axis.
        total: the length of that axis.
        chunk: the largest length of a slice.
        dim: the axis.
    """
    slices = [slice(first, min(first + chunk, total)) for first in range(0, total, chunk)]
    found = [checkpoint(compute, rows, use_reentrant=False) for rows in slices]
    return tuple(torch.cat(parts, dim=dim) for parts in zip(*found, strict=True))
