"""The device that a command computes on: its name, whether it is there, and ONNX Runtime's provider for it.

    auto        the first CUDA GPU that PyTorch can use, else the CPU
    cpu         the CPU
    cuda:1      a CUDA GPU; `cuda` is the first
    mps         the GPU of an Apple computer; ONNX networks run with CoreML
    directml    ONNX networks run with DirectML (Windows), PyTorch on the CPU
    openvino    ONNX networks run with OpenVINO (Intel), PyTorch on the CPU

`UNBOXED_DEVICE` names the device where neither an argument nor an option does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unboxed.errors import DeviceError
from unboxed.runtime.progress import show

if TYPE_CHECKING:
    import torch

__all__ = ["VARIABLE", "Device", "checked_name", "current_device", "running_on"]

VARIABLE = "UNBOXED_DEVICE"
"""The environment variable that names the device by default; worker processes inherit it."""

_NAME = re.compile(r"auto|cpu|cuda(:\d+)?|mps|directml|openvino")
_CPU = "CPUExecutionProvider"
# The provider of each kind of device, and the package that has it.
_PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "mps": ("CoreMLExecutionProvider", "onnxruntime for macOS"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
_named: ContextVar[str | None] = ContextVar("named", default=None)


@dataclass(frozen=True)
class Device:
    """A device by its name, which has the right form; whether it is there is checked where it is used.

    Attributes:
        name: as in the list above.
    """

    name: str

    def torch_device(self) -> torch.device:
        """The device of PyTorch's tensors. Imports PyTorch.

        Raises:
            DeviceError: PyTorch has no such device here.
        """
        import torch

        kind, _, number = self.name.partition(":")
        if kind == "auto":
            return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        if kind == "cuda":
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            if int(number or 0) >= count:
                there = f"this machine has cuda:0 to cuda:{count - 1}" if count else "PyTorch finds no CUDA GPU here"
                raise DeviceError(f"There is no device {self.name}: {there}. Use --device auto or --device cpu.")
            return torch.device("cuda", int(number or 0))
        if kind == "mps":
            if not torch.backends.mps.is_available():
                raise DeviceError("There is no device mps: PyTorch finds no Apple GPU here. Use --device auto or cpu.")
            return torch.device("mps")
        return torch.device("cpu")

    def describe(self) -> str:
        """What PyTorch and ONNX Runtime will use, such as `cuda:0; ONNX networks with CUDAExecutionProvider`.

        Raises:
            DeviceError: as `torch_device` and `providers`.
        """
        device, first = self.torch_device(), self.providers()[0]
        return f"{device}; ONNX networks with {first if isinstance(first, str) else first[0]}"

    def providers(self) -> list[Any]:
        """What `onnxruntime.InferenceSession` takes as `providers`: that of the device first, then the CPU's.

        Raises:
            DeviceError: a device was named, and it is not there or the installed onnxruntime has no provider for it.
        """
        import onnxruntime

        there = onnxruntime.get_available_providers()
        kind = self.name.partition(":")[0]
        if kind == "auto":  # without importing PyTorch where only the CPU is possible
            kind = self.torch_device().type if _PROVIDERS["cuda"][0] in there else "cpu"
        if kind == "cpu":
            return [_CPU]
        provider, package = _PROVIDERS[kind]
        if provider not in there:
            raise DeviceError(
                f"The installed onnxruntime cannot run networks on {self.name}: it has {', '.join(there)}. Install "
                f"{package} in place of onnxruntime, or use --device cpu."
            )
        device = self.torch_device()
        return [(provider, {"device_id": device.index}) if kind == "cuda" else provider, _CPU]

    def check_provider(self, wanted: list[Any], running: list[str], network: str) -> str:
        """The provider that a session runs with, which is another than wanted where that could not start.

        Args:
            wanted: the result of `providers`.
            running: `get_providers()` of the session.
            network: its file, for the message.

        Raises:
            DeviceError: a device was named, and the session fell back to the CPU.
        """
        first = wanted[0] if isinstance(wanted[0], str) else wanted[0][0]
        if first not in running:
            reason = (
                f"{first} could not start, most often because its libraries are missing or of another version than the "
                "installed onnxruntime needs"
            )
            if self.name != "auto":
                raise DeviceError(
                    f"{network} does not run on {self.name}: {reason}. Use --device cpu, or install them."
                )
            show(f"warning: {network} runs on the CPU: {reason}.")
        return running[0]


def checked_name(name: str) -> str:
    """The name itself.

    Raises:
        DeviceError: it does not have the form of a device's name.
    """
    if not _NAME.fullmatch(name):
        raise DeviceError(f"There is no device {name!r}; known are auto, cpu, cuda, cuda:N, mps, directml, openvino.")
    return name


def current_device() -> Device:
    """The device of the innermost `running_on`, else the one that `UNBOXED_DEVICE` names, else `auto`."""
    return Device(checked_name(_named.get() or os.environ.get(VARIABLE) or "auto"))


@contextmanager
def running_on(name: str | None) -> Iterator[Device]:
    """A context in which networks are opened for a device; None keeps the current one.

    Args:
        name: as in the list above.

    Raises:
        DeviceError: no such name.
    """
    token = _named.set(_named.get() if name is None else checked_name(name))
    try:
        yield current_device()
    finally:
        _named.reset(token)
