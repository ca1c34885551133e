"""One process at a time, where several would do the same work or write the same files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: without the lock the work may be done twice, to the same end
    fcntl = None  # type: ignore[assignment]

__all__ = ["alone"]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is inside `alone(path)`, on this machine; a killed process leaves it at once.

    Args:
        path: what is guarded; the lock is the empty file `.NAME.lock` beside it, whose folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
