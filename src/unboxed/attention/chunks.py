"""Computation of a large batch in chunks, of which one at a time is in memory, with the gradient of the whole."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

__all__ = ["in_chunks"]


def in_chunks(compute: Callable[[slice], tuple[torch.Tensor, ...]], total: int, chunk: int) -> tuple[torch.Tensor, ...]:
    """What `compute` gives for consecutive slices, joined along axis 1, with the gradient of the whole.

    Only the results are kept for the backward pass, which computes each chunk again: in memory are the numbers of one
    chunk, however large the batch is. It costs a second forward pass of the pairs.

    Args:
        compute: from a slice to tensors with the slice along axis 1.
        total: the length of that axis.
        chunk: the largest length of a slice.
    """
    slices = [slice(first, min(first + chunk, total)) for first in range(0, total, chunk)]
    found = [checkpoint(compute, rows, use_reentrant=False) for rows in slices]
    return tuple(torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
