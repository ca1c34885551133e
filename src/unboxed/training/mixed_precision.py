"""Mixed precision restricted to the matrix products of linear layers."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn

from unboxed.inference.half_precision import half_linear
from unboxed.runtime.replaced_forward import replaced_forward

__all__ = ["half_precision"]


def half_precision(model: nn.Module) -> AbstractContextManager[None]:
    """A context in which the linear layers of `model` multiply in bfloat16, forward and backward.

    Their outputs, and everything else (weights, gradients, norms, attention, scores and losses), are in single
    precision. Autocast over a whole step would also affect norms, softmaxes and sums of squares, differently on every
    device. What gradient checkpointing computes again inside the context is computed in the same way.
    """
    return replaced_forward(model, nn.Linear, half_linear)
