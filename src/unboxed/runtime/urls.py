"""URLs as paths: a `Path` joins slashes, so that `s3://bucket/a.jpg` is `s3:/bucket/a.jpg`."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from urllib.parse import SplitResult, urlsplit

from unboxed.errors import UnboxedError

__all__ = ["absolute", "refuse_url", "resolved", "split_url", "url_of"]

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)
_LOCAL = ("file", "local")  # whose URLs have no host


def url_of(path: PurePath | str) -> str | None:
    """The URL that a path stands for; None for the path of a file.

    >>> url_of(PurePath("s3://bucket/a.jpg")), url_of("photos/a.jpg")
    ('s3://bucket/a.jpg', None)
    """
    found = _URL.fullmatch(path if isinstance(path, str) else path.as_posix())
    if not found:
        return None
    return f"{found[1]}://{'/' if found[1] in _LOCAL else ''}{found[2]}"


def split_url(text: str) -> SplitResult:
    """The parts of a URL. A text that cannot be split, such as `http://[x]/a.jpg`, is a path as a whole."""
    try:
        return urlsplit(text)
    except ValueError:  # brackets around what is no IPv6 address, or a host that is none in another Unicode form
        return SplitResult("", "", text, "", "")


def absolute(path: Path) -> Path:
    """The absolute path of a file or folder, which may be a link; the path of a URL as it is."""
    return path.absolute() if url_of(path) is None else path


def resolved(path: Path) -> Path:
    """The absolute path of a file or folder, without links; the path of a URL as it is."""
    return path.resolve() if url_of(path) is None else path


def refuse_url(path: PurePath, what: str = "", kind: type[UnboxedError] = UnboxedError) -> None:
    """Raise an error for the path of a URL where a file or folder is written, or read as one of a file system.

    Args:
        path: of a file or folder.
        what: what is read, such as "A region store"; empty where it is written.
        kind: of the error.

    Raises:
        UnboxedError: the path is that of a URL.
    """
    url = url_of(path)
    if url is None:
        return
    if what:
        raise kind(f"{what} is not read at a URL; copy {url} to this machine, or mount it, and name the path there.")
    raise kind(f"Nothing is written to a URL; write to a path of this machine, and copy the result to {url}.")
