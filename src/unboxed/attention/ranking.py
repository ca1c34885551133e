"""Ranking of the regions of an image for each phrase of a caption, from the attention of words or phrases.

Importing this module does not load torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, NamedTuple

from unboxed.boxes import area, iou
from unboxed.errors import RunError
from unboxed.runtime.counts import require_literal, require_literals
from unboxed.text.phrases import content_or_all

if TYPE_CHECKING:
    import torch

    from unboxed.types import Regions

__all__ = [
    "PRIOR_FLOOR",
    "Point",
    "Pooling",
    "Ranking",
    "RegionTerms",
    "expected_overlaps",
    "mean_weights",
    "phrase_scores",
    "pool_words",
    "rank_regions",
    "ranked_scores",
    "region_probabilities",
]

Point = Literal["centre", "covered"]
Pooling = Literal["max", "mean", "sum-log"]

PRIOR_FLOOR = 0.01
"""Added to the semantic prior before its logarithm: the prior may err, so a prior of 0 must not exclude a region."""


@dataclass(frozen=True)
class Ranking:
    """How the regions of a phrase are ranked. `Ranking.plain()` ranks them by attention alone.

    Attention is trained to find a region from which a word can be recognized. That region need not cover the whole
    thing: for "dog", the head of a dog is enough. The other options prefer regions that cover whole things.

    Attributes:
        pooling: how the attentions of the words of a phrase are combined (InfoGround: `max`).
        phrase_words: `content` uses nouns and adjectives only, `all` all words of the phrase (InfoGround).
        value_weight: factor of the dot product of the word's and the region's value, added to the logarithm of the
            attention.
        confidence_weight: factor of the logarithm of the region's highest class probability (`Regions.confidence`).
        area_weight: factor of the logarithm of the region's area: larger regions before smaller ones.
        prior_weight: factor of the logarithm of the semantic prior, where the model has one.
        learned_weight: factor of the logarithm of the attention; 0 ranks by the prior and the other terms alone.
        exclusivity: how much the score of a region falls with the probability that another phrase refers to it.
        expected_overlap: score regions by their expected overlap (IoU) with the phrase's region, not by probability.
        overlap_power: power of the IoU in the expected overlap. Below 1, a region that overlaps many candidates
            a little gains: larger boxes, which fit groups and scenes.
        consensus: weight, at least 0, of the phrases with the same head noun in other captions of the same image, where
            several are grounded together: the probabilities of their regions are averaged (the papers: 0, each phrase
            goes by its own caption). A caption that is grounded alone has none.
        point: where a phrase is pointed at, for the metrics of pointing: the `centre` of its best box (the papers), or
            the most probably `covered` point (guide “Metrics”).

    Raises:
        RunError: a negative consensus, a power that is not above 0, a number that is not finite, or an unknown name.
    """

    pooling: Pooling = "max"
    phrase_words: Literal["content", "all"] = "content"
    value_weight: float = 0.0
    confidence_weight: float = 0.0
    area_weight: float = 0.0
    prior_weight: float = 2.0
    exclusivity: float = 1.0
    expected_overlap: bool = True
    overlap_power: float = 1.0
    consensus: float = 0.0
    learned_weight: float = 1.0
    point: Point = "centre"

    def __post_init__(self) -> None:
        require_literals(self, RunError)
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise RunError(f"--{option.name.replace('_', '-')} is {value}; it must be a finite number.")
        if not self.overlap_power > 0:
            raise RunError(f"--overlap-power is {self.overlap_power}; it must be above 0.")
        if not self.consensus >= 0:
            raise RunError(f"--consensus is {self.consensus}; it is a weight of at least 0.")

    @staticmethod
    def plain() -> Ranking:
        """By the attention of all words alone (InfoGround, Gupta et al., ECCV 2020, section 3.4)."""
        return Ranking(phrase_words="all", prior_weight=0, exclusivity=0, expected_overlap=False)


class RegionTerms(NamedTuple):
    """What the ranking of R regions depends on besides the phrases. All may have the same leading axes.

    Attributes:
        overlap_RR: IoU of the regions.
        confidence_R: each region's highest class probability; None leaves it out.
        area_R: each region's area in square pixels; None leaves it out.
        mask_R: True for real regions; None: all are real.
    """

    overlap_RR: torch.Tensor
    confidence_R: torch.Tensor | None = None
    area_R: torch.Tensor | None = None
    mask_R: torch.Tensor | None = None


def mean_weights(member_PQ: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Weights `[..., P, Q]` of the mean over the queries of each phrase; 0 for a phrase without any.

    Args:
        member_PQ: True where query q belongs to phrase p.
        dtype: of the weights.
    """
    weight_PQ = member_PQ.to(dtype)
    return weight_PQ / weight_PQ.sum(dim=-1, keepdim=True).clamp(min=1)


def pool_words(attention_WR: torch.Tensor, phrase_PW: torch.Tensor, pooling: Pooling = "max") -> torch.Tensor:
    """Scores `[P, R]` of every region for every phrase, from the attention of the phrase's words.

    Axes before these are kept.

    Args:
        attention_WR: attention weights; rows sum to 1.
        phrase_PW: True where word w belongs to phrase p; each phrase has at least one word.
        pooling: `max` over the words (InfoGround's rule), their `mean`, or `sum-log`, the mean of their logarithms,
            which is low where any word has little attention.

    Raises:
        ValueError: an unknown pooling.
    """
    require_literal("pooling", pooling, Pooling)
    if pooling == "max":
        return attention_WR[..., None, :, :].masked_fill(~phrase_PW[..., None], 0).amax(dim=-2)
    weight_PW = mean_weights(phrase_PW, attention_WR.dtype)
    if pooling == "mean":
        return weight_PW @ attention_WR
    return (weight_PW @ attention_WR.clamp(min=1e-9).log()).exp()


