"""File systems at URLs, opened by fsspec.

PyTorch brings fsspec along; http(s):// needs the package aiohttp, s3:// s3fs, gs:// gcsfs.
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from unboxed.errors import DatasetError, plain_reason

__all__ = ["file_system", "not_read"]


def file_system(url: str) -> Any:
    """The file system of fsspec for a URL; fsspec keeps one for each protocol.

    Raises:
        DatasetError: a package is missing, or the protocol is unknown or not supported.
    """
    import fsspec

    protocol = url.partition("://")[0]
    try:
        kind = fsspec.get_filesystem_class(protocol)
        host = signature(kind.__init__).parameters.get("host")
        if host is not None and host.default is host.empty:
            raise DatasetError(
                f"{protocol}:// is not read, as each of its hosts is a file system of its own; copy the files "
                "to this machine, or serve them by https."
            )
        return fsspec.filesystem(protocol)
    except ImportError as error:
        raise DatasetError(f"{protocol}:// needs a package that is not installed: {plain_reason(error)}.") from error
    except ValueError as error:
        known = ", ".join(name for name in ("http", "https", "s3", "gs", "az", "hf") if name != protocol)
        raise DatasetError(f"{protocol}:// is no protocol of fsspec; expected one such as {known}.") from error


def not_read(address: str | Path, error: Exception) -> str:
    """The message for what cannot be read at an address; each file system raises errors of its own."""
    return f"{address} cannot be read ({_reason(error)}); check the address, and that it may be read from here."


def _reason(error: Exception) -> str:
    """What went wrong. The errors of fsspec and aiohttp name the URL, which the message begins with."""
    if isinstance(error, FileNotFoundError) and not error.strerror:  # what led to it is its cause
        return "there is nothing" if error.__cause__ is None else plain_reason(error.__cause__)
    if status := getattr(error, "status", None):
        return f"the server answers {status} {getattr(error, 'message', '')}".rstrip()
    if hasattr(error, "history"):  # of aiohttp, without a status
        return "its redirects do not end"
    return plain_reason(error)
