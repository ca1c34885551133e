"""Candidates of a search: one short vector an image whose product with one of the query is nearly the exact score.

How a recipe scores an image differs from recipe to recipe: a largest cosine, an attended one, a graph of them. A
mean of the regions' codes stands for none of these well: what one word looks for in one region is lost in it. What
holds for all is that scores are alike where images are: the scores for some hundred sentences, made up once,
nearly determine the score for any other sentence. So a photograph's vector is made of its exact scores for the made-up
sentences; and a query's weights are those that reproduce, from such vectors, its exact scores on a sample of the
images. What is then found and scored exactly makes the weights better where it matters, among the best. Nothing
depends on the recipe. (Yadav et al., EMNLP 2022 and 2023, find candidates for cross-encoders like this.)

Axis letters besides those of `types`: N images of the index, A probes (made-up sentences), S images of the
sample, E width of the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Sketch"]

_WIDTH = 128
_RIDGE = 0.1  # the first component of the vectors has variance 1
_LOOKED_AT = 4096  # images that the components are found from
_TRUST = 3.0  # how many images of the sample one of the best counts for


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
        """Find the components in which images differ most.

        Args:
            probes_NA: scores of all images for the probes.
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
        return cls(mean_A.float(), basis_AE.float().contiguous(), _solver(vectors_SE).float())

    def vectors(self, probes_NA: torch.Tensor) -> torch.Tensor:
        """The vectors `[N, E]` of images with these scores for the probes."""
        return (probes_NA.float() - self.mean_A) @ self.basis_AE

    def weights(self, score_SC: torch.Tensor) -> torch.Tensor:
        """The weights `[E + 1, C]` of captions with these exact scores on the sample; the last row is a constant."""
        return self.solver_FS @ score_SC.float()

    def weights_with(
        self, vectors_SE: torch.Tensor, score_S: torch.Tensor, vectors_KE: torch.Tensor, score_K: torch.Tensor
    ) -> torch.Tensor:
        """The weights `[E + 1]` of one caption whose exact scores on some of the best images are known, too.

        Args:
            vectors_SE, score_S: of the sample.
            vectors_KE, score_K: of those images, which count for more.
        """
        trust_M = torch.cat([torch.ones(len(score_S)), torch.full((len(score_K),), _TRUST)]).double()
        solver_FM = _solver(torch.cat([vectors_SE, vectors_KE]).double(), trust_M)
        weights_F: torch.Tensor = solver_FM @ torch.cat([score_S, score_K]).double()
        return weights_F.float()


def _solver(vectors_ME: torch.Tensor, trust_M: torch.Tensor | None = None) -> torch.Tensor:
    """What makes scores on M images E weights and a constant, by least squares, `[E + 1, M]`."""
    inputs_MF = torch.cat([vectors_ME, torch.ones_like(vectors_ME[:, :1])], dim=1)
    ridge_F = torch.full((inputs_MF.shape[1],), _RIDGE, dtype=inputs_MF.dtype)
    ridge_F[-1] = 1e-6  # the constant is free
    inputs_FM = inputs_MF.T if trust_M is None else inputs_MF.T * trust_M
    solver_FM: torch.Tensor = torch.linalg.solve(inputs_FM @ inputs_MF + torch.diag(ridge_F), inputs_FM)
    return solver_FM
