"""How much memory a piece of work takes above its inputs, measured in a process of its own.

    python -m benchmarks.memory MODULE FUNCTION [ARGUMENT ...]

FUNCTION makes the inputs and returns the work, a function without arguments. What is printed is the highest resident
size of the process while it works, less that before: all tensors, and whatever the allocator keeps of them.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import SkippedError

__all__ = ["Cost", "cost"]

_ROOT = Path(__file__).resolve().parents[1]


class Cost(NamedTuple):
    """Bytes above the inputs, and seconds."""

    peak_bytes: float
    seconds: float


def cost(module: str, function: str, *arguments: str) -> Cost:
    """What one run of `benchmarks.MODULE.FUNCTION(*arguments)()` takes.

    Raises:
        SkippedError: a system that does not tell the highest resident size.
    """
    if not Path("/proc/self/clear_refs").exists():
        raise SkippedError("this system does not tell a process's highest resident size (/proc/self/clear_refs)")
    command = [sys.executable, "-m", "benchmarks.memory", module, function, *arguments]
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as `unboxed` runs
    printed = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True, env=waiting).stdout
    peak, seconds = printed.split()
    return Cost(float(peak), float(seconds))


def _resident(key: str) -> int:
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{key}:"))


def _give_back() -> None:
    """What was freed and is still held would hide what is taken next."""
    gc.collect()
    with suppress(AttributeError, OSError):  # a C library that is not GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _main() -> None:
    module, function, *arguments = sys.argv[1:]
    work = getattr(import_module(f"benchmarks.{module}"), function)(*arguments)
    _give_back()
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # from here on the highest size is counted anew
    before, start = _resident("VmRSS"), time.perf_counter()
    work()
    print(_resident("VmHWM") - before, time.perf_counter() - start)


if __name__ == "__main__":
    _main()
