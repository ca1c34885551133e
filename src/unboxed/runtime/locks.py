"""File locks: one process at a time, where several would do the same work or write the same files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

__all__ = ["file_lock"]


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock of `path`; a process that is killed releases it at once.

    Args:
        path: the file or folder that is guarded; the lock is the file `.NAME.lock` beside it, whose folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield
