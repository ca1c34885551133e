"""Reads checkpoints of other software's training: plain values and tensors, and nothing that runs.

A checkpoint of PyTorch is a pickle, and a pickle is a program. It is read by PyTorch's restricted reader
(`weights_only=True`), which builds tensors and plain values and refuses everything else by its name. One class is
allowed besides: `argparse.Namespace`, in which these checkpoints keep the options of their training. It has no
constructor or method that does more than set its own attributes.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unboxed.errors import ModelError

__all__ = ["Checkpoint", "check_names", "read_checkpoint"]

_NAMED = 6  # tensors that a message lists


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        path: the file.
        content: what it holds, by name.
    """

    path: Path
    content: Mapping[str, Any]

    @property
    def parts(self) -> int:
        """The number of state dicts in the list `model`; 0 where there is no such list."""
        model = self.content.get("model")
        return len(model) if isinstance(model, list | tuple) and all(isinstance(p, Mapping) for p in model) else 0

    @property
    def epoch(self) -> int | None:
        """The epoch after which it was saved; `None` where it does not name it."""
        epoch = self.content.get("epoch")
        return epoch if type(epoch) is int else None

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by name: those of the list `model` as `model[0].NAME`, those of `state_dict` by their own.

        The part `module` of a name, which `nn.DataParallel` adds, is left out.

        Raises:
            ModelError: something else than dense tensors of real numbers among them, two of one name, or none.
        """
        if self.parts:
            named = [(f"model[{i}].{k}", v) for i, part in enumerate(self.content["model"]) for k, v in part.items()]
        else:
            state = self.content.get("state_dict")
            named = list(state.items()) if isinstance(state, Mapping) else []
        found: dict[str, torch.Tensor] = {}
        for name, value in named:
            if not isinstance(name, str):
                raise ModelError(f"{self.path}: {name!r} is the name of a tensor; expected a text.")
            if not isinstance(value, torch.Tensor):
                raise ModelError(f"{self.path}: {name} is of type {type(value).__name__}; expected a tensor.")
            counted = name.endswith(".num_batches_tracked") and not value.is_complex()  # the one integer of the layouts
            dense = value.layout == torch.strided and not value.is_quantized and not value.is_meta
            if not dense or not (value.is_floating_point() or counted) or not value.numel():
                kind = f"{value.dtype}".removeprefix("torch.") if dense else "sparse, quantized or without values"
                raise ModelError(
                    f"{self.path}: {name} is {kind}, of the shape {list(value.shape)}; expected real numbers. "
                    "Save it as a dense tensor of float32."
                )
            plain = ".".join(part for part in name.split(".") if part != "module")
            if plain in found:
                raise ModelError(f"{self.path} has {plain} twice, with and without `module` in its name.")
            found[plain] = value
        if not found:
            raise ModelError(
                f"{self.path} has neither a list `model` of state dicts nor a `state_dict`; it holds "
                f"{_listed(map(str, self.content)) or 'nothing'}."
            )
        return found

    def options(self) -> dict[str, Any]:
        """The options of the training that wrote the checkpoint: its entry `opt`; empty where it has none."""
        found = self.content.get("opt")
        if isinstance(found, argparse.Namespace):
            found = vars(found)
        return dict(found) if isinstance(found, Mapping) else {}

    def option(self, name: str) -> Any:
        """One of the options.

        Raises:
            ModelError: it is not there; the score depends on it, so it cannot be guessed.
        """
        options = self.options()
        if name not in options:
            raise ModelError(
                f"{self.path} does not say what the option `{name}` of its training was: its entry `opt` has "
                f"{_listed(map(str, options)) or 'nothing'}. The score depends on it; add it to the checkpoint."
            )
        return options[name]

    def number(self, name: str) -> float:
        """One of the options, a number.

        Raises:
            ModelError: it is not there, or no finite number.
        """
        value = self.option(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise ModelError(f"{self.path}: its option `{name}` is {value!r}; expected a number.")
        return float(value)

    def flag(self, name: str) -> bool:
        """One of the options, true or false.

        Raises:
            ModelError: it is not there, or something else.
        """
        value = self.option(name)
        if not isinstance(value, int) or value not in (0, 1):
            raise ModelError(f"{self.path}: its option `{name}` is {value!r}; expected True or False.")
        return bool(value)

    def choice(self, name: str, known: Mapping[str, Any]) -> Any:
        """What `known` gives for one of the options.

        Raises:
            ModelError: the option is not there, or has another value.
        """
        value = self.option(name)
        if not isinstance(value, str) or value not in known:
            raise ModelError(f"{self.path}: its option `{name}` is {value!r}; known are {_listed(map(repr, known))}.")
        return known[value]


def read_checkpoint(path: Path) -> Checkpoint:
    """The content of a file that `torch.save` wrote, of any version of Python and PyTorch, on the CPU.

    Raises:
        ModelError: no such file, none of PyTorch, a damaged one, or one that asks for more than tensors, plain values
            and an `argparse.Namespace`.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}; name a checkpoint, such as model_best.pth.tar.")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old formats
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or malicious file makes the reader fail with
        reason = _reason(error)
        raise ModelError(
            f"{path} cannot be read as a checkpoint of tensors and plain values ({reason}). Nothing in it was run. "
            "Fetch it again, or save its weights alone where you trust it."
        ) from None
    if not isinstance(content, Mapping):
        raise ModelError(
            f"{path} holds a {type(content).__name__}; expected a dictionary with `model` or `state_dict`."
        )
    return Checkpoint(path, content)


def check_names(path: Path, found: Iterable[str], expected: Iterable[str], original: str) -> None:
    """Check that a checkpoint has exactly the tensors of a layout.

    Raises:
        ModelError: tensors that are missing or left over; it names them.
    """
    have, wanted = set(found), set(expected)
    problems = []
    if missing := sorted(wanted - have):
        problems.append(f"it lacks {_listed(missing)}")
    if extra := sorted(have - wanted):
        problems.append(f"it also has {_listed(extra)}")
    if problems:
        raise ModelError(f"{path} does not have the layout of {original}: {'; '.join(problems)}.")


def _listed(names: Iterable[str]) -> str:
    """Names with commas between them; of many, the first few and their number."""
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more


def _reason(error: Exception) -> str:
    """The line of torch's message that names what was refused, without its advice to load the file all the same."""
    lines = [line.strip() for line in str(error).splitlines()]
    refused = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), None)
    if refused is None:
        return "it is damaged, incomplete, or no file that `torch.save` wrote"
    return refused.partition(" was not an allowed")[0].split(". ")[0].strip(". ")
