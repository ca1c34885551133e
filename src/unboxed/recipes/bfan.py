"""BFAN: bidirectional focal attention.

Liu, Mao, Liu, Zhang, Wang, Zhang: Focus Your Attention: A Bidirectional Focal Attention Network for Image-Text
Matching. ACM Multimedia 2019.

SCAN in both directions at once: the score is the sum of those of `t2i` and `i2t`, both with λ = 20. Attention weights
that are not above a threshold are set to 0, and the others are normalized again. With a_j the weights of a query:

    equal    Σ_k (a_j - a_k) > 0          a_j is above the mean weight
    prob     Σ_k (a_j - a_k) √a_k > 0     a_j is above Σ_k a_k^1.5 / Σ_k a_k^0.5

Where this differs from the paper by default: as listed in `scan.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.recipes.cross_attention import CrossAttentionConfig

if TYPE_CHECKING:
    from unboxed.attention.cosine_attention import AttentionScorer

__all__ = ["BFAN"]


@dataclass(frozen=True)
class BFAN(CrossAttentionConfig):
    """BFAN. The paper: joint width 1024, lambda 20.

    Attributes:
        focal: the threshold: the mean weight (`equal`), or the mean weighted by the square root of the weights
            (`prob`).
    """

    attention: ClassVar[str] = "cross attention in both directions, focal"
    paper: ClassVar[str] = "Liu et al., ACM MM 2019"

    focal: Literal["equal", "prob"] = "equal"

    def paper_scorer(self) -> AttentionScorer:
        """BFAN's scorer."""
        from unboxed.attention.cosine_attention import AttentionScorer

        return AttentionScorer.bfan(self.focal)
