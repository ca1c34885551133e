"""The tar files of WebDataset: files of the same name up to its first dot are one sample."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from unboxed.data.image_addresses import member_path, open_location
from unboxed.data.image_files import is_utf8, printable
from unboxed.data.images import SUFFIXES
from unboxed.data.tar_files import TarMember, members
from unboxed.errors import DatasetError, plain_reason
from unboxed.runtime.digests import ARCHIVE_ERRORS

__all__ = ["is_webdataset", "tar_images", "tar_rows"]

_LINE_END = re.compile(r"\r\n?|\n")
_TEXTS = (".txt", ".caption", ".captions")
_LARGEST, _LARGEST_TEXT = 200_000_000, 10_000_000  # bytes of a member
_LOOKED_AT = 50  # members


def is_webdataset(file: Path) -> bool:
    """Whether the first members of a tar file are images and their captions."""
    kinds: set[str] = set()
    with suppress(*ARCHIVE_ERRORS), tarfile.open(file, tarinfo=TarMember) as archive:
        kinds.update(_kind(member.name)[1] for member in islice(members(archive), _LOOKED_AT) if member.isfile())
    return bool(kinds & set(SUFFIXES)) and bool(kinds & {*_TEXTS, ".json"})


def tar_rows(file: Path) -> Iterator[dict[str, Any]]:
    """`image` (bytes and path), `captions` and `split` (None) of each sample; nothing is written to disk.

    Raises:
        DatasetError: a damaged file.
    """
    with _opened(file, "r:*") as archive:
        for sample in _samples(archive):
            suffix = next((suffix for suffix in SUFFIXES if suffix in sample), None)
            image = None
            if suffix is not None:
                image = {"bytes": _content(archive, sample[suffix]), "path": f"image{suffix}"}
            yield {"image": image, "captions": _captions(archive, sample), "split": None}


def tar_images(file: Path) -> Iterator[tuple[str, Path, Any]]:
    """The name of each image, the path of its bytes (see `unboxed.data.image_addresses`) and its captions.

    No image is read. `file` may be the path of a URL.

    Raises:
        DatasetError: a damaged or a compressed file, or one that cannot be opened.
    """
    with _opened(file, "r:") as archive:
        for sample in _samples(archive):
            image = next((sample[suffix] for suffix in SUFFIXES if suffix in sample), None)
            if image is not None and not image.issparse():
                name = image.name if is_utf8(image.name) else printable(image.name)
                yield name, member_path(file, image.offset_data, image.size, name), _captions(archive, sample)


@contextmanager
def _opened(file: Path, mode: Literal["r:*", "r:"]) -> Iterator[tarfile.TarFile]:
    try:
        with open_location(file) as stream, tarfile.open(fileobj=stream, mode=mode, tarinfo=TarMember) as archive:
            yield archive
    except ARCHIVE_ERRORS as error:
        hint = " It may be compressed; unpack it with gunzip or the like." if mode == "r:" else ""
        raise DatasetError(f"{file} cannot be read ({plain_reason(error)}); fetch it again.{hint}") from None


def _samples(archive: tarfile.TarFile) -> Iterator[dict[str, tarfile.TarInfo]]:
    """The members of each sample by their suffix; those whose image and text lie apart come last."""
    waiting: dict[str, dict[str, tarfile.TarInfo]] = {}
    key = ""
    for member in members(archive):
        name, suffix = _kind(member.name)
        if not member.isfile() or member.size > _LARGEST or Path(member.name).name.startswith("."):
            continue
        if name != key and _is_complete(waiting.get(key, {})):
            yield waiting.pop(key)
        key = name
        if suffix in SUFFIXES or (suffix in (*_TEXTS, ".json") and member.size <= _LARGEST_TEXT):
            waiting.setdefault(name, {})[suffix] = member
    yield from waiting.values()


def _is_complete(sample: dict[str, tarfile.TarInfo]) -> bool:
    return any(suffix in SUFFIXES for suffix in sample) and any(suffix not in SUFFIXES for suffix in sample)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return b"" if stream is None else stream.read()


def _kind(name: str) -> tuple[str, str]:
    """The key of a sample, and the suffix of its file: `a/0.seg.png` -> `a/0`, `.seg.png`."""
    folder, _, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return f"{folder}/{stem}", f".{suffix.lower()}"


def _captions(archive: tarfile.TarFile, sample: dict[str, tarfile.TarInfo]) -> Any:
    """The lines of the text of a sample, or what its JSON has for captions."""
    kind = next((kind for kind in _TEXTS if kind in sample), None)
    if kind is not None:
        text = _content(archive, sample[kind]).decode("utf-8-sig", "replace")
        return _LINE_END.split(text)  # str.splitlines would also split at rarer separators inside of a caption
    return _json_captions(_content(archive, sample[".json"]) if ".json" in sample else None)


def _json_captions(content: bytes | None) -> Any:
    try:
        values = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return []
    return values
