"""SGR and SAF: similarity vectors with graph reasoning or attention filtration; the mean of their scores is SGRAF.

Diao, Zhang, Ma, Lu: Similarity Reasoning and Filtration for Image-Text Matching. AAAI 2021.

The similarity of each word with its attended feature, and of the caption with the image, is a vector. A graph
network (SGR) or an attention filter (SAF) turns these vectors into a score.

    similarity(x, y) = W (x - y)² + b, entry by entry squared, scaled to unit length
    nodes            = similarity(image, caption), which are pooled by attention, and for each word
                       similarity(attended feature, word), where words attend as in SCAN
    SGR              3 steps nodes = ReLU(W' softmax(query(nodes) · key(nodes)) nodes + b'); result: the first node
    SAF              result: the mean of the nodes with weights sigmoid(BN(w · node)), scaled to unit length
    score_BC         = sigmoid(w'' · result + b'')

Where this differs from the paper by default: as listed in `scan.py`; similarity vectors are narrower; batch norm works
for any number of regions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unboxed.recipes.matching import MatchingConfig

if TYPE_CHECKING:
    from unboxed.attention.base import Aligner
    from unboxed.attention.sgraf import ReasoningSettings

__all__ = ["SAF", "SGR"]


@dataclass(frozen=True)
class _Reasoning(MatchingConfig):
    """What SGR and SAF have in common.

    Attributes:
        similarity_width: width of a similarity vector (the paper: 256).
        reasoning_dropout: of the global vectors (the paper: 0.4).
        region_channels: the batch norm of regions has a channel for each of this many regions; every image must have
            exactly as many (the original code: 36). 0, as by default: one channel for all regions, of any number.
        lambda_softmax: inverse temperature of the softmax over regions (the paper: 9).
    """

    paper: ClassVar[str] = "Diao et al., AAAI 2021"

    similarity_width: int = 64
    reasoning_dropout: float = 0.4
    region_channels: int | None = None
    lambda_softmax: float = 9.0

    @property
    def region_count(self) -> int:
        """The option `region_channels`."""
        return self.region_channels or 0

    def settings(self) -> ReasoningSettings:
        """The kind of reasoning with its widths."""
        raise NotImplementedError

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Similarity vectors with graph reasoning or attention filtration."""
        from unboxed.attention.sgraf import SimilarityReasoning

        settings = replace(
            self.settings(),
            similarity_width=self.similarity_width,
            dropout=self.reasoning_dropout,
            sharpness=self.lambda_softmax,
            channels=self.region_channels or None,
        )
        return SimilarityReasoning(region_width, self.query_width(state_width), self.joint_width, settings)


@dataclass(frozen=True)
class SGR(_Reasoning):
    """SGR. The paper: joint width 1024, similarity width 256, 3 steps, dropout 0.4.

    Attributes:
        steps: of graph reasoning.
    """

    attention: ClassVar[str] = "cross attention; a graph over similarity vectors"

    steps: int = 3

    def settings(self) -> ReasoningSettings:
        """A graph over the similarity vectors."""
        from unboxed.attention.sgraf import ReasoningSettings

        return ReasoningSettings("graph", steps=self.steps)


@dataclass(frozen=True)
class SAF(_Reasoning):
    """SAF. The paper: joint width 1024, similarity width 256, dropout 0.4.

    Attributes:
        gates_by_caption: the batch norm of the gates computes its statistics in training from one caption with all
            images at a time, as in the original code, and not from all pairs.
    """

    attention: ClassVar[str] = "cross attention; a filter over similarity vectors"

    gates_by_caption: bool = False

    def settings(self) -> ReasoningSettings:
        """A filter of the similarity vectors."""
        from unboxed.attention.sgraf import ReasoningSettings

        return ReasoningSettings("filter", by_caption=self.gates_by_caption)
