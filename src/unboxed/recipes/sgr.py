"""SGR and SAF: similarity vectors with graph reasoning or attention filtration; the mean of their scores is SGRAF.

Diao, Zhang, Ma, Lu: Similarity Reasoning and Filtration for Image-Text Matching. AAAI 2021.

The similarity of each word with its attended feature, and of the caption with the image, is a vector. A graph
network (SGR) or an attention filter (SAF) turns these vectors into a score. Where this differs from the paper by
default: as listed in `scan.py`; similarity vectors are narrower; batch norm works for any number of regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unboxed.recipes.matching import MatchingConfig

if TYPE_CHECKING:
    from unboxed.attention.base import Aligner

__all__ = ["SAF", "SGR"]


@dataclass(frozen=True)
class _Reasoning(MatchingConfig):
    """What SGR and SAF have in common.

    Attributes:
        similarity_width: width of a similarity vector.
        reasoning_dropout: of the global vectors.
    """

    paper: ClassVar[str] = "Diao et al., AAAI 2021"

    similarity_width: int = 64
    reasoning_dropout: float = 0.4


@dataclass(frozen=True)
class SGR(_Reasoning):
    """SGR. The paper: joint width 1024, similarity width 256, 3 steps, dropout 0.4.

    Attributes:
        steps: of graph reasoning.
    """

    attention: ClassVar[str] = "cross attention; a graph over similarity vectors"

    steps: int = 3

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Similarity vectors with graph reasoning."""
        from unboxed.attention.sgraf import SimilarityReasoning

        return SimilarityReasoning(
            region_width,
            state_width,
            self.joint_width,
            "graph",
            self.similarity_width,
            steps=self.steps,
            dropout=self.reasoning_dropout,
        )


@dataclass(frozen=True)
class SAF(_Reasoning):
    """SAF. The paper: joint width 1024, similarity width 256, dropout 0.4."""

    attention: ClassVar[str] = "cross attention; a filter over similarity vectors"

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Similarity vectors with attention filtration."""
        from unboxed.attention.sgraf import SimilarityReasoning

        return SimilarityReasoning(
            region_width,
            state_width,
            self.joint_width,
            "filter",
            self.similarity_width,
            dropout=self.reasoning_dropout,
        )
