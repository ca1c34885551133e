"""Atomic writes of files and folders.

A reader finds the old file or folder, or the new one, and never a part of either. The content goes to a hidden
temporary file in the same folder, is flushed to the disk, and then takes the final name. A process that is killed
leaves the old file, and at most the temporary one, which the next process that holds the lock of the file or of its
folder removes (`unboxed.runtime.locks`). New files and folders get the permissions that the umask allows.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from unboxed.errors import UnboxedError
from unboxed.runtime.urls import refuse_url, resolved

__all__ = [
    "PAGES",
    "PICTURES",
    "atomic_folder",
    "atomic_path",
    "final_name",
    "is_temporary",
    "require_name",
    "require_other",
    "require_output",
    "require_outside",
    "require_writable",
    "restore_folder",
    "write_json",
    "write_text",
]

PICTURES, PAGES = (".png", ".jpg", ".jpeg", ".webp"), (".html", ".htm")
"""What names of pictures and pages end in."""
_TRIAL, _LOCK = "writable", ".lock"
_number = count()
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.\d+-\d+\.(partial|old)(?P<suffix>\.[^.]*)?")
_LONGEST = 200  # bytes of a name that temporary ones keep
_MANY = 100  # files: flushing all of the system then takes less time than one after another
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


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
        UnboxedError: `path` is that of a URL, or has no name of its own.
    """
    require_name(path)
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
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder in the same place that replaces `path`, and all that it contains, when the block succeeds.

    On Linux the old and the new folder exchange their names in one step. Elsewhere the old one is renamed first, so for
    a moment there is none; `restore_folder` gives it its name back if the process is killed then.

    A link is replaced itself, as `atomic_path` replaces links to files; the folder that it leads to stays as it is.

    Args:
        path: the folder to write; the folder that contains it is created if needed.

    Raises:
        OSError: the folder cannot be written. `path` is unchanged, as after any other error in the block.
        UnboxedError: `path` is that of a URL, or has no name of its own.
    """
    require_name(path)
    partial, old = _temporary(path), _temporary(path, "old")
    partial.mkdir(parents=True)
    try:
        yield partial
        _flush_all([*partial.rglob("*"), partial])
        if not os.path.lexists(path):
            partial.replace(path)
        elif not _exchange(partial, path):
            path.replace(old)
            try:
                partial.replace(path)
            except OSError:
                old.replace(path)
                raise
        _flush(path.parent)
    finally:
        for left in (partial, old):
            if left.is_symlink() or left.is_file():  # as `path` was one
                left.unlink()
            shutil.rmtree(left, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path` atomically.

    Half of a surrogate pair, which names that are not UTF-8 are read as, becomes an escape such as `\\udcff`. In JSON
    it is read back as it was.
    """
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Write JSON to `path` atomically, indented by two spaces and in UTF-8."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def is_temporary(name: str, of: Path | None = None) -> bool:
    """Whether a file or folder of this name was left by a process that was killed while it wrote.

    Args:
        name: without its folder.
        of: only the left-overs of this path.
    """
    found = _TEMPORARY.fullmatch(name)
    return found is not None and (
        of is None or (found["stem"], found["suffix"]) == (_short(of.stem), of.suffix or None)
    )


def final_name(path: Path) -> Path:
    """The file or folder that a temporary one or a lock is for; a path of another name stays as it is.

    Examples:
        >>> final_name(Path("run/.log.17-3.partial.jsonl")), final_name(Path("run/.lock")), final_name(Path("run"))
        (PosixPath('run/log.jsonl'), PosixPath('run'), PosixPath('run'))
    """
    if path.name == _LOCK:
        return path.parent
    if path.name.startswith(".") and path.name.endswith(_LOCK):
        return path.with_name(path.name[1:].removesuffix(_LOCK))
    found = _TEMPORARY.fullmatch(path.name)
    if found is None:
        return path
    return path.parent if found["stem"] == _TRIAL else path.with_name(found["stem"] + (found["suffix"] or ""))


def require_name(path: Path) -> None:
    """Raise an error for a path whose place no new file or folder can take.

    Raises:
        UnboxedError: it is that of a URL, `.`, `..` or `/`, a device or one of the streams of a process.
    """
    refuse_url(path)
    if path.parent.resolve().as_posix() in ("/dev", f"/proc/{os.getpid()}/fd") or path.is_char_device():
        raise UnboxedError(f"{path} is a device or a stream, which a file would replace; name a file.")
    if path.name in ("", ".."):
        raise UnboxedError(f"{path} cannot be replaced; name a file or folder in it, such as {path / 'out'}.")


def require_other(path: Path | None, *read: Path) -> None:
    """Raise an error before what a command reads is replaced by what it writes.

    Args:
        path: what is to be written; None: nothing.
        read: files and folders, some of which may be missing.

    Raises:
        UnboxedError: the path is one of them, perhaps under another name.
    """
    if path is not None and path.exists() and any(_is_same(path, other) for other in read):
        raise UnboxedError(f"{path} is read by this command, which would replace it; choose another name.")


def require_outside(folder: Path, *read: Path) -> None:
    """Raise an error before a folder is replaced as a whole that contains what a command reads.

    Args:
        folder: what is to be replaced; a file contains nothing.
        read: files and folders, some of which may be missing.

    Raises:
        UnboxedError: one of them lies in the folder; a link in it to something elsewhere does not.
    """
    if found := next((other for other in read if _holds(folder, other)), None):
        raise UnboxedError(f"{found} is read by this command, which would replace {folder}; choose another name.")


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # there is no such file, or there can be none of this name
        return False


def _holds(folder: Path, other: Path) -> bool:
    """Whether a file or folder lies in a folder; a link to something elsewhere does not."""
    try:
        return folder.is_dir() and folder.resolve() in resolved(other).parents
    except (OSError, ValueError):
        return False


def require_output(path: Path | None, *read: Path, suffixes: Sequence[str] = ()) -> None:
    """Raise an error before a long computation about the file for its result.

    Args:
        path: the file; None: nothing is written.
        read: files that it must not replace.
        suffixes: one of which its name must end in; none: any.

    Raises:
        OSError: its folder cannot be written.
        UnboxedError: it is a folder, one of the files that are read, or has another suffix.
    """
    if path is None:
        return
    require_name(path)
    if path.is_dir():
        raise UnboxedError(f"{path} is a folder; name a file, such as {path / 'out'}.")
    if suffixes and path.suffix.lower() not in suffixes:
        raise UnboxedError(f"{path} is no name for this file; let it end in {' or '.join(suffixes)}.")
    require_other(path, *read)
    require_writable(path)


def require_writable(path: Path) -> None:
    """Raise an error before a long computation whose result could not be written.

    Args:
        path: a folder, or a file in a folder; neither needs to exist.

    Raises:
        OSError: its folder, or the one that it would be created in, cannot be written.
        UnboxedError: the path is that of a URL.
    """
    refuse_url(path)
    folder = path if path.is_dir() else next(parent for parent in path.absolute().parents if parent.exists())
    trial = _temporary(folder / _TRIAL)
    trial.touch()
    trial.unlink(missing_ok=True)


def restore_folder(path: Path) -> None:
    """Give a folder its name back where a process was killed while it replaced it; the caller holds its lock."""
    if not path.exists() and path.parent.is_dir():
        names = [entry.name for entry in path.parent.iterdir() if is_temporary(entry.name, of=path)]
        for name in sorted(name for name in names if ".old" in name)[-1:]:
            path.with_name(name).replace(path)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders exchange their names in one step; False where the system cannot do it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _temporary(path: Path, kind: str = "partial") -> Path:
    """A hidden name in the same folder; the suffix stays, because NumPy and Pillow choose the format by it."""
    return path.with_name(f".{_short(path.stem)}.{os.getpid()}-{next(_number)}.{kind}{path.suffix}")


def _short(stem: str) -> str:
    """A name to which a temporary one may add: file systems allow 255 bytes."""
    return os.fsdecode(os.fsencode(stem)[:_LONGEST]) if len(os.fsencode(stem)) > _LONGEST else stem


def _flush_all(paths: Sequence[Path]) -> None:
    if len(paths) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        _flush(path)


def _flush(path: Path) -> None:
    """Flush the content of a file, or the entries of a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
