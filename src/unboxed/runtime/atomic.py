"""Atomic writes: a file or folder is the old one or the new one, never half of each.

What is written goes to a temporary file beside its place, reaches the disk, and then takes the place in one step. A
process that is killed leaves the old file and at most a hidden temporary one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_folder", "atomic_path", "write_json", "write_text"]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, with the same ending, that replaces `path` when the block ends without an error.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "result.txt"
    >>> with atomic_path(path) as partial:
    ...     _ = partial.write_text("complete")
    >>> path.read_text(), [other.name for other in path.parent.iterdir()]
    ('complete', ['result.txt'])

    Args:
        path: the file to write; its folder is made when it does not exist.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that replaces `path`, whatever is there, when the block ends without an error.

    Args:
        path: the folder to write; the folder that holds it is made when it does not exist.
    """
    partial = _beside(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path` in one step."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON to `path` in one step, indented and in UTF-8."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


def _flush(path: Path) -> None:
    """Ask the system to put the file on the disk before it takes its place."""
    with path.open("rb") as written:
        os.fsync(written.fileno())
