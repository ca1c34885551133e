"""Locks: one process at a time writes a file or folder, any number may read it.

The lock is the file `.lock` in a folder, or `.NAME.lock` beside a file, held with `filelock`: the system releases it
when the process ends, also when it is killed. The file names the process that holds the lock, and is removed when it is
released. What killed processes left, temporary files of `unboxed.runtime.atomic` and locks, is removed by the process
that gets the lock of the file, or that of the folder once it has recognized the folder (`remove_left_overs`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from unboxed.errors import BusyError, UnboxedError
from unboxed.runtime import progress
from unboxed.runtime.atomic import final_name, is_temporary, require_name, restore_folder, write_text
from unboxed.runtime.progress import Show
from unboxed.runtime.urls import refuse_url

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["file_lock", "folder_lock", "new_file_lock", "remove_left_overs", "waiting", "write_locked"]

_waiting: ContextVar[bool] = ContextVar("waiting", default=False)

_LOCK = ".lock"
_ATTEMPTS = 10  # to take a lock whose folder is removed meanwhile
_DEPTH = 2  # of folders in a subfolder that are searched for left-overs
# Files of the writer of safetensors, and temporary files of arrays by earlier versions.
_OF_ARRAYS = re.compile(r"\.tmp[A-Za-z0-9]{6}|\.[^/]+\.(safetensors|npz)\.\d+|\.[^/]+\.\d+-\d+\.(safetensors|npz)")


@contextmanager
def waiting(wait: bool = True) -> Iterator[None]:
    """Within the block, wait for locks that other processes hold, instead of raising an error."""
    token = _waiting.set(wait)
    try:
        yield
    finally:
        _waiting.reset(token)


@contextmanager
def folder_lock(folder: Path, *, wait: bool = False, show: Show | None = None) -> Iterator[None]:
    """Hold the lock of a folder that is written in place, within the block; nothing in it is removed.

    Args:
        folder: created if needed, and removed again if it is still empty at the end.
        wait: wait while another process holds the lock, instead of raising an error, also outside of `waiting`.
        show: called with a line of text that names the process that is waited for; by default prints it.

    Raises:
        BusyError: another process holds the lock.
        UnboxedError: the path is a file, or that of a URL; or, at the end, the folder was removed meanwhile, and misses
            what it had.
        OSError: the folder cannot be written.
    """
    refuse_url(folder)
    if folder.exists() and not folder.is_dir():
        raise UnboxedError(f"{folder} is a file; name a folder.")
    with _held(folder / _LOCK, folder, wait, show):
        mine = _identity(folder / _LOCK)
        yield
        if _identity(folder / _LOCK) != mine:
            raise UnboxedError(
                f"{folder} was removed while it was written; remove what is left, and repeat the command."
            )


def remove_left_overs(folder: Path, subfolders: Iterable[str] = ()) -> None:
    """Remove the temporary files and locks that killed processes left in a folder, except where others write now.

    The caller holds the lock of the folder, and has recognized it as one of its own kind.

    Args:
        folder: it may be missing.
        subfolders: the names of those that are searched as well, with the folders in them, unless they are hidden.
    """
    if folder.is_dir():
        _clean(folder, list(folder.iterdir()), 0)
    for name in subfolders:
        _clean_subfolder(folder / name, _DEPTH)


@contextmanager
def file_lock(path: Path, *, wait: bool = False, show: Show | None = None) -> Iterator[None]:
    """Hold the lock of a file, or of a folder that is replaced as a whole, within the block.

    Args:
        path: it need not exist; the folder that contains it is created if needed, and removed again if it is still
            empty at the end.
        wait, show: as for `folder_lock`.

    Raises:
        BusyError: another process holds the lock.
        OSError: the folder that contains the path cannot be written.
        UnboxedError: the path is that of a URL, or has no name of its own.
    """
    require_name(path)
    with _held(path.with_name(f".{path.name}{_LOCK}"), path, wait, show):
        restore_folder(path)
        for entry in path.parent.glob(f".{_literal(path.stem[:40])}*"):
            if is_temporary(entry.name, of=path):
                _remove(entry)
        yield


@contextmanager
def new_file_lock(path: Path, exists: UnboxedError) -> Iterator[None]:
    """Hold the lock of a file or folder that is written once, within the block; another process is waited for.

    Args:
        path: as for `file_lock`.
        exists: raised if the path exists, also when another process has written it meanwhile.
    """
    if path.exists():
        raise exists
    with file_lock(path, wait=True):
        if path.exists():
            raise exists
        yield


def write_locked(path: Path, text: str) -> None:
    """Write UTF-8 text to `path` atomically, when no other process writes it; what killed ones left is removed.

    Raises:
        OSError: the file cannot be written.
    """
    with file_lock(path, wait=True):
        write_text(path, text)


@contextmanager
def _held(file: Path, target: Path, wait: bool, show: Show | None) -> Iterator[None]:
    from filelock import FileLock, SoftFileLock, Timeout  # takes long to load

    lock = FileLock(file)
    missing = [folder for folder in file.parents if not folder.exists()]
    try:
        _acquire(lock, timeout=0)
    except Timeout:
        holder = f"{target} is being written by {_holder(file)}"
        if not (wait or _waiting.get()):
            raise BusyError(
                f"{holder}. Let it finish and repeat the command, or choose another path; commands with --wait wait."
            ) from None
        (show or progress.show)(f"{holder}; waiting for it to end.")
        _acquire(lock, timeout=-1)
    # A file system without locks gets a file whose existence is the lock, and which has a content of its own.
    native = not isinstance(lock, SoftFileLock) and _may_be_ours(file)
    try:
        if native:
            with suppress(OSError):  # a full disk, or Windows, which lets nobody write to a locked file
                file.write_text(json.dumps(_this_process()), encoding="utf-8")
        yield
    finally:
        if native:
            with suppress(OSError):
                file.unlink()  # a process that has opened it meanwhile finds that it has no name and tries again
        lock.release()
        for folder in missing:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _identity(file: Path) -> int | None:
    """Identifies a file, also among those of one name; None if there is none."""
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return None


def _acquire(lock: FileLock, timeout: float) -> None:
    """Makes the folder of the lock, and takes the lock.

    Another process removes the folder that it had made and left empty, at any moment of this, so it may have to be made
    again.
    """
    for attempt in range(_ATTEMPTS):
        try:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=timeout)
            return
        except (FileNotFoundError, FileExistsError):
            if attempt == _ATTEMPTS - 1:
                raise


def _this_process() -> dict[str, str | int]:
    program = "unboxed" in Path(sys.argv[0]).parts[-2:]
    command = " ".join(["unboxed", *sys.argv[1:2]]) if program else "a Python program"
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command}


def _named_in(file: Path) -> str | None:
    """The process that the file of a lock names, in words; None where it is not one of this module."""
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']} ({about['command']}, since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _holder(file: Path) -> str:
    """The process that holds a lock, in words."""
    return _named_in(file) or "another process"


def _may_be_ours(file: Path) -> bool:
    """Whether the file of a lock is new, or one of this module; other programs keep theirs under such names as well."""
    try:
        return file.stat().st_size == 0 or _named_in(file) is not None
    except OSError:
        return True


def _clean(folder: Path, entries: Sequence[Path], depth: int) -> None:
    """Remove those entries of a folder that killed processes left; `depth` levels of subfolders are searched as well.

    A process holds a lock while it writes an entry. An entry that was listed before its lock was free is left over.
    """
    for entry in entries:
        if is_temporary(entry.name):
            target = final_name(entry)
            if target == folder:  # whose lock the caller holds
                _remove(entry)
            else:
                _remove_unlocked(entry, target)
        elif _OF_ARRAYS.fullmatch(entry.name) and entry.is_file():
            _remove(entry)
        elif entry.name.startswith(".") and entry.name.endswith(_LOCK) and entry.name != _LOCK:
            if _named_in(entry) is not None:
                with _free(entry):
                    pass
        elif depth and not entry.name.startswith("."):
            _clean_subfolder(entry, depth - 1)


def _remove_unlocked(entry: Path, target: Path) -> None:
    """Remove the temporary entry of a file or folder, unless a process holds its lock."""
    with _free(target.with_name(f".{target.name}{_LOCK}")) as free:
        if free and (target.exists() or ".old" not in entry.name):  # else `restore_folder` gives it its name back
            _remove(entry)


def _clean_subfolder(folder: Path, depth: int) -> None:
    """Clean a subfolder, unless it is a link, or a process holds its lock."""
    if folder.is_dir() and not folder.is_symlink():
        entries = list(folder.iterdir())
        with _free(folder / _LOCK) as free:
            if free:
                _clean(folder, entries, depth)


@contextmanager
def _free(file: Path) -> Iterator[bool]:
    """Whether no process holds a lock; where a killed one left its file, it is held within the block, then removed."""
    from filelock import FileLock, Timeout

    if not file.exists():
        yield True
        return
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except (OSError, Timeout):
        yield False
        return
    ours = _may_be_ours(file)
    try:
        yield True
    finally:
        if ours:
            with suppress(OSError):
                file.unlink(missing_ok=True)
        lock.release()


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.unlink()


def _literal(name: str) -> str:
    """A pattern of `glob` that matches this name alone."""
    return re.sub(r"([\[*?])", r"[\1]", name)
