"""BFAN: bidirectional focal attention.

Liu, Mao, Liu, Zhang, Wang, Zhang: Focus Your Attention: A Bidirectional Focal Attention Network for Image-Text
Matching. ACM Multimedia 2019.

SCAN in both directions at once, with weak contexts cut off and their weight given to the others. Where it differs from
the paper by default: as `scan.py` does from its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unboxed.recipes.matching import MatchingConfig

if TYPE_CHECKING:
    from unboxed.attention.base import Aligner

__all__ = ["BFAN"]


@dataclass(frozen=True)
class BFAN(MatchingConfig):
    """BFAN. The paper: joint width 1024, lambda 20.

    Attributes:
        focal: contexts stay that have more than their equal share of the attention (`equal`), or more than its mean
            weighed by its root (`prob`).
    """

    focal: Literal["equal", "prob"] = "equal"

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Focal cross attention."""
        from unboxed.attention.cosine_attention import AttentionScorer
        from unboxed.attention.scan import CrossAttention

        return CrossAttention(region_width, state_width, self.joint_width, AttentionScorer.bfan(self.focal))
