"""Memory of a piece of work above its inputs, measured in a separate process.

    python -m benchmarks.memory MODULE FUNCTION [ARGUMENT ...]

FUNCTION makes the inputs and returns the work, a function without arguments. The printed value is the highest resident
size of the process during the work minus the size before it: all tensors, and what the allocator keeps of them.
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
from unboxed.runtime.openmp import limit_spinning

__all__ = ["Cost", "cost"]

_ROOT = Path(__file__).resolve().parents[1]


class Cost(NamedTuple):
    """Peak memory above the inputs in bytes, and seconds."""

    peak_bytes: float
    seconds: float


def cost(module: str, function: str, *arguments: str) -> Cost:
    """The cost of one run of `benchmarks.MODULE.FUNCTION(*arguments)()`.

    Raises:
        SkippedError: the system does not report the highest resident size.
    """
    if not Path("/proc/self/clear_refs").exists():
        raise SkippedError("this system does not report the highest resident size of a process (/proc/self/clear_refs)")
    command = [sys.executable, "-m", "benchmarks.memory", module, function, *arguments]
    environment = dict(os.environ)
    limit_spinning(environment)  # as the command line does
    printed = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    peak, seconds = printed.split()
    return Cost(float(peak), float(seconds))


def _resident(key: str) -> int:
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{key}:"))


def _release_freed_memory() -> None:
    """Freed memory that the allocator keeps would hide later allocations."""
    gc.collect()
    with suppress(AttributeError, OSError):  # not the GNU C library
        ctypes.CDLL(None).malloc_trim(0)


def _main() -> None:
    module, function, *arguments = sys.argv[1:]
    work = getattr(import_module(f"benchmarks.{module}"), function)(*arguments)
    _release_freed_memory()
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # resets the highest resident size
    before, start = _resident("VmRSS"), time.perf_counter()
    work()
    print(_resident("VmHWM") - before, time.perf_counter() - start)


if __name__ == "__main__":
    _main()
