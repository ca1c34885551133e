"""The processes of a distributed training: which one this is, and what they exchange, with gradients.

Each process ("rank") computes its own share of a batch. Two kinds of exchange join the shares, and after the backward
pass the gradients of the weights are summed:

* **Inputs of further shares** (`gather_inputs`, `sum_over_ranks`): every rank computes something else with the
  gathered tensor, so its gradient is the sum of all ranks' gradients.
* **Results** (`gather_results`): every rank computes the same loss from the gathered tensor, so its gradient is the
  same on all, and each passes on that of its own share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["Ranks", "gather_inputs", "gather_results", "sum_gradients", "sum_over_ranks"]


@dataclass(frozen=True)
class Ranks:
    """This process among those of a distributed training.

    Attributes:
        number: of this process, from 0.
        count: of all processes.
    """

    number: int = 0
    count: int = 1

    @staticmethod
    def current() -> Ranks:
        """Those of the process group of `torch.distributed`; without one, a single process."""
        if not (dist.is_available() and dist.is_initialized()):
            return Ranks()
        return Ranks(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.number == 0

    def share(self, total: int) -> slice:
        """The consecutive items of `total` that belong to this process; the shares differ by one at most."""
        return slice(self.number * total // self.count, (self.number + 1) * total // self.count)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """A block that the first process runs before the others, which then find the files that it wrote."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def texts(self, text: str, device: torch.device) -> list[str]:
        """The texts of all processes, in order."""
        if self.count == 1:
            return [text]
        codes, _ = _gathered(torch.tensor([list(text.encode())], dtype=torch.uint8, device=device), 0)
        return [bytes(row).rstrip(b"\0").decode() for row in codes.tolist()]


def gather_inputs(tensor: torch.Tensor) -> torch.Tensor:
    """The tensors of all ranks along the first axis, padded with zeros to one size in the others; see the module.

    Args:
        tensor: a share; on all ranks with the same number of axes and the same type.
    """
    gathered: torch.Tensor = _Gather.apply(tensor, 0, True)  # type: ignore[no-untyped-call]
    return gathered


def gather_results(tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """As `gather_inputs`, along any axis, for tensors from which every rank computes the same loss."""
    gathered: torch.Tensor = _Gather.apply(tensor, dim, False)  # type: ignore[no-untyped-call]
    return gathered


def sum_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of the tensors of all ranks, for further shares."""
    total: torch.Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
    return total


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradients of parameters by their sums over all ranks; where no rank has one, it stays None."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    has = torch.tensor([parameter.grad is not None for parameter in trained], dtype=torch.int32)
    flat = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained]
        + [has.to(trained[0].device, trained[0].dtype)]
    )
    dist.all_reduce(flat)
    sizes = [*(parameter.numel() for parameter in trained), len(trained)]
    *gradients, counts = torch.split(flat, sizes)
    for parameter, gradient, count in zip(trained, gradients, counts.tolist(), strict=True):
        parameter.grad = gradient.view_as(parameter) if count else None


class _Gather(torch.autograd.Function):
    """Gathers along an axis; with `summed`, gradients are summed over the ranks."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, dim: int, summed: bool) -> torch.Tensor:
        ctx.dim, ctx.summed, ctx.shape = dim, summed, tensor.shape
        joined, sizes = _gathered(tensor, dim)
        ctx.first = sum(sizes[: dist.get_rank()])
        return joined

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = gradients
        if ctx.summed:
            gradient = gradient.contiguous().clone()
            dist.all_reduce(gradient)
        own = gradient.narrow(ctx.dim, ctx.first, ctx.shape[ctx.dim])
        return own[tuple(slice(size) for size in ctx.shape)], None, None


class _Sum(torch.autograd.Function):
    """Sums over the ranks, forward and backward."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _gathered(tensor: torch.Tensor, dim: int) -> tuple[torch.Tensor, list[int]]:
    """The tensors of all ranks along an axis, and their sizes there."""
    if tensor.dtype == torch.bool:
        joined, sizes = _gathered(tensor.to(torch.uint8), dim)
        return joined.bool(), sizes
    count = dist.get_world_size()
    shape = torch.tensor(tensor.shape, device=tensor.device)
    shapes = [torch.empty_like(shape) for _ in range(count)]
    dist.all_gather(shapes, shape)
    all_shapes = torch.stack(shapes)
    padded = tensor.new_zeros(all_shapes.amax(dim=0).tolist())
    padded[tuple(slice(size) for size in tensor.shape)] = tensor
    parts = [torch.empty_like(padded) for _ in range(count)]
    dist.all_gather(parts, padded)
    sizes = all_shapes[:, dim].tolist()
    return torch.cat([part.narrow(dim, 0, size) for part, size in zip(parts, sizes, strict=True)], dim=dim), sizes