def phrase_scores(
    attention_QR: torch.Tensor,
    value_QR: torch.Tensor,
    phrase_PQ: torch.Tensor,
    content_Q: torch.Tensor,
    ranking: Ranking,
) -> torch.Tensor:
    """Scores `[P, R]` >= 0 of every region for every phrase, from the attention of its words, or its own attention.

    Axes before these, such as that of several captions, are kept: `[C, Q, R]` gives `[C, P, R]`.

    Args:
        attention_QR: rows sum to 1.
        value_QR: products of the queries' values with the regions'.
        phrase_PQ: True where query q belongs to phrase p; each phrase has at least one.
        content_Q: True for nouns and adjectives. A phrase without any uses all its words.
        ranking: the rule.
    """
    if ranking.phrase_words == "content":
        phrase_PQ = content_or_all(phrase_PQ, content_Q[..., None, :])
    if ranking.value_weight:
        attention_QR = (attention_QR.clamp(min=1e-12).log() + ranking.value_weight * value_QR).softmax(dim=-1)
    return pool_words(attention_QR, phrase_PQ, ranking.pooling)


def rank_regions(
    score_PR: torch.Tensor, regions: Regions, ranking: Ranking, prior_PR: torch.Tensor | None = None
) -> torch.Tensor:
    """Scores `[P, R]` in [0, 1] of every region for every phrase; higher is better.

    Args:
        score_PR: of `phrase_scores`.
        regions: the R regions.
        ranking: the options.
        prior_PR: the semantic prior in [0, 1], where there is one.
    """
    confidence_R = None
    if ranking.confidence_weight and regions.class_names:
        confidence_R = score_PR.new_tensor(regions.confidence)
    overlap_RR = score_PR.new_tensor(iou(regions.boxes, regions.boxes))
    terms = RegionTerms(overlap_RR, confidence_R, score_PR.new_tensor(area(regions.boxes)))
    return ranked_scores(score_PR, terms, ranking, prior_PR)


def ranked_scores(
    score_PR: torch.Tensor,
    regions: RegionTerms,
    ranking: Ranking,
    prior_PR: torch.Tensor | None = None,
    mask_P: torch.Tensor | None = None,
) -> torch.Tensor:
    """`rank_regions` with tensors as its only inputs; leading axes are kept. Arguments as of `region_probabilities`."""
    probability_PR = region_probabilities(score_PR, regions, ranking, prior_PR, mask_P)
    return expected_overlaps(probability_PR, regions.overlap_RR, ranking)


def region_probabilities(
    score_PR: torch.Tensor,
    regions: RegionTerms,
    ranking: Ranking,
    prior_PR: torch.Tensor | None = None,
    mask_P: torch.Tensor | None = None,
) -> torch.Tensor:
    """The probability `[P, R]` that each region is the one that a phrase refers to; rows sum to 1, leading axes stay.

    Args:
        score_PR: of `phrase_scores`.
        regions: the R regions.
        ranking: the options.
        prior_PR: the semantic prior in [0, 1], where there is one.
        mask_P: True for real phrases; None: all are real.
    """
    overlap_RR, confidence_R, area_R, mask_R = regions
    logit_PR = ranking.learned_weight * score_PR.clamp(min=1e-12).log()
    if confidence_R is not None and ranking.confidence_weight:
        logit_PR = logit_PR + ranking.confidence_weight * confidence_R.clamp(min=0.01).log()[..., None, :]
    if area_R is not None and ranking.area_weight:
        logit_PR = logit_PR + ranking.area_weight * area_R.clamp(min=1).log()[..., None, :]
    if prior_PR is not None:
        logit_PR = logit_PR + ranking.prior_weight * (prior_PR.clamp(min=0) + PRIOR_FLOOR).log()
    if mask_R is not None:
        logit_PR = logit_PR.masked_fill(~mask_R[..., None, :], float("-inf"))
    return _exclusive(logit_PR, overlap_RR, ranking.exclusivity, mask_P)


def expected_overlaps(probability_PR: torch.Tensor, overlap_RR: torch.Tensor, ranking: Ranking) -> torch.Tensor:
    """The scores `[P, R]` of regions from their probabilities: these, or the expected overlap; leading axes stay."""
    if not ranking.expected_overlap:
        return probability_PR
    return probability_PR @ (overlap_RR if ranking.overlap_power == 1 else overlap_RR**ranking.overlap_power)


def _exclusive(
    logit_PR: torch.Tensor, overlap_RR: torch.Tensor, weight: float, mask_P: torch.Tensor | None
) -> torch.Tensor:
    """Distributions `[P, R]` of phrases over regions that avoid the regions of other phrases; three iterations.

    The log score of a region falls by `weight` times the probability that another phrase refers to that region, or
    to one that is nearly the same (IoU > 0.6).
    """
    probability_PR = logit_PR.softmax(dim=-1)
    if weight == 0:
        return probability_PR
    same_RR = (overlap_RR > 0.6).to(logit_PR.dtype)
    for _ in range(3):
        taken_PR = probability_PR if mask_P is None else probability_PR * mask_P[..., None]
        others_PR = taken_PR.sum(dim=-2, keepdim=True) - taken_PR
        probability_PR = (logit_PR - weight * (others_PR @ same_RR)).softmax(dim=-1)
    return probability_PR
