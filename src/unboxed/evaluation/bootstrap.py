"""The percentile bootstrap over images and seeds: intervals of metrics, and paired differences between recipes.

Images are resampled, not phrases or queries: the phrases of one image share its regions, so their errors are
correlated, and resampling them one by one would give intervals that are too narrow. A sample has I images, with
replacement, each image with all that belongs to it.

A recipe that was trained with N seeds has N runs, all of them evaluated on the same images. Then a sample also has N
of the runs, with replacement, and its value is the mean over its runs on its images: the interval contains the
variation between seeds. With few seeds this variation is underestimated, by a factor of (N - 1) / N in the variance;
with one seed it is unknown, and the interval is over images alone.

The same seed of the bootstrap samples the same images for all metrics of the same images, and the same runs for all
metrics of equally many runs.

Axis letters: I images, M scored items such as phrases, X values of an item, S samples, T terms of a metric, N runs of a
recipe.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import EvaluationError

__all__ = [
    "Floats",
    "Metric",
    "MetricOfRuns",
    "PairedDifference",
    "PerImageMetric",
    "bootstrap",
    "images_of",
    "mean_metric",
    "paired_difference",
    "percentile_interval",
    "sums_per_image",
]

_CHUNK = 512  # samples of which a statistic is computed at once: bounds the memory, not the result
_KEPT = 1 << 24  # numbers of the samples that are kept for the next metric, of 2 bytes each

Floats = npt.NDArray[np.float64]


def bootstrap(
    statistic: Callable[[npt.NDArray[np.int64]], Floats], images: int, *, seed: int = 0, resamples: int = 1000
) -> Floats:
    """Values `[S, ...]` of a statistic on S random samples of the images, with replacement.

    Args:
        statistic: maps `[s, I]`, how often each sample contains each image, to values `[s, ...]`.
        images: I, the number of images, which is also the size of each sample.
        seed: of the random samples.
        resamples: S, the number of samples.
    """
    if images * resamples > _KEPT or images > np.iinfo(np.uint16).max:
        samples = _samples(images, seed, resamples)
    else:  # the metrics of a page have the same samples, which take longer to make than a metric
        samples = (times_SI.astype(np.int64) for times_SI in _kept_samples(images, seed, resamples))
    return np.concatenate([statistic(times_SI) for times_SI in samples])


def _samples(images: int, seed: int, resamples: int) -> Iterator[npt.NDArray[np.int64]]:
    """The random samples in chunks `[s, I]`: how often each contains each image."""
    generator, probability_I = np.random.default_rng(seed), np.full(images, 1 / images)
    for start in range(0, resamples, _CHUNK):
        yield generator.multinomial(images, probability_I, size=min(_CHUNK, resamples - start))


@lru_cache(maxsize=4)
def _kept_samples(images: int, seed: int, resamples: int) -> tuple[npt.NDArray[np.uint16], ...]:
    return tuple(times_SI.astype(np.uint16) for times_SI in _samples(images, seed, resamples))


def images_of(image_ids: Iterable[str]) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    """The I images of M items in order of appearance, and the index `[M]` of each item's image.

    Args:
        image_ids: the image of each item.
    """
    position: dict[str, int] = {}
    image_of_M = [position.setdefault(image_id, len(position)) for image_id in image_ids]
    return tuple(position), np.array(image_of_M, dtype=np.intp)


def sums_per_image(values_MX: npt.NDArray[Any], image_of_M: npt.NDArray[np.intp]) -> Floats:
    """`[I, X]`: each image's sums of the values of its items `[M, X]`; each image has an item."""
    sums_IX = np.zeros((int(image_of_M.max()) + 1, values_MX.shape[1]))
    np.add.at(sums_IX, image_of_M, values_MX.astype(np.float64))
    return sums_IX


def percentile_interval(values: Floats) -> tuple[Floats, Floats]:
    """Low and high end `[...]` of the 95 % interval of bootstrap values `[S, ...]`."""
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    return low, high


