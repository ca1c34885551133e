"""The tar files of WebDataset: files of the same name up to its first dot are one sample."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from unboxed.data.images import SUFFIXES
from unboxed.data.readers.rows import caption_columns, column_of
from unboxed.errors import DatasetError, plain_reason

__all__ = ["is_webdataset", "tar_rows"]

_TEXTS = (".txt", ".caption", ".captions")
_LARGEST = 200_000_000  # bytes of a member
_LOOKED_AT = 50  # members


def is_webdataset(file: Path) -> bool:
    """Whether the first members of a tar file are images and their captions."""
    kinds: set[str] = set()
    with suppress(tarfile.TarError, OSError, EOFError), tarfile.open(file) as archive:
        kinds.update(_kind(member.name)[1] for member in islice(archive, _LOOKED_AT) if member.isfile())
    return bool(kinds & set(SUFFIXES)) and bool(kinds & {*_TEXTS, ".json"})


def tar_rows(file: Path) -> Iterator[dict[str, Any]]:
    """`image` (bytes and path), `captions` and `split` (None) of each sample; nothing is written to disk.

    Raises:
        DatasetError: a damaged file.
    """
    try:
        with tarfile.open(file) as archive:
            sample: dict[str, bytes] = {}
            key = None
            for member in archive:
                name, suffix = _kind(member.name)
                if not member.isfile() or member.size > _LARGEST or Path(member.name).name.startswith("."):
                    continue
                if name != key and sample:
                    yield _row(sample)
                    sample = {}
                key = name
                stream = archive.extractfile(member)
                if stream is not None and suffix in (*SUFFIXES, *_TEXTS, ".json"):
                    sample[suffix] = stream.read()
            if sample:
                yield _row(sample)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DatasetError(f"{file} cannot be read ({plain_reason(error)}); fetch it again.") from None


def _kind(name: str) -> tuple[str, str]:
    """The key of a sample, and the suffix of its file: `a/0.seg.png` -> `a/0`, `.seg.png`."""
    folder, _, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return f"{folder}/{stem}", f".{suffix.lower()}"


def _row(sample: dict[str, bytes]) -> dict[str, Any]:
    suffix = next((suffix for suffix in SUFFIXES if suffix in sample), None)
    image = None if suffix is None else {"bytes": sample[suffix], "path": f"image{suffix}"}
    text = next((sample[kind].decode("utf-8", "replace").splitlines() for kind in _TEXTS if kind in sample), None)
    return {"image": image, "captions": _json_captions(sample.get(".json")) if text is None else text, "split": None}


def _json_captions(content: bytes | None) -> Any:
    try:
        values = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return []
    if not isinstance(values, dict):
        return []
    columns = {column_of(name): value for name, value in values.items()}
    return [columns[name] for name in caption_columns(columns)]
