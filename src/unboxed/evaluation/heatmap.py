"""Metrics of heat maps under named protocols; `attention.heatmaps` defines a heat map and its hottest point.

    pointing_heatmap             percentage of mentions whose hottest pixel has its centre strictly inside any gold box
    pointing_heatmap_per_box     the same for each gold box separately, averaged within a caption, then over captions
                                 (the protocol of Das et al. 2019 with its axes corrected: see below)
    heat_inside                  percentage of the heat that is inside the gold boxes (attention correctness), mean over
                                 mentions

The code released with Das et al. 2019 compares (row, column) with (x, y), and leaves batch norm in training mode during
evaluation. This module does neither, so its numbers do not compare with theirs.

Edge cases: a mention without a gold box is not scored; one without a heat map is wrong and has no heat inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unboxed.evaluation.bootstrap import PerImageMetric, images_of, sums_per_image
from unboxed.evaluation.box_rules import CONTINUOUS_RULE, BoxRule, with_gold
from unboxed.types import Array

__all__ = ["HeatMention", "HeatScores", "heat_per_image", "score_heat"]


@dataclass(frozen=True, eq=False)
class HeatMention:
    """A phrase of a caption, its gold boxes, and two values of its heat map.

    Attributes:
        image_id: the image; the bootstrap resamples images.
        caption: index of the caption in the image.
        gold_boxes: `[N, 4]` in pixels; N = 0 where annotators drew none.
        point: (x, y) of the hottest pixel's centre; None without a heat map.
        inside: share in [0, 1] of the heat that is inside the gold boxes.
    """

    image_id: str
    caption: int
    gold_boxes: Array
    point: tuple[float, float] | None
    inside: float = 0.0


@dataclass(frozen=True)
class HeatScores:
    """Metrics of heat maps in percent, as defined at the top of this module.

    Attributes:
        phrases: number of scored mentions.
        pointing_heatmap, pointing_heatmap_per_box, heat_inside: the metrics.
        interval: low and high percentage of the 95 % bootstrap interval of `pointing_heatmap`, over images.
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
        """The dictionary that `unboxed evaluate --json` prints under `heatmap`."""
        return {
            "pointing_heatmap": round(self.pointing_heatmap, 3),
            "pointing_heatmap_per_box": round(self.pointing_heatmap_per_box, 3),
            "heat_inside": round(self.heat_inside, 3),
            "interval": {"pointing_heatmap": [round(bound, 3) for bound in self.interval]},
        }


def score_heat(
    mentions: Iterable[HeatMention], *, seed: int = 0, resamples: int = 1000, rule: BoxRule = CONTINUOUS_RULE
) -> HeatScores:
    """Scores heat maps under all protocols of this module.

    Args:
        mentions: in any order; those without a gold box are not scored.
        seed: of the bootstrap; the same seed gives the same interval.
        resamples: number of random samples of the bootstrap.
        rule: the convention of boxes.

    Raises:
        EvaluationError: no mention has a gold box.
    """
    scored, _ = with_gold(mentions)
    hits = [_hits(mention, rule) for mention in scored]
    of_caption: dict[tuple[str, int], list[npt.NDArray[np.bool_]]] = {}
    for mention, hit_N in zip(scored, hits, strict=True):
        of_caption.setdefault((mention.image_id, mention.caption), []).append(hit_N)
    in_order_of_name = sorted(scored, key=lambda mention: mention.image_id)  # the samples are of the sorted images
    return HeatScores(
        phrases=len(scored),
        pointing_heatmap=100 * float(np.mean([hit_N.any() for hit_N in hits])),
        pointing_heatmap_per_box=100 * float(np.mean([np.concatenate(each).mean() for each in of_caption.values()])),
        heat_inside=100 * float(np.mean([mention.inside for mention in scored])),
        interval=heat_per_image(in_order_of_name, rule)["pointing_heatmap"].interval(seed=seed, resamples=resamples),
    )


def heat_per_image(mentions: Iterable[HeatMention], rule: BoxRule = CONTINUOUS_RULE) -> dict[str, PerImageMetric]:
    """`pointing_heatmap` and `heat_inside`, image by image; empty where no mention has a gold box."""
    scored = [mention for mention in mentions if len(mention.gold_boxes)]
    if not scored:
        return {}
    image_ids, image_of_M = images_of(mention.image_id for mention in scored)
    values_M3 = np.array([(_hits(mention, rule).any(), mention.inside, 1) for mention in scored], dtype=np.float64)
    sums_I3 = sums_per_image(values_M3, image_of_M)
    return {
        name: PerImageMetric(image_ids, sums_I3[:, x : x + 1], sums_I3[:, 2:])
        for x, name in enumerate(("pointing_heatmap", "heat_inside"))
    }


def _hits(mention: HeatMention, rule: BoxRule) -> npt.NDArray[np.bool_]:
    """`[N]`: which of the mention's gold boxes contain its point?"""
    if mention.point is None:
        return np.zeros(len(mention.gold_boxes), dtype=bool)
    return rule.inside(mention.gold_boxes, np.array([mention.point], dtype=np.float32))[:, 0]
