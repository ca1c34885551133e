"""Errors of the environment, such as a full disk, as one line for the user."""

from __future__ import annotations

import errno
import os
import stat
import sys
from functools import cache
from pathlib import Path
from typing import Any

from unboxed.errors import UnboxedError
from unboxed.runtime.atomic import final_name

__all__ = [
    "environment_error",
    "is_lack_of_memory",
    "is_link_loop",
    "refuse_devices",
    "refused_by_the_system",
]

# Where a file that cannot be read is not damaged.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ESPIPE)

_FIXES = {
    errno.ENOSPC: "free some space and repeat the command; what is finished is kept",
    errno.EDQUOT: "free some of your quota and repeat the command; what is finished is kept",
    errno.EFBIG: "choose another disk, or raise the limit of file sizes (ulimit -f); what is finished is kept",
    errno.EACCES: "change its permissions, or choose another path",
    errno.EPERM: "change its permissions, or choose another path",
    errno.EROFS: "choose a path that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "choose another path, or remove it",
    errno.EMFILE: "close other programs, or raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the limit of open files (ulimit -n)",
    errno.EIO: "check the disk",
    errno.ESPIPE: "put a file in its place",
}

_ENDLESS = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_LACK_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "overflowed",
    "bad_alloc",
    "bad alloc",
)
"""Words in the messages of PyTorch and onnxruntime, which both raise a `RuntimeError`."""


@cache  # a process keeps a hook to its end
def refuse_devices() -> None:
    """From now on, opening a named pipe or a device without an end, such as `/dev/zero`, is an error of the system.

    The pipes of a shell, such as `/dev/stdin` and `<(…)`, can be opened.
    """
    sys.addaudithook(_open_files)


def _open_files(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not isinstance(arguments[0], str | bytes):
        return
    path = os.fsdecode(arguments[0])
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116, of every file that is opened
    except (OSError, ValueError):
        return  # the system says why when the file is opened
    if stat.S_ISFIFO(mode) and not path.startswith(("/dev/", "/proc/")):
        raise OSError(errno.ESPIPE, "It is a named pipe", path)
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and os.path.realpath(path) in _ENDLESS):
        raise OSError(errno.ESPIPE, "It is a device", path)


def is_link_loop(error: RuntimeError) -> bool:
    """Whether a symbolic link leads to itself; Python before 3.13 raises a `RuntimeError` for it."""
    return "symlink loop" in str(error).lower()


def is_lack_of_memory(error: RuntimeError) -> bool:
    """Whether a library has asked for more memory than the machine or the GPU has."""
    return any(words in str(error).lower() for words in _LACK_OF_MEMORY)


def environment_error(error: OSError | RecursionError | UnicodeError | MemoryError | RuntimeError) -> str:
    """What happened, to which file, and the fix, in one line.

    Args:
        error: raised by the operating system, or by Python at one of its limits.
    """
    if isinstance(error, OSError):
        names = (error.filename, error.filename2)
        files = " and ".join(dict.fromkeys(_shown(name) for name in names if name is not None))
        what = (error.strerror or str(error) or type(error).__name__).rstrip(".")
        fix = _FIXES.get(error.errno or 0, "check the path and the disk")
        return f"{files + ': ' if files else ''}{what}; {fix}."
    if isinstance(error, RecursionError):
        return "A file is nested too deeply to be read; check the JSON files that the command reads."
    if isinstance(error, UnicodeError):
        return f"A text is not in the expected encoding ({error}); save it as UTF-8."
    if isinstance(error, RuntimeError) and is_link_loop(error):
        return f"{str(error).partition(' from ')[2]} is a link that leads to itself; put a file in its place."
    return "There is not enough memory; choose a smaller batch, fewer images at a time, or a machine with more."


def refused_by_the_system(error: UnboxedError) -> OSError | None:
    """What the system refused, where that made a file unreadable: then the file need not be damaged."""
    reason = error.__cause__ or error.__context__
    refused = isinstance(reason, OSError) and reason.errno in _REFUSED and reason.filename is not None
    return reason if isinstance(reason, OSError) and refused else None


def _shown(name: str | bytes | int) -> str:
    """A file as the user knows it: that of a temporary file or a lock is what it is made for."""
    return f"{final_name(Path(name))}" if isinstance(name, str) else f"{name!s}"
