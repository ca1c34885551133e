"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from unboxed.runtime.freed_memory import release_freed_memory


def _resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_goes_back_to_the_system() -> None:
    blocks = [bytearray(40_000) for _ in range(2_000)]  # 80 MB
    kept = blocks[::50]  # these lie between the freed ones
    blocks.clear()
    before = _resident()
    release_freed_memory()
    assert before - _resident() > 40_000_000 and len(kept) == 40
