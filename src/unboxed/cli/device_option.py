"""The option `--device` of the commands that compute."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, get_type_hints

from unboxed.runtime.devices import VARIABLE, Device, checked_name
from unboxed.runtime.progress import show

__all__ = ["with_device"]

_HELP = """
        device: auto, cpu, cuda, cuda:N, mps, directml or openvino; by default auto, the first CUDA GPU or else the
            CPU.
    """


def with_device(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option `--device`, which also holds in the processes that it starts.

    Args:
        command: its docstring ends with its arguments.
    """

    @wraps(command)
    def run(*args: Any, device: str | None = None, **options: Any) -> None:
        if device is None:
            command(*args, **options)
            return
        if checked_name(device) not in ("auto", "cpu"):
            show(f"Device: {Device(device).describe()}")  # an error before anything else is done
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = device
        try:
            command(*args, **options)
        finally:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before

    signature = inspect.signature(command)
    option = inspect.Parameter("device", inspect.Parameter.KEYWORD_ONLY, default=None)
    vars(run)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), option])
    run.__annotations__ = {**get_type_hints(command, include_extras=True), "device": str | None}
    run.__doc__ = (command.__doc__ or "").rstrip() + _HELP
    del vars(run)["__wrapped__"]  # whose annotations tyro would read
    return run
