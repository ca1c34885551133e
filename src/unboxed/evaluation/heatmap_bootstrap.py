"""Pointing by heat maps, by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.evaluate import GroundedExample, score_heat_maps

__all__ = ["heatmap_metrics"]


def heatmap_metrics(grounded: Sequence[GroundedExample]) -> dict[str, PerImageMetric]:
    """`pointing_heatmap` and `heat_inside` by image; nothing where no phrase has a heat map."""
    rows: dict[str, tuple[float, float, int]] = {}
    for item in grounded:
        phrases = sum(len(phrase.boxes) > 0 for caption in item.example.captions for phrase in caption.phrases)
        scores = score_heat_maps([item]) if phrases else None
        found = (scores.pointing_heatmap, scores.heat_inside) if scores is not None else (0.0, 0.0)
        if phrases:
            rows[item.example.image_id] = (*found, phrases)
    if not any(grounding.heat_PYX is not None for item in grounded for grounding in item.groundings) or not rows:
        return {}
    values_I3 = np.array(list(rows.values()), dtype=np.float64)
    counts_I1 = values_I3[:, 2:]
    return {
        name: PerImageMetric(tuple(rows), values_I3[:, x : x + 1] / 100 * counts_I1, counts_I1)
        for x, name in enumerate(("pointing_heatmap", "heat_inside"))
    }
