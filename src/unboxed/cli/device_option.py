"""The options `--device`, `--memory` and `--precision` of the commands that compute."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from unboxed.runtime.devices import VARIABLE, Device, checked_name
from unboxed.runtime.memory import MEMORY_VARIABLE, checked_memory
from unboxed.runtime.precision import PRECISION_VARIABLE, PRECISIONS, checked_precision
from unboxed.runtime.progress import show

__all__ = ["with_memory", "with_precision", "with_resources"]

if TYPE_CHECKING:
    PrecisionName = str
else:
    PrecisionName = Literal[PRECISIONS]

_DEVICE_HELP = """
        device: auto, cpu, cuda, cuda:N, mps, directml or openvino; by default auto, the first CUDA GPU or else the
            CPU.
    """
_MEMORY_HELP = """
        memory: for blocks of scores, loaders and caches, such as 4GB or 50%; by default 70% of what the container may
            use.
    """
_PRECISION_HELP = """
        precision: of the products of the model's linear layers; 32, single precision, by default.
    """


def with_resources(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options `--device` and `--memory`, which also hold in the processes that it starts.

    Args:
        command: its docstring ends with its arguments.
    """

    def check(device: str) -> None:
        if checked_name(device) not in ("auto", "cpu"):
            show(f"Device: {Device(device).describe()}")  # an error before anything else is done

    return with_memory(_with_option(command, "device", str | None, VARIABLE, check, _DEVICE_HELP))


def with_precision(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option `--precision`, as `with_resources`."""
    kind = PrecisionName | None
    return _with_option(command, "precision", kind, PRECISION_VARIABLE, checked_precision, _PRECISION_HELP)


def with_memory(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option `--memory`, as `with_resources`; `fit` has a device of its own."""
    return _with_option(command, "memory", str | None, MEMORY_VARIABLE, checked_memory, _MEMORY_HELP)


def _with_option(
    command: Callable[..., None], name: str, kind: Any, variable: str, check: Callable[[str], object], text: str
) -> Callable[..., None]:
    """A command with an option whose value is that of an environment variable while the command runs."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        value = options.pop(name, None)
        if value is None:
            command(*args, **options)
            return
        check(value)
        before = os.environ.get(variable)
        os.environ[variable] = value
        try:
            command(*args, **options)
        finally:
            os.environ.pop(variable)
            if before is not None:
                os.environ[variable] = before

    signature = inspect.signature(command)
    option = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
    vars(run)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), option])
    run.__annotations__ = {**get_type_hints(command, include_extras=True), name: kind}
    run.__doc__ = (command.__doc__ or "").rstrip() + text
    del vars(run)["__wrapped__"]  # whose annotations tyro would read
    return run
