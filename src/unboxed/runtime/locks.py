"""File locks: of several processes that would do the same work or write the same files, one runs at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

__all__ = ["file_lock"]


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path` within the block; waits while another process holds it.

    The system releases the lock of a process that is killed.

    Args:
        path: the file or folder to guard, which need not exist. The lock is the file `.NAME.lock` in the same folder,
            which is created if needed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield
