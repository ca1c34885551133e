"""Checks of the digests in a safetensors file that `tensor_file` wrote.

The metadata has the sha256 of the numbers, and that of the header with this one left out. So a change of any byte is
found: that of the header when the file is opened, at little cost, and that of the numbers when they are first used.
Files of earlier versions have no digests and are not checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "BLANK_DIGEST",
    "HEADER_DIGEST",
    "NUMBERS_DIGEST",
    "check_header",
    "check_numbers",
    "check_tensor_file",
    "numbers_digest",
    "plain_metadata",
]

HEADER_DIGEST, NUMBERS_DIGEST = "header_sha256", "sha256_of_numbers"
BLANK_DIGEST = "0" * 64
"""Stands for the digest of the header while it is computed."""

_BLOCK = 1 << 20


def plain_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata of a file without its digests: what was given to `write_tensor_file`."""
    return {name: text for name, text in (metadata or {}).items() if name not in (HEADER_DIGEST, NUMBERS_DIGEST)}


def check_tensor_file(path: Path) -> None:
    """Both checks, of the header and of the numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it changed after it was written.
    """
    check_header(path)
    check_numbers(path)


def check_header(path: Path) -> None:
    """Compare the header of a file with the digest in it; the numbers are not read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it changed after it was written.
    """
    header, digests = _header(path)
    expected = digests.get(HEADER_DIGEST)
    if expected is not None:
        blank = header.replace(str(expected).encode(), BLANK_DIGEST.encode(), 1)
        _compare(hashlib.sha256(blank).hexdigest(), expected)


def check_numbers(path: Path) -> None:
    """Compare the numbers of a file with the digest in its header.

    Raises:
        OSError: the file cannot be read.
        ValueError: they changed after they were written.
    """
    header, digests = _header(path)
    expected = digests.get(NUMBERS_DIGEST)
    if expected is not None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            file.seek(len(header))
            while block := file.read(_BLOCK):
                digest.update(block)
        _compare(digest.hexdigest(), expected)


def numbers_digest(path: Path) -> str:
    """The digest of the numbers of a file, as its header has it; "" where it has none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file.
    """
    return str(_header(path)[1].get(NUMBERS_DIGEST, ""))


def _header(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes before the numbers, and the metadata in them."""
    if path.exists() and not path.is_file():  # opening a pipe waits for ever
        raise ValueError("it is a pipe, a socket, a device or a folder, and no file")
    with path.open("rb") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        if size > path.stat().st_size:
            raise ValueError("its header is longer than the file")
        text = file.read(size)
    try:
        header = json.loads(text)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return length + text, metadata if isinstance(metadata, dict) else {}


def _compare(found: str, expected: str) -> None:
    if found != expected:
        raise ValueError("its content changed after it was written")
