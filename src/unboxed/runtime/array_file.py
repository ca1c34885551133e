"""Reads NumPy archives, whatever a damaged one makes the readers of NumPy and of ZIP files fail with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import plain_reason
from unboxed.runtime.digests import ARCHIVE_ERRORS

__all__ = ["read_arrays"]

_UNCHECKED_BYTES, _LARGEST_RATIO = 256 * 2**20, 50


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an `.npz` file by name. Each is compared with its checksum.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, or a damaged one; a member of it is no array of numbers or texts; or it is a
            small file of very large arrays, which would fill the memory.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            size = sum(member.file_size for member in archive.zip.infolist())
            if size > max(_UNCHECKED_BYTES, _LARGEST_RATIO * path.stat().st_size):
                raise ValueError(f"its {size / 1e9:,.1f} GB are packed into {path.stat().st_size / 1e6:,.1f} MB")
            arrays = {name: archive[name] for name in archive.files}
    except OSError:
        raise
    except ARCHIVE_ERRORS as error:
        raise ValueError(plain_reason(error)) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} is no array")
        if array.dtype.kind == "U" and array.nbytes:
            codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
            if codes.max() > sys.maxunicode:
                raise ValueError(f"{name} has a text with characters that do not exist")
    return arrays
