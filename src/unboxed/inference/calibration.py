"""Calibration of a phrase's match to the probability that the phrase is present in the image.

A phrase always has a best region. How well it matches is what training contrasts between images: a phrase matches the
images whose captions contain it better than others. The unit of the match depends on the model. A logistic curve
(Platt 1999) is therefore fitted on held-out images, with their captions and with captions of other images. No box
is used.

Where the run has a semantic prior, the curve also rises with how well the best region fits by the prior: an object that
the detector is sure of is not refused because few images calibrate the match. A phrase that the prior does not know has
a constant in its place.

A phrase that is a whole caption, such as one of `label --find`, has no context, which the match was trained with. Where
the prior knows it, a curve of the prior alone tells more, and is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np
import numpy.typing as npt

from unboxed.attention.ranking import PRIOR_FLOOR
from unboxed.text.phrases import content_or_all

__all__ = ["NO_EVIDENCE", "PresenceCalibration", "fit_presence", "phrase_match", "rising_logistic"]

NO_EVIDENCE = 1e-6
"""The prior of a phrase for whose class no region has any evidence, unlike 0, that of a phrase without a class."""

_STEPS = 50
_RIDGE = 1.0  # keeps the curve finite when the phrases are separated without error
_SHRINKAGE = 20.0  # weight of the curve that another one is shrunk towards: that of about 100 phrases
_USUAL_SLOPE = 1.0  # of the logit, for one standard deviation of the match, where few phrases tell


@dataclass(frozen=True)
class PresenceCalibration:
    """The logistic curve from a phrase's match to the probability that it is present.

    Attributes:
        slope: of the logit, not negative.
        bias: of the logit.
        phrases: number of phrases it was fitted on; phrases of other images' captions have half of the weight.
        prior_slope: of the logit in the logarithm of the prior, not negative; 0 without a prior.
        unknown: added to the logit of a phrase that the prior does not know.
        alone_slope, alone_bias: `prior_slope` and `bias` of the curve of the prior alone, for a phrase that is a whole
            caption; a slope of 0: there is none.
    """

    slope: float
    bias: float
    phrases: int
    prior_slope: float = 0.0
    unknown: float = 0.0
    alone_slope: float = 0.0
    alone_bias: float = 0.0

    def logit(self, match: float, prior: float | None = None, *, alone: bool = False) -> float:
        """The log odds that a phrase is present.

        Args:
            match: of the phrase.
            prior: how well the best region fits by the semantic prior, in [0, 1]; 0: the prior does not know the
                phrase. None: the same.
            alone: the phrase is a whole caption. If the prior knows it, the match then does not count.
        """
        if prior and alone and self.alone_slope:
            return self.alone_slope * log(prior + PRIOR_FLOOR) + self.alone_bias
        known = self.prior_slope * log(prior + PRIOR_FLOOR) if prior else self.unknown
        return self.slope * match + self.bias + known

    def confidence(self, match: float, prior: float | None = None, *, alone: bool = False) -> float:
        """The probability in [0, 1] that a phrase with this match and prior is present; see `logit`."""
        return 1 / (1 + exp(-min(max(self.logit(match, prior, alone=alone), -30.0), 30.0)))


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
    chosen_PQ = content_or_all(phrase_PQ, content_Q[..., None, :])
    matched_N = np.broadcast_to(matched_Q[..., None, :], chosen_PQ.shape)[chosen_PQ]
    count_P = chosen_PQ.sum(axis=-1)
    sum_P = np.bincount(np.repeat(np.arange(count_P.size), count_P.ravel()), matched_N, count_P.size)
    return np.asarray(sum_P.reshape(count_P.shape) / count_P, dtype=np.float64)


def fit_presence(
    match_N: npt.ArrayLike,
    present_N: npt.ArrayLike,
    prior_N: npt.ArrayLike | None = None,
    towards: PresenceCalibration | None = None,
) -> PresenceCalibration | None:
    """The maximum-likelihood curve; present and absent phrases have the same total weight.

    Args:
        match_N: the match of N phrases, in any unit.
        present_N: which of them are present in their image.
        prior_N: the prior of each, as for `PresenceCalibration.logit`; None: the curve is one of the match alone.
        towards: a curve of the prior alone, on other images; this one is shrunk towards it, the more the fewer phrases
            there are, and the slope of the match towards a usual one. None: no shrinkage.

    Returns:
        None if no curve can be fitted: phrases of one class only, or neither match nor prior rises with presence.
    """
    match, present = np.asarray(match_N, dtype=np.float64), np.asarray(present_N, dtype=bool)
    prior = np.zeros_like(match) if prior_N is None else np.asarray(prior_N, dtype=np.float64)
    kept = np.isfinite(match)
    match, present, prior = match[kept], present[kept], prior[kept]
    if present.all() or not present.any():
        return None
    known = prior > 0
    log_prior = np.log(prior.clip(min=0) + PRIOR_FLOOR)
    mean, spread = float(match.mean()), float(match.std()) or 1.0
    level = float(log_prior[known].mean()) if known.any() else 0.0
    width = (float(log_prior[known].std()) if known.any() else 0.0) or 1.0
    inputs_N4 = np.stack(
        [(match - mean) / spread, np.where(known, (log_prior - level) / width, 0), ~known, np.ones(len(match))], axis=1
    )
    usual_4 = np.zeros(4)
    if towards is not None:
        slope = towards.prior_slope
        usual_4 = np.array([_USUAL_SLOPE, slope * width, towards.unknown - slope * level, 0])
    ridge_4 = np.array([*[_RIDGE if towards is None else _SHRINKAGE] * 3, _RIDGE])
    used_4 = np.array([np.ptp(match) > 0, np.ptp(inputs_N4[:, 1]) > 0, np.ptp(inputs_N4[:, 2]) > 0, True])
    rising_4 = np.array([True, True, False, False])
    theta_4 = rising_logistic(inputs_N4, present, usual_4, ridge_4, used_4, rising_4)
    if not theta_4[:2].any():
        return None
    slope, prior_slope = float(theta_4[0]) / spread, float(theta_4[1]) / width
    bias = float(theta_4[3]) - slope * mean - prior_slope * level
    return PresenceCalibration(slope, bias, len(match), prior_slope, float(theta_4[2]) + prior_slope * level)


def rising_logistic(
    inputs_NF: npt.NDArray[np.float64],
    present_N: npt.NDArray[np.bool_],
    usual_F: npt.NDArray[np.float64],
    ridge_F: npt.NDArray[np.float64],
    used_F: npt.NDArray[np.bool_],
    rising_F: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """The weights `[F]` of a logistic regression in which both classes have the same total weight.

    Args:
        inputs_NF: evidence.
        present_N: the class.
        usual_F: the weights are drawn towards these.
        ridge_F: how strongly.
        used_F: the columns that are used; the weights of others are 0.
        rising_F: the columns whose weight must not be negative; one that would be is left out.
    """
    present, count = present_N, len(present_N)
    weight_N = np.where(present, count / (2 * present.sum()), count / (2 * (~present).sum()))
    inputs, usual, ridge = inputs_NF[:, used_F], usual_F[used_F], ridge_F[used_F]
    theta = usual.copy()
    for _ in range(_STEPS):  # Newton's method; the problem is convex and has few unknowns
        probability_N = 1 / (1 + np.exp(-np.clip(inputs @ theta, -30, 30)))
        gradient = inputs.T @ (weight_N * (probability_N - present)) + ridge * (theta - usual)
        curvature = (inputs.T * (weight_N * probability_N * (1 - probability_N))) @ inputs + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        theta = theta - step
        if np.abs(step).max() < 1e-8:
            break
    weights_F = np.zeros(len(used_F))
    weights_F[used_F] = theta
    falling_F = rising_F & (weights_F < 0)
    if not falling_F.any():
        return weights_F
    return rising_logistic(inputs_NF, present_N, usual_F, ridge_F, used_F & ~falling_F, rising_F)
