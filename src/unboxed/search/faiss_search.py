"""Candidates of millions of images: a faiss index (IVF) of compressed vectors (PQ), in memory or in a file.

Axis letters besides those of `types` and `candidates`: Q queries, K best images of a query.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unboxed.errors import SearchError, plain_reason
from unboxed.runtime.atomic import atomic_path
from unboxed.search.candidates import ExactSearch

__all__ = ["FaissSearch"]

_KEPT = 0.98
_BEST = 100  # of the largest products, to be kept by the cells that are searched
_MOST_CELLS = 2048  # training and adding take time in proportion to them
_TRAINING_VECTORS = 64  # for each cell
_BLOCK = 1 << 16  # vectors that are added at once: bounds the memory
_COMPRESSED_FROM = 100_000  # fewer vectors are stored in half precision
_MANY_NEW = 0.1
_COMPONENTS = 4  # of a vector, that share a byte


class FaissSearch:
    """Computes the products with the vectors in some of the cells of a faiss index (IVF).

    Up to 100,000 vectors are stored in half precision. More are compressed: four components of the difference to the
    centre of the cell share a byte (PQ), and the row takes eight bytes: 40 bytes for a vector of 128 components.
    Products with these are approximate, so a caller takes more rows than needed and ranks them by the vectors
    themselves, which may stay in a file.

    The number of cells to search is measured with queries: it is the number that contains a given share of the best
    exact products. A fixed share of the cells would not do, because the best hundred images of a query are in many
    cells of a small index, and in few cells of a large one.

    Attributes:
        cells: how many there are.
        nprobe: how many are searched.
        measured: share in [0, 1] of the best products of held-out queries that the searched cells contain; NaN where it
            was not measured.
    """

    def __init__(self, index: Any) -> None:
        faiss = _faiss()
        self.cells, self.nprobe, self.measured = int(index.nlist), int(index.nprobe), float("nan")
        self._index, self._lists = index, None
        self._index.parallel_mode = 1  # the cells of one query are shared among the threads
        # faiss puts a vector into the cell with the nearest centre; a query searches those with the largest product.
        self._quantizer = faiss.downcast_index(index.quantizer)
        self._centres = self._quantizer.reconstruct_n(0, self.cells)

    @classmethod
    def build(cls, vectors_NE: torch.Tensor, queries_QE: torch.Tensor, kept: float = _KEPT) -> FaissSearch:
        """Make cells of vectors.

        Args:
            vectors_NE: may be a map of a file, of which a block is in memory at a time.
            queries_QE: weights of typical queries. Every other one is held out to measure `measured`.
            kept: share in (0, 1] of the hundred best products that the searched cells should contain; 1 searches all.

        Raises:
            SearchError: faiss is not installed.
        """
        index = _trained(vectors_NE)
        for start in range(0, len(vectors_NE), _BLOCK):
            index.add(_numbers(vectors_NE[start : start + _BLOCK]))
        search = cls(index)
        search._measure(vectors_NE, queries_QE, kept)
        return search

    def update(self, source_N: torch.Tensor, vectors_NE: torch.Tensor, queries_QE: torch.Tensor) -> None:
        """Replace the rows, without training again and without reading the vectors of rows that stay.

        Args:
            source_N: for each of the N new rows, a row of before with the same vector, or -1.
            vectors_NE, queries_QE: of the new rows, as for `build`. The number of cells to search is measured again if
                more than a tenth of the rows have new vectors, because this takes all products of the queries.
        """
        faiss, kept_K = _faiss(), np.flatnonzero(source_N.numpy() >= 0)
        cell_M, code_MB = self._codes()
        source_K = source_N.numpy()[kept_K]
        order_K = np.argsort(cell_M[source_K], kind="stable")
        row_K, source_K = kept_K[order_K], source_K[order_K]
        ends = np.searchsorted(cell_M[source_K], np.arange(self.cells + 1))
        lists = faiss.ArrayInvertedLists(self.cells, self._index.code_size)
        for cell in range(self.cells):
            part = slice(ends[cell], ends[cell + 1])
            ids, codes = np.ascontiguousarray(row_K[part]), np.ascontiguousarray(code_MB[source_K[part]])
            lists.add_entries(cell, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        self._index.replace_invlists(lists, False)
        self._lists = lists  # the index has no part in its ownership
        self._index.ntotal = len(kept_K)
        new_N = np.flatnonzero(source_N.numpy() < 0)
        for start in range(0, len(new_N), _BLOCK):
            rows = new_N[start : start + _BLOCK]
            self._index.add_with_ids(_numbers(vectors_NE[torch.from_numpy(rows)]), rows)
        if len(new_N) > _MANY_NEW * len(source_N):
            self._measure(vectors_NE, queries_QE, _KEPT)

    def suits(self, vectors_NE: torch.Tensor) -> bool:
        """Whether `build` would make cells of the same kind of these vectors, and at most twice as many."""
        compressed = hasattr(self._index, "pq")
        return compressed == _is_compressed(*vectors_NE.shape) and _cells_for(len(vectors_NE)) <= 2 * self.cells

    def _codes(self) -> tuple[Any, Any]:
        """The cell `[M]` and the code `[M, bytes]` of each row."""
        faiss, lists, size = _faiss(), self._index.invlists, self._index.code_size
        cell_M, code_MB = np.zeros(self._index.ntotal, np.int32), np.zeros((self._index.ntotal, size), np.uint8)
        for cell in range(self.cells):
            if count := lists.list_size(cell):
                rows = faiss.rev_swig_ptr(lists.get_ids(cell), count)
                cell_M[rows] = cell
                code_MB[rows] = faiss.rev_swig_ptr(lists.get_codes(cell), count * size).reshape(count, size)
        return cell_M, code_MB

    def __len__(self) -> int:
        """The number of vectors."""
        return int(self._index.ntotal)

    def save(self, path: Path) -> None:
        """Write the cells to a file of faiss, atomically."""
        with atomic_path(path) as partial:
            _faiss().write_index(self._index, str(partial))

    @classmethod
    def load(cls, path: Path) -> FaissSearch:
        """Open what `save` wrote. The vectors stay in the file; the cells that a query searches are read.

        Raises:
            SearchError: faiss is not installed, or cannot read the file.
        """
        faiss = _faiss()
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except RuntimeError as error:
            raise SearchError(f"{path} is damaged ({plain_reason(error)}); run `unboxed index` again.") from None
        lists = faiss.downcast_InvertedLists(index.invlists)
        if hasattr(lists, "prefetch_nthread"):
            lists.prefetch_nthread = 0  # starting threads takes longer than a query
        return cls(index)

    def _measure(self, vectors_NE: torch.Tensor, queries_QE: torch.Tensor, kept: float) -> None:
        """Select the number of cells to search with every other query, and measure it with the others."""
        rank_QK = self._cell_ranks(vectors_NE, queries_QE)
        measured_on, held_out = rank_QK[::2], rank_QK[1::2] if len(rank_QK) > 1 else rank_QK
        self.nprobe = self.cells
        if kept < 1 and rank_QK.size:
            self.nprobe = int(np.quantile(measured_on, kept, method="inverted_cdf")) + 1
        self.measured = float((held_out < self.nprobe).mean()) if rank_QK.size else 1.0
        self._index.nprobe = self.nprobe  # is written to the file

    def _cell_ranks(self, vectors_NE: torch.Tensor, queries_QE: torch.Tensor) -> Any:
        """`[Q, K]`: the rank, in each query's order of cells, of the cell of each of its K best vectors."""
        exact, ranks = ExactSearch(vectors_NE), []
        for query_E in queries_QE.float():
            best_K = exact.top(query_E, _BEST)
            _, cell_K1 = self._quantizer.search(_numbers(vectors_NE[best_K]), 1)
            rank_N = np.empty(self.cells, np.int64)
            rank_N[np.argsort(-(self._centres @ query_E.numpy()))] = np.arange(self.cells)
            ranks.append(rank_N[cell_K1[:, 0]])
        return np.array(ranks)

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` vectors, the largest product first; fewer where the searched cells contain fewer."""
        query_1E = _numbers(weights_E)[None]
        product_1N = query_1E @ self._centres.T
        cells_1N = np.argsort(-product_1N, axis=1)[:, : self.nprobe]
        near_1N = np.ascontiguousarray(np.take_along_axis(product_1N, cells_1N, axis=1))
        self._index.nprobe = self.nprobe
        _, found = self._index.search_preassigned(query_1E, count, np.ascontiguousarray(cells_1N), near_1N)
        return torch.from_numpy(found[0][found[0] >= 0])


def _cells_for(count: int) -> int:
    return min(max(1, round(2 * math.sqrt(count))), count, _MOST_CELLS)


def _is_compressed(count: int, width: int) -> bool:
    return count >= _COMPRESSED_FROM and width % _COMPONENTS == 0


def _trained(vectors_NE: torch.Tensor) -> Any:
    """An empty index whose cells and codes are those of a sample of the vectors."""
    faiss = _faiss()
    count, width = vectors_NE.shape
    cells = _cells_for(count)
    quantizer = faiss.IndexFlatL2(width)
    index: Any
    if _is_compressed(count, width):
        index = faiss.IndexIVFPQ(quantizer, width, cells, width // _COMPONENTS, 8, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.max_points_per_centroid = _TRAINING_VECTORS
    else:
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, width, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        index.by_residual = False
    index.cp.spherical = False
    index.cp.niter = 10
    index.cp.min_points_per_centroid = 1
    rows = np.random.default_rng(0).permutation(count)[: _TRAINING_VECTORS * cells]
    index.train(_numbers(vectors_NE[torch.from_numpy(rows)]))
    return index


def _numbers(tensor: torch.Tensor) -> Any:
    return np.ascontiguousarray(tensor.float().numpy())


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError:
        raise SearchError(
            'faiss is not installed; install it with `pip install "unboxed[search]"`, or leave out --faiss.'
        ) from None
    return faiss
