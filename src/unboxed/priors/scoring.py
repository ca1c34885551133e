"""Scores of phrases with regions from affinities and class scores: all pairs in a few matrix products.

The E columns of both are those of `unboxed.priors.semantic`: classes and parts of persons, one for boxes around several
things, and six places.
"""

from __future__ import annotations

from typing import Any

from unboxed.priors.spatial import SPATIAL_WORDS

__all__ = ["scores"]

_PLACES = len(SPATIAL_WORDS)


def scores(affinity_PE: Any, class_score_RE: Any) -> Any:
    """How well every region fits every phrase, `[…, P, R]` in [0, 1]; 0 for phrases that match no class.

    Args:
        affinity_PE: `[…, P, E]`, rows of `SemanticPrior.affinity`; NumPy or torch, as `class_score_RE`.
        class_score_RE: `[…, R, E]`, rows of `SemanticPrior.class_scores`; padded regions are zeros. Leading axes are
            broadcast: `[1, C, P, E]` with `[B, 1, R, E]` gives `[B, C, P, R]`.
    """
    things = affinity_PE.shape[-1] - _PLACES - 1
    fit = _products(affinity_PE[..., :things], class_score_RE[..., :things])
    fit = fit * (1 + _products(affinity_PE[..., things : things + 1], class_score_RE[..., things : things + 1]))
    placed = _products(affinity_PE[..., things + 1 :], class_score_RE[..., things + 1 :])
    in_place = (placed >= 0.5) & (fit > 0)
    return (fit * (in_place | ~in_place.any(axis=-1, keepdims=True))).clip(0, 1)


def _products(affinity: Any, class_score: Any) -> Any:
    """`[…, P, R]` inner products; where every leading axis belongs to one side, as one product of two matrices."""
    if affinity.ndim == 4 and class_score.ndim == 4 and affinity.shape[0] == 1 and class_score.shape[1] == 1:
        captions, phrases, width = affinity.shape[1:]
        images, regions = class_score.shape[0], class_score.shape[2]
        flat = affinity.reshape(captions * phrases, width) @ class_score.reshape(images * regions, width).T
        return flat.reshape(captions, phrases, images, regions).swapaxes(1, 2).swapaxes(0, 1)
    return affinity @ class_score.swapaxes(-1, -2)
