"""Calibration of a phrase's match to the probability that the phrase is present in the image.

A phrase always has a best region. How well it matches is what training contrasts between images: a phrase matches the
images whose captions contain it better than others. The unit of the match depends on the model. A logistic curve
(Platt 1999) is therefore fitted on held-out images, with their captions and with captions of other images. No box
is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
import numpy.typing as npt

from unboxed.text.phrases import content_or_all

__all__ = ["PresenceCalibration", "fit_presence", "phrase_match"]

_STEPS = 50
_RIDGE = 1.0  # keeps the curve finite when the phrases are separated without error


@dataclass(frozen=True)
class PresenceCalibration:
    """The logistic curve from a phrase's match to the probability that it is present.

    Attributes:
        slope: of the logit, positive.
        bias: of the logit.
        phrases: number of phrases it was fitted on; phrases of other images' captions have half of the weight.
    """

    slope: float
    bias: float
    phrases: int

    def confidence(self, match: float) -> float:
        """The probability in [0, 1] that a phrase with this match is present; it rises with the match."""
        logit = min(max(self.slope * match + self.bias, -30.0), 30.0)
        return 1 / (1 + exp(-logit))


def phrase_match(
    matched_Q: npt.NDArray[np.floating], phrase_PQ: npt.NDArray[np.bool_], content_Q: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """How well each phrase matches, `[P]`: the mean over its nouns and adjectives, or over all its words without any.

    Leading axes, such as that of several captions, are kept.

    Args:
        matched_Q: how well each query matches.
        phrase_PQ: True where query q belongs to phrase p; each phrase has at least one.
        content_Q: True for nouns and adjectives.
    """
    weight_PQ = content_or_all(phrase_PQ, content_Q[..., None, :]).astype(np.float64)
    sum_P = (weight_PQ @ matched_Q[..., None].astype(np.float64))[..., 0]
    return np.asarray(sum_P / weight_PQ.sum(axis=-1), dtype=np.float64)


def fit_presence(match_N: npt.ArrayLike, present_N: npt.ArrayLike) -> PresenceCalibration | None:
    """The maximum-likelihood curve; present and absent phrases have the same total weight.

    Args:
        match_N: the match of N phrases, in any unit.
        present_N: which of them are present in their image.

    Returns:
        None if no curve can be fitted: phrases of one class only, or a match that does not rise with presence.
    """
    match, present = np.asarray(match_N, dtype=np.float64), np.asarray(present_N, dtype=bool)
    kept = np.isfinite(match)
    match, present = match[kept], present[kept]
    if present.all() or not present.any() or np.ptp(match) == 0:
        return None
    mean, spread = float(match.mean()), float(match.std())
    inputs_N2 = np.stack([(match - mean) / spread, np.ones(len(match))], axis=1)
    weight_N = np.where(present, len(present) / (2 * present.sum()), len(present) / (2 * (~present).sum()))
    theta = np.zeros(2)
    for _ in range(_STEPS):  # Newton's method; the problem is convex and has two unknowns
        probability_N = 1 / (1 + np.exp(-np.clip(inputs_N2 @ theta, -30, 30)))
        gradient = inputs_N2.T @ (weight_N * (probability_N - present)) + _RIDGE * theta
        curvature = (inputs_N2.T * (weight_N * probability_N * (1 - probability_N))) @ inputs_N2 + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta = theta - step
        if np.abs(step).max() < 1e-8:
            break
    if theta[0] <= 0:
        return None
    slope = float(theta[0]) / spread
    return PresenceCalibration(slope, float(theta[1]) - slope * mean, len(match))
