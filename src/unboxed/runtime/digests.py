"""Digests of copied files: `digests.json` in a folder lists the sha256 of each, which is compared when it is opened.

Files of tensors have their own digests (`tensor_digests`). JSON files have that of their values (`with_digest`). People
may edit these, so a change of them is reported and no error, except where nobody has a reason to.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from lzma import LZMAError
from pathlib import Path
from typing import Any

from unboxed.errors import UnboxedError, plain_reason
from unboxed.runtime.atomic import write_json
from unboxed.runtime.progress import show
from unboxed.runtime.tensor_digests import check_tensor_file

__all__ = [
    "ARCHIVE_ERRORS",
    "check_digest",
    "is_changed",
    "record_digest",
    "report_change",
    "require_unchanged",
    "verified",
    "with_digest",
]

_NAME, _FORMAT = "digests.json", "unboxed-digests"
_LEVELS = 3
_KEY = "sha256"
_NOT_COMPARED = (_KEY, "facts")  # facts are times, and places on the disk

ARCHIVE_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
)
"""What reading a damaged NumPy file or an archive may raise; NumPy parses the header of an array as Python source."""


def record_digest(folder: Path, path: Path) -> None:
    """Add a file of `folder`, or all files of a folder in it, to the list of `folder`."""
    listed = {file.relative_to(folder).as_posix(): _sha256(file) for file in _files(path)}
    kept = {name: digest for name, digest in _listed(folder).items() if (folder / name).is_file()}
    write_json(folder / _NAME, {"format": _FORMAT, "sha256": dict(sorted({**kept, **listed}.items()))})


def check_digest(path: Path) -> None:
    """Compare a file, or all files of a folder, with the list of a folder above; without a list nothing is compared.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file changed after it was written.
    """
    for folder in path.parents[:_LEVELS]:
        if listed := _listed(folder):
            for file in _files(path):
                expected = listed.get(file.relative_to(folder).as_posix())
                if expected is not None and _sha256(file) != expected:
                    raise ValueError(f"the content of {file.name} changed after it was written")
            return


def require_unchanged(*paths: Path, error: type[UnboxedError], fix: str) -> None:
    """Raise an error if one of these files or folders changed after it was written; some may be missing.

    Args:
        paths: compared by `check_digest`.
        error: the kind of error.
        fix: what the user can do, the end of the message.
    """
    for path in paths:
        try:
            if path.exists():
                check_digest(path)
        except ValueError as reason:
            raise error(f"{path} is damaged ({reason}); {fix}.") from None


def verified(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Check every file in a folder that has digests or checksums: the file, and what is wrong with it, or None.

    A folder that may not be read is wrong, too.
    """
    denied: list[OSError] = []
    walked = [Path(parent, name) for parent, _, names in os.walk(folder, onerror=denied.append) for name in names]
    yield from ((Path(error.filename), plain_reason(error)) for error in denied)
    for file in sorted(path for path in walked if not path.name.startswith(".")):
        try:
            checked = _check(file)
        except ARCHIVE_ERRORS as error:
            yield file, plain_reason(error)
        else:
            if checked:
                yield file, None


def _check(file: Path) -> bool:
    """Raise an error if a file changed after it was written; False if it has no digests or checksums."""
    if file.suffix not in (".safetensors", ".npz", ".json") and not _is_listed(file):
        return False
    if not file.is_file():
        raise ValueError("a pipe, a socket or a link to nothing")
    if file.suffix == ".safetensors":
        check_tensor_file(file)
    elif file.suffix == ".npz":
        with zipfile.ZipFile(file) as archive:
            if (name := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {name} is wrong")
    elif _is_listed(file):
        check_digest(file)
    else:
        return _check_json(file)
    return True


def _is_listed(file: Path) -> bool:
    return any(file.relative_to(above).as_posix() in _listed(above) for above in file.parents[:_LEVELS])


def _check_json(file: Path) -> bool:
    content = json.loads(file.read_text(encoding="utf-8"))
    if file.name == _NAME:
        gone = [name for name in _listed(file.parent) if not (file.parent / name).is_file()]
        if gone or not _listed(file.parent):
            raise ValueError(f"{gone[0]} is missing" if gone else "it lists nothing")
        return True
    if not isinstance(content, dict) or _KEY not in content:
        return False
    if is_changed(content):
        raise ValueError("its values changed after it was written; this is right if somebody edited it")
    return True


def with_digest(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a JSON file, and the sha256 of its values under the name `sha256`; those of `facts` may change.

    Args:
        content: JSON values by name.
    """
    return {**content, _KEY: _sha256_of(content)}


def is_changed(content: Mapping[str, Any]) -> bool:
    """Whether values changed since `with_digest`; False for the files of earlier versions, which have no digest."""
    return _KEY in content and content[_KEY] != _sha256_of(content)


def report_change(path: Path, content: Mapping[str, Any]) -> None:
    """Print a line if the content of a JSON file changed since `with_digest`. People may edit it; disks do too."""
    if is_changed(content):
        show(f"{path} changed after it was written. If nobody edited it, restore it: its values may be wrong.")


def _sha256_of(content: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in content.items() if name not in _NOT_COMPARED}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _listed(folder: Path) -> dict[str, str]:
    try:
        content: Any = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        found = content["sha256"] if content["format"] == _FORMAT else {}
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _files(path: Path) -> list[Path]:
    inside = (file for file in path.rglob("*") if file.is_file() and file.name != _NAME)
    return sorted(inside) if path.is_dir() else [path]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
