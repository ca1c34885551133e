"""From the words of a phrase to a ranking of the regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unboxed.alignment.pooling import Pooling, pool_words
from unboxed.boxes import area, iou

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
        words: `content` lets nouns and adjectives decide, `all` articles and the rest too (the paper).
        value: weight of the product of a word's and a region's values beside the attention's logit (the paper: 0).
        confidence: weight of the logarithm of the region's highest class probability (the paper: 0).
        area: weight of the logarithm of the region's share of the photograph (the paper: 0).
        overlap: choose by expected overlap (IoU) with the attended region instead of by attention (the paper: no).
    """

    pooling: Pooling = "max"
    words: Literal["content", "all"] = "content"
    value: float = 0.5
    confidence: float = 1.0
    area: float = 0.25
    overlap: bool = True

    @staticmethod
    def paper() -> Ranking:
        """By the attention of all words alone (InfoGround, section 3.4)."""
        return Ranking(words="all", value=0, confidence=0, area=0, overlap=False)


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
    if ranking.words == "content":
        of_content_PW = phrase_PW & content_W
        phrase_PW = of_content_PW | (phrase_PW & ~of_content_PW.any(dim=1, keepdim=True))
    logit_WR = similarity_WR + ranking.value * value_WR
    if ranking.confidence and regions.class_names:
        best_R = similarity_WR.new_tensor(regions.class_probs.max(axis=1)).clamp(min=0.01)
        logit_WR = logit_WR + ranking.confidence * best_R.log()
    if ranking.area:
        share_R = similarity_WR.new_tensor(area(regions.boxes)) / (regions.width * regions.height)
        logit_WR = logit_WR + ranking.area * (share_R + 1e-3).log()
    score_PR = pool_words(logit_WR.softmax(dim=1), phrase_PW, ranking.pooling)
    if ranking.overlap:
        score_PR = score_PR @ similarity_WR.new_tensor(iou(regions.boxes, regions.boxes))
    return score_PR
