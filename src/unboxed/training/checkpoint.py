"""Checkpoints: all that training needs to continue exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from unboxed.errors import RunError
from unboxed.inference.weights import read_tensors, write_tensors

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]
) -> None:
    """Write all that training needs to continue exactly: weights, buffers, optimizer state and `progress` (JSON)."""
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer/{index}/{name}"] = torch.as_tensor(value)
    write_tensors(path, tensors, {"progress": json.dumps(progress)})


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, and return its progress.

    Raises:
        RunError: the file is damaged or belongs to another model.
    """
    tensors, metadata = read_tensors(path)
    weights: dict[str, torch.Tensor] = {}
    states: dict[int, dict[str, torch.Tensor]] = {}
    try:
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "model":
                weights[rest] = value
            else:
                index, _, key = rest.partition("/")
                states.setdefault(int(index), {})[key] = value
        progress: dict[str, Any] = json.loads(metadata["progress"])
        model.load_state_dict(weights)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    except (RuntimeError, ValueError, OverflowError, KeyError, RecursionError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise RunError(f"{path} does not continue this run: {reason}; remove it to start anew.") from None
    return progress
