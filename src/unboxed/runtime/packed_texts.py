"""Many short texts in two arrays, which a file keeps as tensors; a text is decoded when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["packed", "unpacked"]

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


def unpacked(characters: Bytes, ends: Ends, row: int) -> str:
    """The text of a row."""
    start = int(ends[row - 1]) if row else 0
    return bytes(characters[start : int(ends[row])]).decode("utf-8", "surrogatepass")
