"""What a released checkpoint becomes: a recipe with its options, and the name of each tensor in both models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from unboxed.convert.checkpoint import Checkpoint, check_names
from unboxed.errors import ModelError
from unboxed.recipes import RecipeConfig

__all__ = ["Layout", "checked", "gru_names", "layer_names", "linear_names", "norm_names"]


@dataclass(frozen=True, eq=False)
class Layout:
    """What a checkpoint becomes.

    Attributes:
        original: the name of the software that wrote it.
        recipe: the name of the recipe.
        options: its options, with the widths of the checkpoint.
        region_width: width of a region's features.
        tensors: those of the checkpoint by name, as the model of the recipe has them.
        names: their names, by those that the parameters and buffers of the model have.
        features: the format from which the features of its regions are imported.
        boxes: whether features of this format have boxes.
    """

    original: str
    recipe: str
    options: RecipeConfig
    region_width: int
    tensors: Mapping[str, torch.Tensor]
    names: Mapping[str, str]
    features: Literal["scan", "hdf5"]
    boxes: bool


def checked(
    checkpoint: Checkpoint,
    tensors: Mapping[str, torch.Tensor],
    names: Mapping[str, str],
    original: str,
    without_effect: Iterable[str] = (),
) -> dict[str, torch.Tensor]:
    """`tensors` in single precision, where they are exactly those that `names` lists, and those `without_effect`.

    Raises:
        ModelError: tensors that are missing or left over, the weight of a layer that is no matrix or of a batch norm
            that is no vector, numbers that are not finite, or variances below 0.
    """
    check_names(checkpoint.path, tensors, {*names.values(), *without_effect}, original)
    single = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    for name, value in single.items():
        kind, axes = ("vector", 1) if f"{name.removesuffix('weight')}running_mean" in tensors else ("matrix", 2)
        if ".weight" in name and value.ndim != axes:
            raise ModelError(f"{checkpoint.path}: {name} has the shape {list(value.shape)}; expected a {kind}.")
        if not value.isfinite().all():
            raise ModelError(f"{checkpoint.path}: {name} has values that are not finite in single precision.")
        if name.endswith("running_var") and (value < 0).any():
            raise ModelError(f"{checkpoint.path}: {name} has negative values; expected variances.")
    return single


def layer_names(ours: str, theirs: str, parts: tuple[str, ...]) -> dict[str, str]:
    """The names of the parameters of one layer."""
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in parts}


def linear_names(ours: str, theirs: str) -> dict[str, str]:
    """The names of the weight and the bias of a linear layer."""
    return layer_names(ours, theirs, ("weight", "bias"))


def norm_names(ours: str, theirs: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """The names of a batch norm's parameters and statistics. The count of batches is missing in old checkpoints."""
    parts = ("weight", "bias", "running_mean", "running_var")
    counted = f"{theirs}.num_batches_tracked" in tensors
    return layer_names(ours, theirs, (*parts, "num_batches_tracked") if counted else parts)


def gru_names(ours: str, theirs: str, bidirectional: bool) -> dict[str, str]:
    """The names of the parameters of a GRU of one layer."""
    kinds = [f"{kind}_{side}_l0" for kind in ("weight", "bias") for side in ("ih", "hh")]
    return layer_names(
        ours, theirs, tuple(f"{kind}{end}" for kind in kinds for end in (("", "_reverse") if bidirectional else ("",)))
    )
