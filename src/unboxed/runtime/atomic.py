"""Atomic writes, and file locks for several processes that would write the same files.

A reader finds the old file or folder, or the new one, and never a part of either. The content goes to a hidden
temporary file in the same folder, is flushed to the disk, and then takes the final name. A process that is killed
leaves the old file, and at most the temporary one. New files and folders get the permissions that the umask allows.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

__all__ = ["atomic_folder", "atomic_path", "file_lock", "require_writable", "write_json", "write_text"]

_number = count()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path with the suffix of `path`; the file written there replaces `path` when the block succeeds.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "result.txt"
    >>> with atomic_path(path) as partial:
    ...     _ = partial.write_text("complete")
    >>> path.read_text(), [other.name for other in path.parent.iterdir()]
    ('complete', ['result.txt'])

    Args:
        path: the file to write; its folder is created if needed.

    Raises:
        OSError: the file cannot be written. `path` is unchanged, as after any other error in the block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _temporary(path)
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, flush: bool = True) -> Iterator[Path]:
    """A new folder in the same place that replaces `path`, and all that it contains, when the block succeeds.

    A folder that exists is renamed before the new one takes its name, so for a moment there is none.

    Args:
        path: the folder to write; the folder that contains it is created if needed.
        flush: flush every file to the disk first. Turn it off for thousands of files that can be made again.

    Raises:
        OSError: the folder cannot be written. `path` is unchanged, as after any other error in the block.
    """
    partial, old = _temporary(path), _temporary(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        if flush:
            for written in (*partial.rglob("*"), partial):
                _flush(written)
        if path.exists():
            path.replace(old)
        try:
            partial.replace(path)
        except OSError:
            if old.exists():
                old.replace(path)
            raise
        _flush(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path` atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON to `path` atomically, indented by two spaces and in UTF-8."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path` within the block; waits while another process holds it.

    The system releases the lock of a process that is killed.

    Args:
        path: the file or folder to guard, which need not exist. The lock is the file `.NAME.lock` in the same folder,
            which is created if needed.
    """
    from filelock import FileLock  # takes long to load

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def require_writable(path: Path) -> None:
    """Raise an error before a long computation whose result could not be written.

    Args:
        path: a folder, or a file in a folder; neither needs to exist.

    Raises:
        OSError: its folder, or the one that it would be created in, cannot be written.
    """
    folder = path if path.is_dir() else next(parent for parent in path.absolute().parents if parent.exists())
    trial = _temporary(folder / "trial")
    trial.touch()
    trial.unlink()


def _temporary(path: Path) -> Path:
    """A hidden name in the same folder; the suffix stays, because NumPy and Pillow choose the format by it."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{next(_number)}{path.suffix}")


def _flush(path: Path) -> None:
    """Flush the content of a file, or the entries of a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
