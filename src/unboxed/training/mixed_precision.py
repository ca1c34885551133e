"""Mixed precision restricted to the matrix products of linear layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

__all__ = ["half_products"]


@contextmanager
def half_products(model: nn.Module) -> Iterator[None]:
    """A context in which the linear layers of `model` multiply in bfloat16, forward and backward.

    Their outputs, and everything else (weights, gradients, norms, attention, scores and losses), are in single
    precision. Autocast over a whole step would also affect norms, softmaxes and sums of squares, differently on every
    device. What gradient checkpointing computes again inside the context is computed in the same way.
    """
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for linear in linears:
        vars(linear)["forward"] = partial(_multiply, linear)  # takes precedence over the method of the class
    try:
        yield
    finally:
        for linear in linears:
            del vars(linear)["forward"]


def _multiply(linear: nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    with torch.autocast(rows.device.type, torch.bfloat16):
        return nn.functional.linear(rows, linear.weight, linear.bias).float()
