"""Candidates of a search: one short vector a photograph whose product with one of the query is nearly the exact score.

How a recipe scores a photograph differs from recipe to recipe: a largest cosine, an attended one, a graph of them. A
mean of the regions' codes stands for none of these well: what one word looks for in one region is lost in it. What
holds for all is that scores are alike where photographs are: the scores for some hundred sentences, made up once,
nearly determine the score for any other sentence. So a photograph's vector is made of its exact scores for the made-up
sentences; and a query's weights are those that reproduce, from such vectors, its exact scores on a sample of the
photographs. Nothing depends on the recipe. (Yadav et al., EMNLP 2022, find candidates for cross-encoders like this.)

Axis letters besides those of `types`: N photographs of the index, A probes (made-up sentences), S photographs of the
sample, E width of the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from unboxed.errors import SearchError

__all__ = ["ExactScan", "FaissScan", "Scan", "Sketch"]

_WIDTH = 64
_RIDGE = 0.1  # the first component of the vectors has variance 1
_LOOKED_AT = 4096  # photographs that the components are found from
_SCANNED = 8  # one cell of this many is looked into
_CELL = 500  # photographs, about


@dataclass(frozen=True, eq=False)
class Sketch:
    """From scores for probes to vectors, and from scores on the sample to weights.

    Attributes:
        mean_A: what is taken off the probes' scores.
        basis_AE: their principal components, scaled.
        solver_FS: from scores on the sample to E weights and a constant (F = E + 1), by least squares.
    """

    mean_A: torch.Tensor
    basis_AE: torch.Tensor
    solver_FS: torch.Tensor

    @classmethod
    def fit(cls, probes_NA: torch.Tensor, sample_S: torch.Tensor, width: int = _WIDTH) -> Sketch:
        """Find the components in which photographs differ most.

        Args:
            probes_NA: scores of all photographs for the probes.
            sample_S: rows of the sample.
            width: E at most.
        """
        lots = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(probes_NA), generator=lots)[:_LOOKED_AT]
        mean_A = probes_NA[rows].double().mean(dim=0)
        _, size_E, basis_EA = torch.linalg.svd(probes_NA[rows].double() - mean_A, full_matrices=False)
        first = float(size_E[0]) / len(rows) ** 0.5
        basis_AE = basis_EA[:width].T / (first if first > 1e-12 else 1.0)
        vectors_SE = (probes_NA[sample_S].double() - mean_A) @ basis_AE
        inputs_SF = torch.cat([vectors_SE, torch.ones_like(vectors_SE[:, :1])], dim=1)
        ridge_F = torch.full((inputs_SF.shape[1],), _RIDGE, dtype=torch.float64)
        ridge_F[-1] = 1e-6  # the constant is free
        solver_FS = torch.linalg.solve(inputs_SF.T @ inputs_SF + torch.diag(ridge_F), inputs_SF.T)
        return cls(mean_A.float(), basis_AE.float().contiguous(), solver_FS.float())

    def vectors(self, probes_NA: torch.Tensor) -> torch.Tensor:
        """The vectors `[N, E]` of photographs with these scores for the probes."""
        return (probes_NA.float() - self.mean_A) @ self.basis_AE

    def weights(self, score_SC: torch.Tensor) -> torch.Tensor:
        """The weights `[E + 1, C]` of captions with these exact scores on the sample; the last row is a constant."""
        return self.solver_FS @ score_SC.float()


class Scan(Protocol):
    """Finds the photographs of the largest products."""

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` photographs, best first."""


class ExactScan:
    """The product with every vector.

    Args:
        vectors_NE: kept in single precision.
    """

    def __init__(self, vectors_NE: torch.Tensor) -> None:
        self._vectors_NE = vectors_NE.float()

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` photographs, best first."""
        score_N = self._vectors_NE @ weights_E
        return score_N.topk(min(count, len(score_N))).indices


class FaissScan:
    """The product with the vectors of the most promising eighth of the cells that faiss sorts them into.

    Args:
        vectors_NE: the vectors.
        scanned: share of the cells that is looked into, in (0, 1].

    Raises:
        SearchError: faiss is not installed.
    """

    def __init__(self, vectors_NE: torch.Tensor, scanned: float = 1 / _SCANNED) -> None:
        try:
            import faiss
        except ModuleNotFoundError:
            raise SearchError(
                'faiss is not installed; install it with `pip install "unboxed[search]"`, or leave out --faiss.'
            ) from None
        vectors = np.ascontiguousarray(vectors_NE.float().numpy())
        width, cells = vectors.shape[1], max(1, len(vectors) // _CELL)
        quantiser = faiss.IndexFlatL2(width)
        index: Any = faiss.IndexIVFScalarQuantizer(
            quantiser, width, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        index.by_residual = False
        index.cp.spherical = False
        index.cp.niter = 10
        index.cp.min_points_per_centroid = 1
        lots = np.random.default_rng(0)
        index.train(vectors[lots.permutation(len(vectors))[: 64 * cells]])
        index.add(vectors)
        index.nprobe = max(1, round(cells * scanned))
        # faiss sorts vectors into the cell of the nearest centre; the query looks where the product is largest.
        self._centres = quantiser.reconstruct_n(0, cells)
        self._quantiser, self._index = quantiser, index

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` photographs, best first; fewer where the cells looked into hold no more."""
        query_1E = np.ascontiguousarray(weights_E.float().numpy())[None]
        product_1N = query_1E @ self._centres.T
        cells_1N = np.argsort(-product_1N, axis=1)[:, : self._index.nprobe]
        near_1N = np.ascontiguousarray(np.take_along_axis(product_1N, cells_1N, axis=1))
        _, found = self._index.search_preassigned(query_1E, count, np.ascontiguousarray(cells_1N), near_1N)
        return torch.from_numpy(found[0][found[0] >= 0])
