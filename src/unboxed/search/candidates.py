"""Candidates of a search: one short vector an image whose product with a query's weights approximates the exact score.

How a recipe scores an image differs from recipe to recipe: by a largest cosine, by attention, by a graph. A mean of the
region embeddings approximates none of these well, because it loses which region a word matches. But similar images have
similar scores, whatever the recipe. The scores of an image for some hundred fixed sentences, the anchor captions,
nearly determine its score for any other sentence. So the vector of an image is a projection of its exact scores for the
anchor captions, and the weights of a query are fitted to reproduce its exact scores on a sample of the images.
Candidates are then scored exactly, and their scores improve the weights for the images that matter. Yadav et al. (EMNLP
2022 and 2023) find candidates for cross-encoders in this way.

Axis letters besides those of `types`: N images of the index, A anchor captions, S images of the sample, E width of the
vectors, F = E + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

import torch

from unboxed.text.phrases import is_content
from unboxed.text.tokens import SPECIAL, Vocabulary

__all__ = ["ExactSearch", "LowRankScores", "VectorSearch", "anchor_captions", "fitted_rows"]

_FORMS = (
    "a {} {} on a {}",
    "a {} {} and a {} {}",
    "a {} {} {} with a {} {}",
    "a {} {} in a {} {} is {} near a {}",
    "a {} {} with a {} {} and a {} is {} in front of a {} {}",
)
_COMMON = 2.5  # preference for common words, which a vocabulary has first; 1 is none

_WIDTH = 128
_RIDGE = 0.1  # the first component of the vectors has variance 1
_FITTED = 4096  # images that the components are computed from
_TRUST = 3.0  # weight of an image among the best, relative to one of the sample


def anchor_captions(vocabulary: Vocabulary, count: int = 512) -> tuple[str, ...]:
    """Random sentences of nouns, adjectives and verbs, the same for the same vocabulary; common words are more likely.

    Args:
        vocabulary: of the run.
        count: how many.
    """
    known = [word for word in vocabulary.words if word not in SPECIAL and any(c.isalnum() for c in word)]
    content = [word for word in known if is_content(word)] or known or ["thing"]
    random = Random(0)

    def word() -> str:
        return content[int(len(content) * random.random() ** _COMMON)]

    forms = [random.choice(_FORMS) for _ in range(count)]
    return tuple(form.format(*(word() for _ in range(form.count("{}")))) for form in forms)


@dataclass(frozen=True, eq=False)
class LowRankScores:
    """A low-rank approximation of the scores of images: a vector an image, and weights a caption.

    Attributes:
        mean_A: mean scores for the anchor captions.
        basis_AE: principal components of the scores, scaled.
        solver_FS: maps scores on the sample to E weights and a constant by ridge regression.
    """

    mean_A: torch.Tensor
    basis_AE: torch.Tensor
    solver_FS: torch.Tensor

    @classmethod
    def fit(cls, score_NA: torch.Tensor, sample_S: torch.Tensor, width: int = _WIDTH) -> LowRankScores:
        """Compute the components in which images differ most.

        Args:
            score_NA: exact scores of all images for the anchor captions.
            sample_S: rows of the images on which queries will be scored exactly.
            width: E, at most.
        """
        return cls.of(score_NA[fitted_rows(len(score_NA))], score_NA[sample_S], width)

    @classmethod
    def of(cls, score_MA: torch.Tensor, score_SA: torch.Tensor, width: int = _WIDTH) -> LowRankScores:
        """As `fit`, from some of the images.

        Args:
            score_MA: exact scores for the anchor captions of the images in `fitted_rows`.
            score_SA: those of the images on which queries will be scored exactly.
            width: E, at most.
        """
        mean_A = score_MA.double().mean(dim=0)
        _, size_E, basis_EA = torch.linalg.svd(score_MA.double() - mean_A, full_matrices=False)
        first = float(size_E[0]) / len(score_MA) ** 0.5
        basis_AE = basis_EA[:width].T / (first if first > 1e-12 else 1.0)
        vectors_SE = (score_SA.double() - mean_A) @ basis_AE
        return cls(mean_A.float(), basis_AE.float().contiguous(), _solver(vectors_SE).float())

    def vectors(self, score_NA: torch.Tensor) -> torch.Tensor:
        """The vectors `[N, E]` of images with these scores for the anchor captions."""
        return (score_NA.float() - self.mean_A) @ self.basis_AE

    def weights(self, score_SC: torch.Tensor) -> torch.Tensor:
        """The weights `[F, C]` of captions with these exact scores on the sample; the last row is a constant."""
        return self.solver_FS @ score_SC.float()

    def refined_weights(
        self, vectors_SE: torch.Tensor, score_S: torch.Tensor, vectors_KE: torch.Tensor, score_K: torch.Tensor
    ) -> torch.Tensor:
        """The weights `[F]` of one caption, fitted also to its exact scores on K of its best images.

        Args:
            vectors_SE, score_S: vectors and exact scores of the sample.
            vectors_KE, score_K: of the K images, which have a larger weight in the fit.
        """
        trust_M = torch.cat([torch.ones(len(score_S)), torch.full((len(score_K),), _TRUST)]).double()
        solver_FM = _solver(torch.cat([vectors_SE, vectors_KE]).double(), trust_M)
        weights_F: torch.Tensor = solver_FM @ torch.cat([score_S, score_K]).double()
        return weights_F.float()


def fitted_rows(images: int) -> torch.Tensor:
    """Random rows of at most 4,096 images, from which the components are computed."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(0))[:_FITTED]


def _solver(vectors_ME: torch.Tensor, trust_M: torch.Tensor | None = None) -> torch.Tensor:
    """The matrix `[F, M]` of a ridge regression from scores on M images to E weights and a constant."""
    inputs_MF = torch.cat([vectors_ME, torch.ones_like(vectors_ME[:, :1])], dim=1)
    ridge_F = torch.full((inputs_MF.shape[1],), _RIDGE, dtype=inputs_MF.dtype)
    ridge_F[-1] = 1e-6  # the constant is free
    inputs_FM = inputs_MF.T if trust_M is None else inputs_MF.T * trust_M
    solver_FM: torch.Tensor = torch.linalg.solve(inputs_FM @ inputs_MF + torch.diag(ridge_F), inputs_FM)
    return solver_FM


class VectorSearch(Protocol):
    """Finds the vectors with the largest products."""

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` vectors, the largest product first."""


class ExactSearch:
    """Computes the product with every vector, in the precision of the vectors.

    Half precision takes half the time of single precision. It rounds products to about a thousandth of the largest, so
    a caller should take a few more rows than needed and rank them exactly.

    Args:
        vectors_NE: may be a map of a file; it is not copied.
    """

    def __init__(self, vectors_NE: torch.Tensor) -> None:
        self._vectors_NE = vectors_NE

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` vectors, the largest product first."""
        length = weights_E.norm().clamp(min=torch.finfo(torch.float32).tiny)
        direction_E = (weights_E / length).to(self._vectors_NE.dtype)  # a unit vector: no overflow in 16 bits
        product_N: torch.Tensor = self._vectors_NE @ direction_E
        return product_N.topk(min(count, len(product_N))).indices
