"""Computation of a large batch in chunks, of which one at a time is in memory, with the gradient of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from unboxed.attention.batch_statistics import BatchNorm, Moments, Statistics
from unboxed.runtime.freed_memory import release_freed_memory
from unboxed.runtime.replaced_forward import replaced_forward

__all__ = ["in_chunks", "rows_in_chunks"]

Compute = Callable[[slice], tuple[torch.Tensor, ...]]


def in_chunks(compute: Compute, total: int, chunk: int, dim: int = 1) -> tuple[torch.Tensor, ...]:
    """What `compute` gives for consecutive slices, joined along an axis, with the gradient of the whole.

    Only the results are kept for the backward pass, which computes each chunk again, with the same random numbers: in
    memory are the numbers of one chunk, however large the batch is. It costs a second forward pass.

    Args:
        compute: from a slice to tensors with the slice along the axis.
        total: the length of that axis.
        chunk: the largest length of a slice.
        dim: the axis.
    """

    def of_chunk(rows: slice) -> tuple[torch.Tensor, ...]:
        release_freed_memory()  # of the chunk before, in the backward pass too
        return compute(rows)

    slices = [slice(first, min(first + chunk, total)) for first in range(0, total, chunk)]
    found = [checkpoint(of_chunk, rows, use_reentrant=False) for rows in slices]
    return tuple(torch.cat(parts, dim=dim) for parts in zip(*found, strict=True))


def rows_in_chunks(
    model: nn.Module, compute: Compute, total: int, chunk: int, device: torch.device
) -> tuple[torch.Tensor, ...]:
    """As `in_chunks` along the first axis, where `compute` calls batch norms of `model`, each over all rows.

    The mean and variance of a norm are those of all chunks, with their gradients. They are known before a later pass
    normalizes by them, so that each norm costs one more pass, which ends there.

    Args:
        model: its batch norms that are in training normalize in this way.
        compute: as of `in_chunks`; for each slice it calls the same norms in the same order.
        total, chunk: as of `in_chunks`.
        device: where it computes.
    """
    if not any(isinstance(module, BatchNorm) and module.training for module in model.modules()):
        return in_chunks(compute, total, chunk, dim=0)
    seeds = torch.randint(2**62, (-(-total // chunk),)).tolist()  # each pass has the same random numbers
    known: list[Statistics] = []
    while True:
        reached: list[BatchNorm] = []

        def part(
            rows: slice, known: tuple[Statistics, ...] = tuple(known), reached: list[BatchNorm] = reached
        ) -> tuple[torch.Tensor, ...]:
            with _random(seeds[rows.start // chunk], device):
                return _up_to_a_new_norm(model, compute, rows, known, reached)

        found = in_chunks(part, total, chunk, dim=0)
        if not reached:
            return found
        known.append(Statistics.over_all(reached[0], Moments(*found)))


class _NewNorm(Exception):  # noqa: N818 - it ends a pass, and is no error
    """A batch norm is reached whose statistics are not known."""

    def __init__(self, norm: BatchNorm, values: torch.Tensor) -> None:
        super().__init__()
        self.norm, self.values = norm, values


def _up_to_a_new_norm(
    model: nn.Module, compute: Compute, rows: slice, known: tuple[Statistics, ...], reached: list[BatchNorm]
) -> tuple[torch.Tensor, ...]:
    """What `compute` gives, or the moments of the first norm without known statistics, appended to `reached`."""
    remaining = iter(known)

    def forward(norm: BatchNorm, values: torch.Tensor) -> torch.Tensor:
        if not norm.training:
            return type(norm).forward(norm, values)
        statistics = next(remaining, None)
        if statistics is None:
            raise _NewNorm(norm, values)
        return statistics.normalized(norm, values)

    with replaced_forward(model, (nn.BatchNorm1d, nn.BatchNorm2d), forward):
        try:
            return compute(rows)
        except _NewNorm as new:
            reached.append(new.norm)
            return Moments.of(new.norm, new.values)


@contextmanager
def _random(seed: int, device: torch.device) -> Iterator[None]:
    """A block with random numbers of its own."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
