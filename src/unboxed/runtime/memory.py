"""The memory that blocks of scores, loaders, images in work and caches share.

By default it is 70 % of what the container may use: the smallest limit of its control groups (cgroup v1 or v2), or the
memory of the machine. `UNBOXED_MEMORY`, which `--memory` sets, names another amount or share. Results agree up to
rounding, whatever it is. It is no limit of the process: the model, its gradients and what grows with the dataset
(docs/scaling.md) come on top.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from unboxed.errors import DeviceError

__all__ = [
    "MEMORY_VARIABLE",
    "MemoryShare",
    "allowed_bytes",
    "array_bytes",
    "cache_bytes",
    "checked_memory",
    "memory_budget",
    "prefetch_bytes",
    "scoring_bytes",
]

MEMORY_VARIABLE = "UNBOXED_MEMORY"
"""The environment variable that names the budget; worker processes inherit it."""

_DEFAULT = "70%"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?(?:(%)|([kmgt]i?)?b?)", re.IGNORECASE)
_LEAST = 2**26
_MOST_SCORING = 2**28  # larger blocks are not faster
_NO_ARRAYS = frozenset((str, int, float, bool, type(None)))
_UNKNOWN = 2**33  # assumed where the system reports nothing


def memory_budget() -> int:
    """The budget in bytes: `UNBOXED_MEMORY`, or 70 % of what the container may use.

    Raises:
        DeviceError: the variable has no amount.
    """
    return _amount(os.environ.get(MEMORY_VARIABLE) or _DEFAULT)


def checked_memory(text: str) -> int:
    """The bytes of an amount such as `4GB`, `512MiB` or `50%` (of what the container may use).

    >>> checked_memory("1.5GB")
    1500000000

    Raises:
        DeviceError: no such amount, or less than 64 MiB.
    """
    return _amount.__wrapped__(text)


@lru_cache(maxsize=8)
def _amount(text: str) -> int:
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise DeviceError(f"The memory {text!r} is no amount; expected one such as 4GB, 512MiB or 50%.")
    number, percent, unit = match.groups()
    if percent and float(number) > 100:
        raise DeviceError(f"The memory {text!r} is more than there is; expected at most 100%.")
    amount = float(number) / 100 * allowed_bytes() if percent else float(number) * _UNITS[(unit or "").lower()]
    if not _LEAST <= amount < 2**60:
        raise DeviceError(f"The memory {text!r} is too little or too much; expected 64MiB to 2^60 bytes.")
    return int(amount)


def scoring_bytes() -> int:
    """The share of blocks of scores: an eighth of the budget, at most 256 MiB."""
    return min(_MOST_SCORING, memory_budget() // 8)


def cache_bytes() -> int:
    """The share of each cache of embeddings: a quarter of the budget."""
    return memory_budget() // 4


def prefetch_bytes() -> int:
    """The share of results that threads find in advance, and that of decoded images: an eighth of the budget each."""
    return memory_budget() // 8


def array_bytes(value: Any) -> int:
    """The bytes of all arrays and tensors in a value: in tuples, lists, dictionaries and dataclasses, at any depth.

    What has an integer `nbytes` of its own is not searched.

    >>> import numpy as np
    >>> array_bytes((np.zeros(3, np.float32), {"a": [np.zeros(2, np.int8)]}, "text"))
    14
    """
    total, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if isinstance(size := getattr(value, "nbytes", None), int):
            total += size
        elif isinstance(value, bytes):
            total += len(value)
        elif isinstance(value, list | tuple):
            waiting += [part for part in value if type(part) not in _NO_ARRAYS]
        elif isinstance(value, dict):
            waiting += value.values()
        elif is_dataclass(value):
            waiting += [getattr(value, field.name) for field in fields(value)]
    return total


class MemoryShare:
    """Bytes that threads take for as long as they need them, and wait for while others have them.

    Args:
        total: gives the bytes of the share; asked each time, because the budget may change.
    """

    def __init__(self, total: Callable[[], int]) -> None:
        self._total = total
        self._taken = 0
        self._freed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """A block that has `size` bytes of the share; more than there are wait until nobody else has any."""
        with self._freed:
            self._freed.wait_for(lambda: not self._taken or self._taken + size <= self._total())
            self._taken += size
        try:
            yield
        finally:
            with self._freed:
                self._taken -= size
                self._freed.notify_all()


def allowed_bytes(root: Path = Path("/")) -> int:
    """The memory that this process may use: the smallest limit of its control groups, or that of the machine.

    Args:
        root: of the file system.
    """
    found = [limit for file in _limit_files(root) if (limit := _number(file)) is not None]
    try:
        lines = (root / "proc/meminfo").read_text("ascii").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemTotal:")]
    except (OSError, ValueError, IndexError):
        found += [] if root != Path("/") or not hasattr(os, "sysconf") else [_physical()]
    return min((limit for limit in found if limit > 0), default=_UNKNOWN)


def _limit_files(root: Path) -> list[Path]:
    """The files with the limits of the control groups of this process and of those around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        folder, file = ("", "memory.max") if not controllers else ("memory", "memory.limit_in_bytes")
        group = PurePosixPath(name.lstrip("/"))
        files += [root / "sys/fs/cgroup" / folder / part / file for part in (group, *group.parents)]
    return files


def _number(file: Path) -> int | None:
    """The number in a file; None where there is no file, or `max` in it."""
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return _UNKNOWN
