"""Linear layers that multiply in half precision, and all else as before."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

__all__ = ["half_linear", "multiply_in"]

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def half_linear(linear: nn.Linear, rows: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """`linear(rows)` multiplied in `dtype`, in single precision before and after.

    Autocast over a whole model would also affect norms, softmaxes and sums of squares, differently on every device.
    """
    with torch.autocast(rows.device.type, dtype):
        return nn.functional.linear(rows, linear.weight, linear.bias).float()


def multiply_in(model: nn.Module, precision: str) -> None:
    """Let the linear layers of a trained model multiply in a precision from now on.

    Args:
        model: its layers are changed, at any depth.
        precision: one of `runtime.precision`.
    """
    if precision == "32":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear):
            vars(module)["forward"] = partial(half_linear, module, dtype=_TYPES[precision])
