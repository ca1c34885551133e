"""SGR and SAF: similarity vectors, reasoned about by a graph or filtered by attention; their mean is SGRAF.

Diao, Zhang, Ma, Lu: Similarity Reasoning and Filtration for Image-Text Matching. AAAI 2021.

Each word and what it attends to, and the whole caption and the whole image, are compared by a vector instead of a
number; a graph (SGR) or a gate (SAF) makes a score of these vectors. Where they differ from the paper by default: as
`scan.py` does from its own; similarity vectors are narrower; batch norm over regions takes any number of them.
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
        similarity_width: of a similarity vector.
        steps: of the graph.
        reasoning_dropout: of the global vectors.
    """

    reasoning: ClassVar[Literal["graph", "filter"]] = "graph"

    similarity_width: int = 64
    steps: int = 3
    reasoning_dropout: float = 0.4

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Similarity vectors and a graph over them."""
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
