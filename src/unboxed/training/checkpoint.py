"""Files that are either the old ones or the new ones, never half of each, and the state to continue a run from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from unboxed.errors import RunError

__all__ = ["load_checkpoint", "load_weights", "save_checkpoint", "save_weights", "write_json"]


def write_json(path: Path, content: Any) -> None:
    """Write JSON to `path` in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)


def save_weights(path: Path, model: torch.nn.Module) -> None:
    """Write a model's weights and buffers to a safetensors file in one step."""
    _save(path, dict(model.state_dict()), {})


def load_weights(path: Path, model: torch.nn.Module) -> None:
    """Read into `model` what `save_weights` wrote; raises `RunError` when it is damaged or of another model."""
    tensors, _ = _load(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path} holds the weights of another model: {str(error).splitlines()[-1].strip()}") from None


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]
) -> None:
    """Write all that training needs to go on bit by bit: weights, buffers, optimiser state and `progress` (JSON)."""
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer/{index}/{name}"] = torch.as_tensor(value)
    _save(path, tensors, {"progress": json.dumps(progress)})


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put back what `save_checkpoint` wrote and return its progress.

    Raises:
        RunError: the file is damaged or belongs to another model.
    """
    tensors, metadata = _load(path)
    weights: dict[str, torch.Tensor] = {}
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "model":
            weights[rest] = value
        else:
            index, _, key = rest.partition("/")
            states.setdefault(int(index), {})[key] = value
    try:
        model.load_state_dict(weights)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        progress: dict[str, Any] = json.loads(metadata["progress"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise RunError(f"{path} does not continue this run: {error}; remove it to start anew.") from None
    return progress


def _save(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, beside, metadata)
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(path)


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RunError(f"Cannot read {path}: {error}. Restore it, or train the run again.") from None
