"""Scores from affinities and evidence alone: every phrase with every region in a few matrix products.

The columns of both are those of `priors.semantic`: classes and parts of persons, then one for boxes around several
things, then the six places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unboxed.priors.spatial import SPATIAL_WORDS
from unboxed.types import Array

__all__ = ["expected_overlap", "scores"]

_PLACES = len(SPATIAL_WORDS)


def scores(affinity_PE: Any, evidence_RE: Any) -> Any:
    """How well every region fits every phrase, `[…, P, R]` in [0, 1]; 0 where nothing is known.

    Args:
        affinity_PE: `[…, P, E]`, rows of `SemanticPrior.affinity`; NumPy or torch, as `evidence_RE`.
        evidence_RE: `[…, R, E]`, rows of `SemanticPrior.evidence`; padded regions are zeros. Leading axes are
            broadcast: `[1, C, P, E]` with `[B, 1, R, E]` gives `[B, C, P, R]`.
    """
    classes = affinity_PE.shape[-1] - _PLACES - 1
    fit = _products(affinity_PE[..., :classes], evidence_RE[..., :classes])
    fit = fit * (1 + _products(affinity_PE[..., classes : classes + 1], evidence_RE[..., classes : classes + 1]))
    placed = _products(affinity_PE[..., classes + 1 :], evidence_RE[..., classes + 1 :])
    there = (placed >= 0.5) & (fit > 0)
    return (fit * (there | ~there.any(axis=-1, keepdims=True))).clip(0, 1)


def expected_overlap(score_PR: Array, overlap_RR: Array, power: float = 2.0) -> Array:
    """Scores `[P, R]` by what each region is expected to share with the right one.

    The scores to a power, normalised over regions, are taken as its distribution.

    Args:
        score_PR: scores, 0 or more.
        overlap_RR: IoU of the regions.
        power: sharpens.
    """
    sharp_PR = score_PR**power
    return np.asarray(sharp_PR / np.maximum(sharp_PR.sum(axis=-1, keepdims=True), 1e-9) @ overlap_RR, dtype=np.float32)


def _products(affinity: Any, evidence: Any) -> Any:
    """`[…, P, R]` inner products; where every leading axis belongs to one side, in a single product of two matrices."""
    if affinity.ndim == 4 and evidence.ndim == 4 and affinity.shape[0] == 1 and evidence.shape[1] == 1:
        captions, phrases, width = affinity.shape[1:]
        images, regions = evidence.shape[0], evidence.shape[2]
        flat = affinity.reshape(captions * phrases, width) @ evidence.reshape(images * regions, width).T
        return flat.reshape(captions, phrases, images, regions).swapaxes(1, 2).swapaxes(0, 1)
    return affinity @ evidence.swapaxes(-1, -2)
