"""Values that region sources and features exchange: boxes with scores, raw detections, and feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unboxed.types import Array

__all__ = ["Detected", "Detections", "FeatureMap", "Proposals"]

Rows = Sequence[Sequence[float]] | Array


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidate boxes of one image.

    Attributes:
        boxes: `[N, 4]` pixels of the image.
        scores: `[N]` in [0, 1]; 1 where the source has no score.
        sources: N names of the sources.
        members: for a box around several detected boxes, its row and these boxes `[M, 4]`.
    """

    boxes: Array
    scores: Array
    sources: tuple[str, ...]
    members: Mapping[int, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    @staticmethod
    def none() -> Proposals:
        """No boxes."""
        return Proposals(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())

    @staticmethod
    def of(boxes: Rows, name: str, scores: Sequence[float] | Array | None = None) -> Proposals:
        """Boxes of one source.

        Args:
            boxes: N rows x1, y1, x2, y2; there may be none.
            name: the source's name.
            scores: N scores; None: 1 each.
        """
        array = np.asarray(boxes, np.float32).reshape(-1, 4)
        known = np.ones(len(array), np.float32) if scores is None else np.asarray(scores, np.float32)
        return Proposals(array, known, (name,) * len(array))

    @staticmethod
    def joined(parts: Sequence[Proposals]) -> Proposals:
        """All boxes of `parts`, in order."""
        parts = [Proposals.none(), *parts]
        starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        return Proposals(
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            sources=tuple(name for part in parts for name in part.sources),
            members={
                start + row: boxes
                for start, part in zip(starts, parts, strict=False)
                for row, boxes in part.members.items()
            },
        )

    def take(self, rows: Sequence[int]) -> Proposals:
        """The boxes of these rows, in their order."""
        return Proposals(
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            sources=tuple(self.sources[row] for row in rows),
            members={new: self.members[row] for new, row in enumerate(rows) if row in self.members},
        )


@dataclass(frozen=True, eq=False)
class Detected(Proposals):
    """The boxes of the detectors after non-maximum suppression, best first.

    Attributes:
        class_scores: `[N, K]` in [0, 1], over the classes of all detectors.
        person_scores: `[N]` in [0, 1], the best score of a class that is a kind of person.
    """

    class_scores: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    person_scores: Array = field(default_factory=lambda: np.zeros(0, np.float32))

    @staticmethod
    def none() -> Detected:
        """No boxes."""
        return Detected(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A network's feature map of one image.

    Attributes:
        name: the name of the network's output.
        values: `[V, h, w]`.
        window: x1, y1, x2, y2 in pixels of the image: what the h x w grid covers. It reaches beyond the image where
            the input of the network was padded.
    """

    name: str
    values: Array
    window: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Detections:
    """All outputs of a detector for one image, before any suppression.

    Attributes:
        boxes: `[N, 4]` pixels of the image.
        class_scores: `[N, K]` in [0, 1].
        maps: feature maps among the outputs, often none.
    """

    boxes: Array
    class_scores: Array
    maps: tuple[FeatureMap, ...] = ()
