"""Unit vectors that a row of zeros cannot spoil."""

from __future__ import annotations

import torch

__all__ = ["EPSILON", "cosine_to_content", "inverse_norm", "inverse_root", "unit"]

EPSILON = 1e-8  # the smallest length that counts as one


def inverse_root(square: torch.Tensor) -> torch.Tensor:
    """`1 / √square`, constant below EPSILON²: finite with a finite gradient at 0, and at a square rounded below it."""
    return square.clamp(min=EPSILON**2).rsqrt()


def unit(rows: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """`rows` divided by their lengths along `dim`; a row of zeros stays one, and its gradient is finite."""
    return rows * inverse_root(rows.square().sum(dim=dim, keepdim=True))


def cosine_to_content(product: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
    """Cosine of a unit vector with a content of weights that sum to 1.

    Args:
        product: of the unit vector and the content.
        square: `aᵀ G a`, the content's squared length.
    """
    return product * inverse_norm(square, torch.ones_like(square))


def inverse_norm(square: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """One over the length of a content of unit vectors whose weights sum to `total`.

    Where the contexts cancel out, the squared length is lost in rounding; it is then taken for what rounding may make
    of it, so that the cosine with next to nothing is next to nothing.

    Args:
        square: `aᵀ G a`, the content's squared length.
        total: of the weights, >= 0; the result is large but finite where it is 0.
    """
    least = (4 * torch.finfo(square.dtype).eps * total.square()).clamp(min=torch.finfo(square.dtype).tiny)
    return torch.maximum(square, least).rsqrt()
