"""Scores of heat maps under named protocols; `attention.heatmaps` defines what a map and its hottest point are.

    pointing_heatmap             the hottest pixel's centre lies strictly inside any gold box; share of mentions, in
                                 percent
    pointing_heatmap_per_box     the same for each gold box by itself, averaged within a caption, then over captions
                                 (the protocol of Das et al. 2019, with its axes in order: see below)
    heat_inside                  share of the heat inside the gold boxes together (attention correctness), mean over
                                 mentions, in percent

The code released with Das et al. 2019 compares (row, column) with (x, y), and leaves batch norm in training mode while
it evaluates. Neither is followed here, so its numbers do not compare with these.

Edge cases: a mention without a gold box is not counted; one without a map is wrong and holds no heat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unboxed.boxes import contains
from unboxed.errors import EvaluationError
from unboxed.types import Array

__all__ = ["HeatMention", "HeatScores", "score_heat"]


@dataclass(frozen=True, eq=False)
class HeatMention:
    """A phrase of a caption, its gold boxes, and what its heat map says of it.

    Attributes:
        image_id: the image; intervals resample images.
        caption: the caption's number in the image.
        gold_boxes: `[N, 4]` pixels; N = 0 where annotators drew none.
        point: (x, y) of the hottest pixel; None without a map.
        inside: share in [0, 1] of the heat inside the gold boxes.
    """

    image_id: str
    caption: int
    gold_boxes: Array
    point: tuple[float, float] | None
    inside: float = 0.0


@dataclass(frozen=True)
class HeatScores:
    """Scores of heat maps in percent; see the head of this module.

    Attributes:
        phrases: mentions counted.
        pointing_heatmap, pointing_heatmap_per_box, heat_inside: the three protocols.
        interval: low and high percent of the 95 % bootstrap interval of `pointing_heatmap`, over images.
    """

    phrases: int
    pointing_heatmap: float
    pointing_heatmap_per_box: float
    heat_inside: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"pointing_heatmap {self.pointing_heatmap:.1f} ({low:.1f}–{high:.1f}), pointing_heatmap_per_box "
            f"{self.pointing_heatmap_per_box:.1f}, heat_inside {self.heat_inside:.1f}"
        )

    def to_dict(self) -> dict[str, object]:
        """The plain dictionary that `unboxed evaluate --json` prints under `heatmap`."""
        return {
            "pointing_heatmap": round(self.pointing_heatmap, 3),
            "pointing_heatmap_per_box": round(self.pointing_heatmap_per_box, 3),
            "heat_inside": round(self.heat_inside, 3),
            "interval": {"pointing_heatmap": [round(bound, 3) for bound in self.interval]},
        }


def score_heat(mentions: Iterable[HeatMention], *, seed: int = 0, resamples: int = 1000) -> HeatScores:
    """Scores heat maps under every protocol of this module at once.

    Args:
        mentions: in any order; those without gold box are left out.
        seed: of the bootstrap.
        resamples: how many times the images are drawn anew.

    Raises:
        EvaluationError: not one mention has a gold box.
    """
    given = list(mentions)
    counted = [mention for mention in given if len(mention.gold_boxes)]
    if not counted:
        raise EvaluationError(
            f"None of the {len(given)} phrases has a gold box, so no heat map can be scored; evaluate on a split whose "
            "annotations have boxes."
        )
    hits = [_held_by(mention) for mention in counted]
    right_M = np.array([hit.any() for hit in hits])
    of_caption: dict[tuple[str, int], list[npt.NDArray[np.bool_]]] = {}
    for mention, hit in zip(counted, hits, strict=True):
        of_caption.setdefault((mention.image_id, mention.caption), []).append(hit)
    return HeatScores(
        phrases=len(counted),
        pointing_heatmap=100 * float(right_M.mean()),
        pointing_heatmap_per_box=100 * float(np.mean([np.concatenate(own).mean() for own in of_caption.values()])),
        heat_inside=100 * float(np.mean([mention.inside for mention in counted])),
        interval=_interval(right_M, [mention.image_id for mention in counted], seed, resamples),
    )


def _held_by(mention: HeatMention) -> npt.NDArray[np.bool_]:
    """`[N]`: which of its gold boxes hold the point."""
    if mention.point is None:
        return np.zeros(len(mention.gold_boxes), dtype=bool)
    return contains(mention.gold_boxes, np.array([mention.point], dtype=np.float32))[:, 0]


def _interval(
    right_M: npt.NDArray[np.bool_], image_ids: Sequence[str], seed: int, resamples: int
) -> tuple[float, float]:
    """Percentile bootstrap over images, each drawn with all of its mentions."""
    _, image_of_M = np.unique(image_ids, return_inverse=True)
    rights_I, counts_I = np.bincount(image_of_M, weights=right_M), np.bincount(image_of_M)
    images = len(counts_I)
    drawn_SI = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)
    low, high = np.percentile(100 * (drawn_SI @ rights_I) / (drawn_SI @ counts_I), [2.5, 97.5])
    return float(low), float(high)
