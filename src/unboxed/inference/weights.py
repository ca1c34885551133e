"""Weights of a model as safetensors, written in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from unboxed.errors import RunError, plain_reason
from unboxed.runtime.tensor_digests import check_header, check_tensor_file, plain_metadata
from unboxed.runtime.tensor_file import write_tensor_file

__all__ = ["check_shapes", "load_weights", "read_tensors", "save_weights", "shapes_only", "write_tensors"]


def save_weights(path: Path, model: torch.nn.Module) -> None:
    """Write a model's weights and buffers to a safetensors file in one step."""
    write_tensors(path, dict(model.state_dict()), {})


def load_weights(path: Path, model: torch.nn.Module) -> None:
    """Read into `model` what `save_weights` wrote.

    Raises:
        RunError: it is damaged, of another model, or has values that are not finite.
    """
    tensors, _ = read_tensors(path)
    for name, values in tensors.items():
        if not values.isfinite().all():
            raise RunError(f"{path} holds NaN or infinite values in {name}. Restore it, or train the run again.")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path} holds the weights of another model: {str(error).splitlines()[-1].strip()}") from None


def check_shapes(path: Path, model: torch.nn.Module) -> None:
    """Compare the shapes in the header of a safetensors file with those of a model, which may be on the meta device.

    Raises:
        RunError: the file cannot be read, or a tensor has another shape. Which names are missing is found on loading.
    """
    with _explained(path):
        check_header(path)  # also for the reason why it may not be read, which safetensors does not give
        with safe_open(path, framework="pt") as stored:
            shapes = {name: list(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    for name, expected in model.state_dict().items():
        if name in shapes and shapes[name] != list(expected.shape):
            raise RunError(
                f"{path} holds the weights of another model: {name} has the shape {shapes[name]}, and config.json "
                f"gives {list(expected.shape)}. Restore both files, or train the run again."
            )


@contextmanager
def shapes_only() -> Iterator[None]:
    """A context in which models have shapes but no values, and need no memory."""
    with torch.device("meta"), _NoNormalNumbers():
        yield


class _NoNormalNumbers(TorchFunctionMode):
    """Fills no tensor with normal numbers: on the meta device, PyTorch loads its compiler for it, which takes 2 s."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return kwargs["tensor"] if func is torch.nn.init.normal_ else func(*args, **(kwargs or {}))


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write named tensors, and text metadata to a safetensors file in one step."""
    write_tensor_file(path, {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and metadata of a safetensors file.

    Raises:
        RunError: it cannot be read, or changed after it was written. Files of earlier versions have no digest.
    """
    with _explained(path):
        check_tensor_file(path)
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            metadata = plain_metadata(stored.metadata())
    return tensors, metadata


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Errors of reading a safetensors file as a `RunError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error}. Restore it, or train the run again.") from None
    except (SafetensorError, ValueError) as error:
        raise RunError(f"{path} is damaged: {plain_reason(error)}. Restore it, or train the run again.") from None
