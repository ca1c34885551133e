"""The file of the cells of faiss beside the table of an index, named by the digest of its content.

The table names its file. So a search that has the table of before an update uses the cells of before it, and the file
that the last table named is kept until the next update.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from unboxed.errors import SearchError
from unboxed.search.faiss_search import FaissSearch

__all__ = ["checked_name", "open_cells", "remove_other_cells", "same_vectors", "write_cells"]

_NAME = re.compile(r"cells-[0-9a-f]{32}\.faiss")


def checked_name(name: str) -> str:
    """The name, if it is that of a file of cells or empty.

    Raises:
        ValueError: it is neither.
    """
    if name and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no file of cells")
    return name


def write_cells(folder: Path, search: FaissSearch) -> str:
    """Write the cells to a file of the folder, and return its name."""
    unnamed = folder / "cells.faiss"
    search.save(unnamed)
    name = f"cells-{_digest(unnamed)}.faiss"
    unnamed.replace(folder / name)
    return name


def open_cells(path: Path) -> FaissSearch:
    """Open the file that `write_cells` wrote. Its content is compared with its name.

    Raises:
        SearchError: the file is damaged or gone, or faiss is not installed.
    """
    if not path.is_file():
        raise SearchError(f"{path} is gone: the index was changed since it was opened; open it again.")
    if path.name != f"cells-{_digest(path)}.faiss":
        raise SearchError(f"{path} is damaged; delete it and run `unboxed index --faiss` again.")
    return FaissSearch.load(path)


def remove_other_cells(folder: Path, names: Sequence[str]) -> None:
    """Delete the files of cells in the folder, but for these, and what a killed process left of one."""
    for file in folder.glob("*cells*.faiss*"):
        if file.name not in names:
            file.unlink(missing_ok=True)


def same_vectors(before_MK: torch.Tensor, now_NK: torch.Tensor) -> torch.Tensor:
    """For each digest of `now_NK`, a row of the same digest in `before_MK`; -1 where there is none."""
    before_M, now_N = (
        digests.contiguous().numpy().view(f"V{digests.shape[1]}")[:, 0] for digests in (before_MK, now_NK)
    )
    order_M = before_M.argsort()
    place_N = np.searchsorted(before_M[order_M], now_N).clip(max=len(before_M) - 1)
    row_N = order_M[place_N]
    return torch.from_numpy(np.where(before_M[row_N] == now_N, row_N, -1))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
