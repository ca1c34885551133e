"""Weights of a model as safetensors, written in one step."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from unboxed.errors import RunError
from unboxed.runtime.tensor_file import write_tensor_file

_DIGEST = "sha256"

__all__ = ["check_shapes", "load_weights", "read_tensors", "save_weights", "write_tensors"]


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


def check_shapes(path: Path, model: torch.nn.Module) -> None:
    """Compare the shapes in the header of a safetensors file with those of a model, which may be on the meta device.

    Raises:
        RunError: the file cannot be read, or a tensor has another shape. Which names are missing is found on loading.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            shapes = {name: list(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RunError(f"Cannot read {path}: {error}. Restore it, or train the run again.") from None
    for name, expected in model.state_dict().items():
        if name in shapes and shapes[name] != list(expected.shape):
            raise RunError(
                f"{path} holds the weights of another model: {name} has the shape {shapes[name]}, and config.json "
                f"gives {list(expected.shape)}. Restore both files, or train the run again."
            )


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write named tensors, text metadata and a digest of the tensors to a safetensors file in one step."""
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_tensor_file(path, stored, {**metadata, _DIGEST: _digest(stored)})


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and metadata of a safetensors file.

    Raises:
        RunError: it cannot be read, or its tensors differ from the digest that was written with them. Files of earlier
            versions have no digest.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            metadata = dict(stored.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise RunError(f"Cannot read {path}: {error}. Restore it, or train the run again.") from None
    if metadata.pop(_DIGEST, None) not in (None, _digest(tensors)):
        raise RunError(f"{path} is damaged: its content changed after it was written. Restore it, or train again.")
    return tensors, metadata


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    """sha256 over the names, kinds, shapes and bytes of contiguous tensors on the CPU."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
