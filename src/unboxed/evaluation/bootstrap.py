"""A metric taken apart by image, so that any metric has an interval and any two runs a paired comparison.

Axis letters: I images, T terms of the metric, S resamples. A metric is `100 * sum over t of hits_t / counts_t`,
where hits and counts are sums over photographs: recall has one term, rsum six. Resampling draws images with
replacement, each with all that belongs to it: phrases of one image err together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unboxed.errors import EvaluationError
from unboxed.evaluation.grounding import METRICS, GroundingScores, PairedDifference

__all__ = ["PerImageMetric", "grounding_metrics", "mean_metric", "paired_difference"]

_CHUNK = 512  # resamples drawn at once: bounds the memory, not the result

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PerImageMetric:
    """One metric of one or several runs, by image.

    Attributes:
        image_ids: the I images.
        hits_IT: `[I, T]` what each image adds to the numerators; of several runs the mean.
        counts_IT: `[I, T]` what it adds to the denominators, such as its number of phrases.

    Raises:
        EvaluationError: shapes that do not agree, or a term that nothing was counted for.
    """

    image_ids: tuple[str, ...]
    hits_IT: Floats
    counts_IT: Floats

    def __post_init__(self) -> None:
        shape = self.hits_IT.shape
        if shape != self.counts_IT.shape or len(shape) != 2 or len(self.image_ids) != shape[0]:
            raise EvaluationError(
                f"A tally of {len(self.image_ids)} images with hits {list(shape)} and counts "
                f"{list(self.counts_IT.shape)}; both have one row an image and one column a term."
            )
        if not (self.counts_IT.sum(axis=0) > 0).all():
            raise EvaluationError("Nothing was counted, so there is no share; evaluate on a split that has gold.")

    @property
    def value(self) -> float:
        """The metric, in per cent; a sum of T terms lies in [0, 100 T]."""
        return float(100 * (self.hits_IT.sum(axis=0) / self.counts_IT.sum(axis=0)).sum())

    def interval(self, *, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
        """Low and high end of the 95 % percentile bootstrap over images."""
        low, high = np.percentile(self._resampled(seed, resamples), [2.5, 97.5])
        return float(low), float(high)

    def _resampled(self, seed: int, resamples: int) -> Floats:
        """`[S]`; the same seed draws the same images whatever the metric."""
        generator, images = np.random.default_rng(seed), len(self.image_ids)
        values = []
        for start in range(0, resamples, _CHUNK):
            size = min(_CHUNK, resamples - start)
            drawn_SI = generator.multinomial(images, np.full(images, 1 / images), size=size)
            hits_ST, counts_ST = drawn_SI @ self.hits_IT, drawn_SI @ self.counts_IT
            # A small part of the images, such as a fold, may not be drawn at all: nothing of it was found.
            values.append(100 * (hits_ST / np.where(counts_ST > 0, counts_ST, 1)).sum(axis=1))
        return np.concatenate(values)


def mean_metric(runs: Sequence[PerImageMetric]) -> PerImageMetric:
    """Several runs (seeds) on the same images as one: their hits averaged.

    How the runs differ among themselves is not in the interval, which is over images.

    Raises:
        EvaluationError: no runs, or runs on other images.
    """
    if not runs:
        raise EvaluationError("There are no runs to take the mean of; give at least one.")
    for other in runs[1:]:
        _require_same(runs[0], other)
    hits_IT = np.mean([run.hits_IT for run in runs], axis=0)
    return PerImageMetric(runs[0].image_ids, hits_IT, np.mean([run.counts_IT for run in runs], axis=0))


def paired_difference(
    first: PerImageMetric, second: PerImageMetric, *, seed: int = 0, resamples: int = 1000
) -> PairedDifference:
    """First minus second in points, with its 95 % interval: the same images are drawn for both.

    Raises:
        EvaluationError: they are of other images.
    """
    _require_same(first, second)
    change_S = first._resampled(seed, resamples) - second._resampled(seed, resamples)
    low, high = np.percentile(change_S, [2.5, 97.5])
    better = float((change_S > 0).mean() + (change_S == 0).mean() / 2)
    return PairedDifference(first.value - second.value, float(low), float(high), better)


def grounding_metrics(scores: GroundingScores) -> dict[str, PerImageMetric]:
    """One tally for each of `METRICS`."""
    shape = (scores.photos, len(METRICS))
    hits_IX, counts_IX = np.zeros(shape), np.zeros(shape)
    np.add.at(hits_IX, scores.image_of_M, scores.outcomes_MX.astype(np.float64))
    np.add.at(counts_IX, scores.image_of_M, 1.0)
    return {
        metric: PerImageMetric(scores.image_ids, hits_IX[:, x : x + 1], counts_IX[:, x : x + 1])
        for x, metric in enumerate(METRICS)
    }


def _require_same(first: PerImageMetric, second: PerImageMetric) -> None:
    if first.image_ids != second.image_ids or first.hits_IT.shape != second.hits_IT.shape:
        raise EvaluationError(
            f"A comparison needs the same images in the same order; the first has {len(first.image_ids)}, the "
            f"second {len(second.image_ids)}. Evaluate both on the same split."
        )
