"""Weights of a model as safetensors, written in one step."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from unboxed.errors import RunError
from unboxed.runtime.atomic import atomic_path

__all__ = ["load_weights", "read_tensors", "save_weights", "write_tensors"]


def save_weights(path: Path, model: torch.nn.Module) -> None:
    """Write a model's weights and buffers to a safetensors file in one step."""
    write_tensors(path, dict(model.state_dict()), {})


def load_weights(path: Path, model: torch.nn.Module) -> None:
    """Read into `model` what `save_weights` wrote; raises `RunError` when it is damaged or of another model."""
    tensors, _ = read_tensors(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path} holds the weights of another model: {str(error).splitlines()[-1].strip()}") from None


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write named tensors and text metadata to a safetensors file in one step."""
    with atomic_path(path) as partial:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, metadata)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and metadata of a safetensors file; raises `RunError` when it cannot be read."""
    try:
        with safe_open(path, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RunError(f"Cannot read {path}: {error}. Restore it, or train the run again.") from None
