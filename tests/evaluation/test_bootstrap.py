"""Tallies say of grounding what `mean_of_runs` and `paired_bootstrap` say, to the last digit."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import PerImageMetric, grounding_metrics, mean_metric, paired_difference
from unboxed.evaluation.grounding import (
    GroundedMention,
    GroundingScores,
    mean_of_runs,
    paired_bootstrap,
    score_grounding,
)

GOLD, WRONG = [[0, 0, 10, 10]], [[50, 50, 60, 60]]


def scores(seed: int, skill: float) -> GroundingScores:
    rng = np.random.default_rng(seed)
    images = [f"image {i}" for i in range(12) for _ in range(1 + i % 4)]
    return score_grounding(
        GroundedMention(image, ("other",), GOLD, GOLD if rng.random() < skill else WRONG, GOLD) for image in images
    )


def test_means_intervals_and_differences_are_those_of_the_grounding_scores() -> None:
    good, bad = [scores(seed, 0.8) for seed in (0, 1, 2)], [scores(seed, 0.3) for seed in (3, 4)]
    metric = "recall_any@1"
    first = mean_metric([grounding_metrics(run)[metric] for run in good])
    second = mean_metric([grounding_metrics(run)[metric] for run in bad])
    pooled_first, pooled_second = mean_of_runs(good), mean_of_runs(bad)
    assert first.value == pytest.approx(pooled_first[metric])
    assert first.interval() == pytest.approx(pooled_first.intervals[metric])
    expected = paired_bootstrap(pooled_first, pooled_second)[metric]
    found = paired_difference(first, second)
    assert (found.difference, found.low, found.high) == pytest.approx(
        (expected.difference, expected.low, expected.high)
    )
    assert found.share_better == expected.share_better > 0.9


def test_other_images_and_nothing_counted_are_refused() -> None:
    one = PerImageMetric(("a", "b"), np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(EvaluationError, match="same images"):
        paired_difference(one, PerImageMetric(("a", "c"), np.ones((2, 1)), np.ones((2, 1))))
    with pytest.raises(EvaluationError, match="gold"):
        PerImageMetric(("a", "b"), np.zeros((2, 1)), np.zeros((2, 1)))
    with pytest.raises(EvaluationError, match="at least one"):
        mean_metric([])
