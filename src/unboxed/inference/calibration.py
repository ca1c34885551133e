"""Is a phrase in the image at all? A calibrated answer, from how well the phrase fits.

A phrase always has a best region. Whether it is a good one shows in the evidence that the model was trained to contrast
between photographs: the same phrase fits the images it was written for better than others. What evidence means how
much depends on the model, so a logistic curve is fitted on held-out images (Platt 1999): with their own captions,
and with captions of other images. No box is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
import numpy.typing as npt

from unboxed.text.phrases import content_or_all

__all__ = ["PresenceCalibration", "fit_presence", "phrase_match"]

_STEPS = 50
_RIDGE = 1.0  # keeps the curve finite where a few phrases can be told apart without error


@dataclass(frozen=True)
class PresenceCalibration:
    """The logistic curve from a phrase's evidence to the confidence that it is in the image.

    Attributes:
        slope: positive.
        bias: of the logit.
        phrases: how many phrases it was fitted on; half of their weight is on those of other photographs' captions.
    """

    slope: float
    bias: float
    phrases: int

    def confidence(self, evidence: float) -> float:
        """In [0, 1], rising with the evidence; 0.5 where a phrase is as likely there as not."""
        logit = min(max(self.slope * evidence + self.bias, -30.0), 30.0)
        return 1 / (1 + exp(-logit))


def phrase_match(
    evidence_Q: npt.NDArray[np.floating], phrase_PQ: npt.NDArray[np.bool_], content_Q: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """How well each phrase fits, `[P]`: the mean over its nouns and adjectives, over all its words where it has none.

    Axes before these, such as that of several captions, are kept.

    Args:
        evidence_Q: how well each query is matched.
        phrase_PQ: True where query q belongs to phrase p; each phrase has at least one.
        content_Q: True for nouns and adjectives.
    """
    weight_PQ = content_or_all(phrase_PQ, content_Q[..., None, :]).astype(np.float64)
    sum_P = (weight_PQ @ evidence_Q[..., None].astype(np.float64))[..., 0]
    return np.asarray(sum_P / weight_PQ.sum(axis=-1), dtype=np.float64)


def fit_presence(evidence_N: npt.ArrayLike, present_N: npt.ArrayLike) -> PresenceCalibration | None:
    """The curve that makes phrases of either kind likeliest, both kinds counting the same.

    Args:
        evidence_N: of N phrases, any unit.
        present_N: which of them are in their image.

    Returns:
        None where nothing can be told: phrases of one kind only, or evidence that does not rise with presence.
    """
    evidence, present = np.asarray(evidence_N, dtype=np.float64), np.asarray(present_N, dtype=bool)
    kept = np.isfinite(evidence)
    evidence, present = evidence[kept], present[kept]
    if present.all() or not present.any() or np.ptp(evidence) == 0:
        return None
    mean, spread = float(evidence.mean()), float(evidence.std())
    inputs_N2 = np.stack([(evidence - mean) / spread, np.ones(len(evidence))], axis=1)
    weight_N = np.where(present, len(present) / (2 * present.sum()), len(present) / (2 * (~present).sum()))
    theta = np.zeros(2)
    for _ in range(_STEPS):  # Newton's method; the problem is convex and has two unknowns
        belief_N = 1 / (1 + np.exp(-np.clip(inputs_N2 @ theta, -30, 30)))
        gradient = inputs_N2.T @ (weight_N * (belief_N - present)) + _RIDGE * theta
        curvature = (inputs_N2.T * (weight_N * belief_N * (1 - belief_N))) @ inputs_N2 + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta = theta - step
        if np.abs(step).max() < 1e-8:
            break
    if theta[0] <= 0:
        return None
    slope = float(theta[0]) / spread
    return PresenceCalibration(slope, float(theta[1]) - slope * mean, len(evidence))
