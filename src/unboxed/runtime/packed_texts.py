"""Many short texts in two arrays, which a file keeps as tensors; a text is decoded when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["check_packed", "packed", "unpacked"]

Bytes = npt.NDArray[np.uint8]
Ends = npt.NDArray[np.int64]


def packed(texts: Iterable[str]) -> tuple[Bytes, Ends]:
    """All texts in UTF-8, and the end of each; lone surrogates, which file names may have, are kept.

    >>> characters, ends = packed(["a", "dog"])
    >>> ends.tolist(), unpacked(characters, ends, 1)
    ([1, 4], 'dog')
    """
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([len(text) for text in encoded], dtype=np.int64)


def check_packed(characters: Bytes, ends: Ends) -> None:
    """Check that two arrays of a file are texts.

    Raises:
        ValueError: they have other kinds, do not end where they should, or are not UTF-8.
    """
    kinds = (characters.dtype.name, ends.dtype.name, characters.ndim, ends.ndim)
    whole = kinds == ("uint8", "int64", 1, 1) and (ends[-1] if len(ends) else 0) == len(characters)
    if not whole or bool((np.diff(ends, prepend=0) < 0).any()):
        raise ValueError(f"texts of {list(characters.shape)} bytes do not end where they should")
    characters.tobytes().decode("utf-8", "surrogatepass")
    starts = ends[:-1][ends[:-1] < len(characters)]
    if bool((characters[starts] & 0xC0 == 0x80).any()):
        raise ValueError("a text begins within a character")


def unpacked(characters: Bytes, ends: Ends, row: int) -> str:
    """The text of a row."""
    start = int(ends[row - 1]) if row else 0
    return bytes(characters[start : int(ends[row])]).decode("utf-8", "surrogatepass")