class _Resampled(ABC):
    """What has an interval, because it can be computed on random samples."""

    @abstractmethod
    def resampled(self, *, seed: int = 0, resamples: int = 1000) -> Floats:
        """`[S]`, the metric on each random sample, in percent."""

    def interval(self, *, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
        """Low and high end of the 95 % bootstrap interval, in percent."""
        low, high = percentile_interval(self.resampled(seed=seed, resamples=resamples))
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class PerImageMetric(_Resampled):
    """One metric of one run, kept image by image: it has an interval and can be compared in pairs.

    The metric is `100 * sum over t of (numerator_t / denominator_t)`, where both are sums over the images. A recall
    has one term, rsum has six.

    Attributes:
        image_ids: the I images.
        numerator_IT: `[I, T]`, such as the number of phrases of each image that are grounded correctly.
        denominator_IT: `[I, T]`, such as the number of phrases of each image.

    Raises:
        EvaluationError: shapes that do not agree, or a term whose denominator is 0 over all images.
    """

    image_ids: tuple[str, ...]
    numerator_IT: Floats
    denominator_IT: Floats

    def __post_init__(self) -> None:
        shape = self.numerator_IT.shape
        if shape != self.denominator_IT.shape or len(shape) != 2 or len(self.image_ids) != shape[0]:
            raise EvaluationError(
                f"A metric of {len(self.image_ids)} images has numerators {list(shape)} and denominators "
                f"{list(self.denominator_IT.shape)}; give both one row per image and one column per term."
            )
        if not (self.denominator_IT.sum(axis=0) > 0).all():
            raise EvaluationError(
                "A metric's denominator is 0: nothing was counted; evaluate on a split that has gold."
            )

    @property
    def value(self) -> float:
        """The metric in percent; a sum of T terms lies in [0, 100 T]."""
        return float(100 * (self.numerator_IT.sum(axis=0) / self.denominator_IT.sum(axis=0)).sum())

    def resampled(self, *, seed: int = 0, resamples: int = 1000) -> Floats:
        """`[S]`, the metric on each random sample of the images, in percent."""

        def percent(times_SI: npt.NDArray[np.int64]) -> Floats:
            numerator_ST, denominator_ST = times_SI @ self.numerator_IT, times_SI @ self.denominator_IT
            # A sample may contain no image of a small part of the images, such as a fold; that term is then 0.
            share_ST = numerator_ST / np.where(denominator_ST > 0, denominator_ST, 1)
            return np.asarray(100 * share_ST.sum(axis=1))

        return bootstrap(percent, len(self.image_ids), seed=seed, resamples=resamples)


@dataclass(frozen=True, eq=False)
class MetricOfRuns(_Resampled):
    """One metric of the runs of a recipe, such as its seeds, on the same images: its mean over the runs.

    Attributes:
        runs: the metric of each of the N runs.

    Raises:
        EvaluationError: no runs, or runs on different images.
    """

    runs: tuple[PerImageMetric, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise EvaluationError("There are no runs to take the mean of; give at least one.")
        for other in self.runs[1:]:
            _require_same_images(self.runs[0], other)

    @property
    def value(self) -> float:
        """The mean of the runs, in percent; of a sum of T terms it lies in [0, 100 T]."""
        return float(np.mean([run.value for run in self.runs]))

    def resampled(self, *, seed: int = 0, resamples: int = 1000) -> Floats:
        """`[S]`, the mean over a random sample of the runs, on a random sample of the images, in percent."""
        count = len(self.runs)
        value_SN = np.stack([run.resampled(seed=seed, resamples=resamples) for run in self.runs], axis=1)
        times_SN = np.random.default_rng((seed, count)).multinomial(count, np.full(count, 1 / count), size=resamples)
        return np.asarray((times_SN * value_SN).sum(axis=1) / count)


Metric = PerImageMetric | MetricOfRuns
"""A metric of one run, or its mean over several."""


@dataclass(frozen=True)
class PairedDifference:
    """How much better one run or recipe is than another on the same images.

    Attributes:
        difference: first minus second, in percentage points.
        low, high: the 95 % interval of the difference, in percentage points.
        share_better: in [0, 1], the share of samples in which the first is better; ties count half.
    """

    difference: float
    low: float
    high: float
    share_better: float


def mean_metric(runs: Sequence[PerImageMetric]) -> MetricOfRuns:
    """The mean of several runs, such as seeds, on the same images; its interval is over runs and images.

    Raises:
        EvaluationError: no runs, or runs on different images.
    """
    return MetricOfRuns(tuple(runs))


def paired_difference(first: Metric, second: Metric, *, seed: int = 0, resamples: int = 1000) -> PairedDifference:
    """First minus second, with its 95 % interval; both are evaluated on the same random samples of images.

    What is hard for both cancels out, so differences show that two overlapping intervals hide. Where both have equally
    many runs, run n of the first is paired with run n of the second: both means are over the same sample of runs.

    Raises:
        EvaluationError: the metrics are of different images.
    """
    _require_same_images(_any_run(first), _any_run(second))
    change_S = first.resampled(seed=seed, resamples=resamples) - second.resampled(seed=seed, resamples=resamples)
    low, high = percentile_interval(change_S)
    better = float((change_S > 0).mean() + (change_S == 0).mean() / 2)
    return PairedDifference(first.value - second.value, float(low), float(high), better)


def _any_run(metric: Metric) -> PerImageMetric:
    return metric.runs[0] if isinstance(metric, MetricOfRuns) else metric


def _require_same_images(first: PerImageMetric, second: PerImageMetric) -> None:
    if first.image_ids != second.image_ids or first.numerator_IT.shape != second.numerator_IT.shape:
        raise EvaluationError(
            f"A comparison needs the same images in the same order; the first has {len(first.image_ids)}, the "
            f"second {len(second.image_ids)}. Evaluate both on the same split."
        )
