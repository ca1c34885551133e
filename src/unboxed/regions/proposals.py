"""What the sources hand on: boxes with scores, raw detections, and feature maps that know where they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unboxed.types import Array

__all__ = ["Detections", "FeatureMap", "Proposals"]


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidate boxes of one image.

    Attributes:
        boxes: `[N, 4]` pixels of the image.
        scores: `[N]` in [0, 1]; 1 where the source has no score.
        sources: N names of what proposed each box.
    """

    boxes: Array
    scores: Array
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sources)

    @staticmethod
    def none() -> Proposals:
        """No box at all."""
        return Proposals(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())

    @staticmethod
    def joined(parts: list[Proposals]) -> Proposals:
        """All the boxes of `parts`, in order."""
        parts = [Proposals.none(), *parts]
        return Proposals(
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            sources=tuple(name for part in parts for name in part.sources),
        )

    def take(self, index: list[int]) -> Proposals:
        """The boxes at `index`, in that order."""
        return Proposals(self.boxes[index], self.scores[index], tuple(self.sources[i] for i in index))


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A network's feature map of one image.

    Attributes:
        name: the name of the network's output.
        values: `[V, h, w]`.
        window: the part x1, y1, x2, y2 of the plane that the h x w cells cover, in pixels of the image. It
            reaches beyond the image where the network's input was padded.
    """

    name: str
    values: Array
    window: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Detections:
    """Everything a detector says of one image, before any suppression.

    Attributes:
        boxes: `[N, 4]` pixels of the image.
        class_scores: `[N, K]` in [0, 1].
        maps: the feature maps that the detector also puts out, often none.
    """

    boxes: Array
    class_scores: Array
    maps: tuple[FeatureMap, ...] = ()
