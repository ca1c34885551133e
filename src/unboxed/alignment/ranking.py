"""From the words of a phrase to a ranking of the regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unboxed.alignment.pooling import Pooling, pool_words
from unboxed.boxes import iou

if TYPE_CHECKING:
    import torch

    from unboxed.types import Regions

__all__ = ["Ranking", "rank_regions"]


@dataclass(frozen=True)
class Ranking:
    """How the regions of a phrase are ranked. `Ranking.paper()` is InfoGround's rule: by attention alone.

    Attention is trained to find a region that gives a word away, not to find the extent of what the word means: of a
    dog, its head does as well. The defaults lean towards whole things: a word's attention counts together with what it
    found there and with how sure the detectors are of the region, and the region is chosen whose expected overlap with
    the attended one is largest.

    Attributes:
        pooling: how the words of a phrase share their attention (the paper: `max`).
        phrase_words: `content` lets nouns and adjectives decide, `all` articles and the rest too (the paper).
        value_weight: of the product of a word's and a region's values beside the attention's logit (the paper: 0).
        confidence_weight: of the logarithm of the region's highest class probability (the paper: 0).
        exclusivity: how much a phrase shuns the regions that the caption's other phrases are about (the paper: 0).
        expected_overlap: choose by expected overlap (IoU) with the attended region, not by attention (the paper).
    """

    pooling: Pooling = "max"
    phrase_words: Literal["content", "all"] = "content"
    value_weight: float = 0.2
    confidence_weight: float = 2.0
    exclusivity: float = 1.0
    expected_overlap: bool = True

    @staticmethod
    def paper() -> Ranking:
        """By the attention of all words alone (InfoGround, section 3.4)."""
        return Ranking(phrase_words="all", value_weight=0, confidence_weight=0, exclusivity=0, expected_overlap=False)


def rank_regions(
    similarity_WR: torch.Tensor,
    value_WR: torch.Tensor,
    phrase_PW: torch.Tensor,
    content_W: torch.Tensor,
    regions: Regions,
    ranking: Ranking,
) -> torch.Tensor:
    """Scores `[P, R]` >= 0 of every region for every phrase; higher is better.

    Args:
        similarity_WR: the attention's logits.
        value_WR: products of the words' values with the regions'.
        phrase_PW: True where word w belongs to phrase p; each phrase has at least one word.
        content_W: True for nouns and adjectives. A phrase without any goes by all its words.
        regions: the R regions.
        ranking: the rule.
    """
    if ranking.phrase_words == "content":
        of_content_PW = phrase_PW & content_W
        phrase_PW = of_content_PW | (phrase_PW & ~of_content_PW.any(dim=1, keepdim=True))
    logit_WR = similarity_WR + ranking.value_weight * value_WR
    if ranking.confidence_weight and regions.class_names:
        best_R = similarity_WR.new_tensor(regions.class_probs.max(axis=1)).clamp(min=0.01)
        logit_WR = logit_WR + ranking.confidence_weight * best_R.log()
    score_PR = pool_words(logit_WR.softmax(dim=1), phrase_PW, ranking.pooling)
    if not (ranking.exclusivity or ranking.expected_overlap):
        return score_PR
    overlap_RR = similarity_WR.new_tensor(iou(regions.boxes, regions.boxes))
    if ranking.exclusivity:
        score_PR = _exclusive(score_PR, overlap_RR, ranking.exclusivity)
    return score_PR @ overlap_RR if ranking.expected_overlap else score_PR


def _exclusive(score_PR: torch.Tensor, overlap_RR: torch.Tensor, weight: float) -> torch.Tensor:
    """The phrases' distributions over regions after each has made room for the others, a few times over.

    A phrase's log score of a region falls by `weight` times the probability that another phrase means that region, or
    one that is nearly the same (IoU > 0.6).
    """
    log_PR = score_PR.clamp(min=1e-12).log()
    same_RR = (overlap_RR > 0.6).to(score_PR.dtype)
    probability_PR = log_PR.softmax(dim=1)
    for _ in range(3):
        others_PR = probability_PR.sum(dim=0) - probability_PR
        probability_PR = (log_PR - weight * (others_PR @ same_RR)).softmax(dim=1)
    return probability_PR
