"""Metrics of heat maps, image by image."""

from __future__ import annotations

from collections.abc import Sequence

from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.evaluate import GroundedExample, _heat_mentions
from unboxed.evaluation.heatmap import heat_per_image

__all__ = ["heatmap_metrics"]


def heatmap_metrics(grounded: Sequence[GroundedExample]) -> dict[str, PerImageMetric]:
    """`heat_per_image` of all phrases of the groundings; empty where no phrase has a heat map."""
    if not any(grounding.heat_PYX is not None for item in grounded for grounding in item.groundings):
        return {}
    return heat_per_image(mention for item in grounded for mention in _heat_mentions(item))
