"""The images of the largest products with a query's weights: among all, or in some of the cells faiss makes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from unboxed.errors import SearchError

__all__ = ["ExactScan", "FaissScan", "Scan"]

_KEPT = 0.98
_OF_EACH = 100  # the best products that cells have to keep
_IN_TRAINING = 64  # vectors for each cell


class Scan(Protocol):
    """Finds the images of the largest products."""

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` images, best first."""


class ExactScan:
    """The product with every vector, in the vectors' own precision.

    Half precision is read twice as fast as single, and a product is rounded to a thousandth of the largest: who ranks
    a few more than are wanted, and those exactly, loses nothing.

    Args:
        vectors_NE: may be a map of a file; no copy is made.
    """

    def __init__(self, vectors_NE: torch.Tensor) -> None:
        self._vectors_NE = vectors_NE

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` images, best first."""
        length = weights_E.norm().clamp(min=torch.finfo(torch.float32).tiny)
        direction_E = (weights_E / length).to(self._vectors_NE.dtype)  # of unit length: no overflow in 16 bits
        product_N: torch.Tensor = self._vectors_NE @ direction_E
        return product_N.topk(min(count, len(product_N))).indices


class FaissScan:
    """The product with the vectors of the most promising cells that faiss sorts them into.

    How many cells are looked into is found with queries: as many as hold a given share of what the exact product finds.
    Images are found one by one in the order of their products, and the best ones of a query do not lie in one
    cell: of a small set they lie in many of them, of a large set in a small share of the cells. No share of the cells
    is right for both.

    Args:
        vectors_NE: the vectors.
        queries_QE: weights of typical queries; every other one is kept back to measure with.
        kept: share in (0, 1] of the best hundred products that the cells should hold; 1 looks into all cells.

    Attributes:
        cells, probes: how many there are, and how many are looked into.
        measured: the share that they hold for the queries kept back, in [0, 1].

    Raises:
        SearchError: faiss is not installed.
    """

    def __init__(self, vectors_NE: torch.Tensor, queries_QE: torch.Tensor, kept: float = _KEPT) -> None:
        try:
            import faiss
        except ModuleNotFoundError:
            raise SearchError(
                'faiss is not installed; install it with `pip install "unboxed[search]"`, or leave out --faiss.'
            ) from None
        vectors = np.ascontiguousarray(vectors_NE.float().numpy())
        self.cells = min(max(1, round(2 * len(vectors) ** 0.5)), len(vectors))
        quantiser = faiss.IndexFlatL2(vectors.shape[1])
        index: Any = faiss.IndexIVFScalarQuantizer(
            quantiser, vectors.shape[1], self.cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        index.by_residual = False
        index.cp.spherical = False
        index.cp.niter = 10
        index.cp.min_points_per_centroid = 1
        lots = np.random.default_rng(0)
        index.train(vectors[lots.permutation(len(vectors))[: _IN_TRAINING * self.cells]])
        index.add(vectors)
        # faiss sorts vectors into the cell of the nearest centre; the query looks where the product is largest.
        self._centres = quantiser.reconstruct_n(0, self.cells)
        self._quantiser, self._index = quantiser, index
        place_QK = self._places(vectors_NE, queries_QE)
        sought, kept_back = place_QK[::2], place_QK[1::2] if len(place_QK) > 1 else place_QK
        self.probes = self.cells
        if kept < 1 and place_QK.size:
            self.probes = int(np.quantile(sought, kept, method="inverted_cdf")) + 1
        self.measured = float((kept_back < self.probes).mean()) if place_QK.size else 1.0

    def _places(self, vectors_NE: torch.Tensor, queries_QE: torch.Tensor) -> Any:
        """How many cells are more promising than those of each query's best products, `[Q, K]`."""
        exact, places = ExactScan(vectors_NE), []
        for query_E in queries_QE.float():
            best_K = exact.top(query_E, _OF_EACH)
            _, cell_K1 = self._quantiser.search(np.ascontiguousarray(vectors_NE[best_K].float().numpy()), 1)
            place_N = np.empty(self.cells, np.int64)
            place_N[np.argsort(-(self._centres @ query_E.numpy()))] = np.arange(self.cells)
            places.append(place_N[cell_K1[:, 0]])
        return np.array(places)

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` images, best first; fewer where the cells looked into hold no more."""
        query_1E = np.ascontiguousarray(weights_E.float().numpy())[None]
        product_1N = query_1E @ self._centres.T
        cells_1N = np.argsort(-product_1N, axis=1)[:, : self.probes]
        near_1N = np.ascontiguousarray(np.take_along_axis(product_1N, cells_1N, axis=1))
        self._index.nprobe = self.probes
        _, found = self._index.search_preassigned(query_1E, count, np.ascontiguousarray(cells_1N), near_1N)
        return torch.from_numpy(found[0][found[0] >= 0])
