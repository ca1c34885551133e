"""Mixed precision that begins and ends at the matrix product of a linear map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

__all__ = ["half_products"]


@contextmanager
def half_products(model: nn.Module) -> Iterator[None]:
    """While open, the linear maps of `model` multiply in bfloat16, forward and backward, and give single precision.

    Autocast over a whole step would leave half precision in whatever follows a product: norms, softmaxes and sums of
    squares, differently on every device. Here nothing sees it but the product: weights, gradients, norms, attention,
    scores and losses are single. What a checkpoint computes again while this is open is computed the same way.
    """
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for linear in linears:
        vars(linear)["forward"] = partial(_multiply, linear)  # before the class's own
    try:
        yield
    finally:
        for linear in linears:
            del vars(linear)["forward"]


def _multiply(linear: nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    with torch.autocast(rows.device.type, torch.bfloat16):
        return nn.functional.linear(rows, linear.weight, linear.bias).float()
