"""Reads numbers of HDF5 files, which may come from anyone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import RegionsError

__all__ = ["numbers_of", "open_hdf5", "require_h5py"]

_LARGEST = 2**30  # bytes of what is read at once; the features of an image have a thousandth of it


def require_h5py() -> None:
    """Raises `RegionsError` where h5py is not installed."""
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise RegionsError('HDF5 files need h5py; install it with: pip install "unboxed[hdf5]".') from None


def open_hdf5(path: Path) -> Any:
    """A file of h5py, opened for reading.

    Raises:
        OSError: it is no HDF5 file, or no file at all.
    """
    import h5py

    if path.exists() and not path.is_file():  # opening a pipe waits for ever
        raise OSError("it is a pipe, a device or a folder, and no file")
    return h5py.File(path, "r")


def numbers_of(file: Any, name: str, rows: slice | int | None = None) -> npt.NDArray[Any]:
    """The numbers of a data set of an open file.

    Args:
        file: of h5py.
        name: of the data set, in the file itself.
        rows: that are read; None: all.

    Raises:
        ValueError: a link, numbers that are in other files, or too many of them.
        OSError, RuntimeError, KeyError, TypeError: the file is damaged.
    """
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name!r} is a link; only numbers of the file itself are read")
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise TypeError(f"{name!r} is no data set")
    if data.is_virtual or data.external:
        raise ValueError(f"the numbers of {name!r} are in other files; only those of the file itself are read")
    shape = tuple(data.shape or ())
    count = 1 if isinstance(rows, int) else len(range(*(rows or slice(None)).indices(shape[0] if shape else 1)))
    size = max(count * math.prod(shape[1:]), math.prod(data.chunks or (1,))) * data.dtype.itemsize
    if size > _LARGEST:
        raise ValueError(f"{name!r} claims {size:,} bytes of an image, the limit is {_LARGEST:,}")
    return np.asarray(data[() if rows is None else rows])
