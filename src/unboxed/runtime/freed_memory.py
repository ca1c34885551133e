"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["release_freed_memory"]

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def release_freed_memory() -> None:
    """Give back what the C library keeps of freed memory, which blocks of many sizes leave in pieces.

    That is done by glibc alone; with other libraries nothing happens.
    """
    if _TRIM is not None:
        _TRIM(0)
