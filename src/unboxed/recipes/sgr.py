"""SGR and SAF: similarity vectors with graph reasoning or attention filtration; the mean of their scores is SGRAF.

Diao, Zhang, Ma, Lu: Similarity Reasoning and Filtration for Image-Text Matching. AAAI 2021.

The similarity of each word with its attended feature, and of the caption with the image, is a vector. A graph
network (SGR) or an attention filter (SAF) turns these vectors into a score. Where this differs from the paper by
default: as listed in `scan.py`; similarity vectors are narrower; batch norm works for any number of regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.recipes.matching import MatchingConfig

if TYPE_CHECKING:
    from unboxed.attention.base import Aligner

__all__ = ["SAF", "SGR"]


@dataclass(frozen=True)
class SGR(MatchingConfig):
    """SGR. The paper: joint width 1024, similarity width 256, 3 steps, dropout 0.4.

    Attributes:
        similarity_width: width of a similarity vector.
        steps: of graph reasoning.
        reasoning_dropout: of the global vectors.
    """

    reasoning: ClassVar[Literal["graph", "filter"]] = "graph"

    similarity_width: int = 64
    steps: int = 3
    reasoning_dropout: float = 0.4

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Similarity vectors with graph reasoning or attention filtration."""
        from unboxed.attention.sgraf import SimilarityReasoning

        return SimilarityReasoning(
            region_width,
            state_width,
            self.joint_width,
            self.reasoning,
            self.similarity_width,
            self.steps,
            self.reasoning_dropout,
        )


@dataclass(frozen=True)
class SAF(SGR):
    """SAF. The paper: joint width 1024, similarity width 256, dropout 0.4; the steps are the graph's and idle here."""

    reasoning: ClassVar[Literal["graph", "filter"]] = "filter"
