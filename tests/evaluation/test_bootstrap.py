"""The bootstrap beside a naive loop that draws images one by one, and properties of intervals and differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import (
    PerImageMetric,
    bootstrap,
    images_of,
    mean_metric,
    paired_difference,
    percentile_interval,
    sums_per_image,
)


@st.composite
def metrics(draw: st.DrawFn, images: int | None = None, terms: int | None = None) -> PerImageMetric:
    """Images with counts of 0 to 4, and no more hits than counts; something is counted in every term."""
    count = images or draw(st.integers(1, 9))
    columns = terms or draw(st.integers(1, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    denominator_IT = generator.integers(0, 5, (count, columns)).astype(float)
    denominator_IT[0] += 1
    numerator_IT = np.floor(generator.random((count, columns)) * (denominator_IT + 1))
    return PerImageMetric(tuple(f"image {i}" for i in range(count)), numerator_IT, denominator_IT)


def naive_values(metric: PerImageMetric, seed: int, resamples: int) -> list[float]:
    """The metric on each sample, with every sampled image added by itself."""
    generator, images = np.random.default_rng(seed), len(metric.image_ids)
    values = []
    for _ in range(resamples):
        times = generator.multinomial(images, [1 / images] * images)
        sample = [image for image in range(images) for _ in range(times[image])]
        total = 0.0
        for term in range(metric.numerator_IT.shape[1]):
            numerator = sum(metric.numerator_IT[image, term] for image in sample)
            denominator = sum(metric.denominator_IT[image, term] for image in sample)
            total += 100 * numerator / denominator if denominator else 0
        values.append(total)
    return values


def naive_percentile(values: list[float], percent: float) -> float:
    """Linear between the two nearest of the sorted values."""
    ordered, place = sorted(values), percent / 100 * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@settings(max_examples=25)
@given(metrics(), st.integers(0, 100))
def test_values_and_interval_equal_a_loop_over_sampled_images(metric: PerImageMetric, seed: int) -> None:
    expected = naive_values(metric, seed, 60)
    np.testing.assert_allclose(metric.resampled(seed=seed, resamples=60), expected)
    low, high = metric.interval(seed=seed, resamples=60)
    assert (low, high) == pytest.approx((naive_percentile(expected, 2.5), naive_percentile(expected, 97.5)))


def test_more_samples_than_one_chunk_continue_the_random_numbers() -> None:
    metric = PerImageMetric(("a", "b", "c"), np.array([[0.0], [1], [3]]), np.array([[2.0], [1], [4]]))
    np.testing.assert_allclose(metric.resampled(resamples=1100), naive_values(metric, 0, 1100))


def test_a_statistic_may_be_any_function_of_how_often_each_image_is_drawn() -> None:
    seen = bootstrap(lambda times_SI: times_SI.astype(float), 5, resamples=700)
    assert seen.shape == (700, 5)
    assert (seen.sum(axis=1) == 5).all()
    low, high = percentile_interval(seen)
    assert low.tolist() == [0] * 5
    assert (high >= 2).all()


@given(metrics(), st.integers(0, 100))
def test_an_interval_lies_in_the_range_of_the_metric(metric: PerImageMetric, seed: int) -> None:
    low, high = metric.interval(seed=seed, resamples=100)
    assert 0 <= low <= high <= 100 * metric.numerator_IT.shape[1] + 1e-9


@given(metrics(images=1))
def test_one_image_has_an_interval_without_width(metric: PerImageMetric) -> None:
    assert metric.interval(resamples=50) == pytest.approx((metric.value, metric.value))


def naive_values_of_runs(runs: list[PerImageMetric], seed: int, resamples: int) -> list[float]:
    """The mean of a sample of the runs, on a sample of the images that all these runs share."""
    values = [naive_values(run, seed, resamples) for run in runs]
    generator, count, means = np.random.default_rng((seed, len(runs))), len(runs), []
    for sample in range(resamples):
        times = generator.multinomial(count, [1 / count] * count)
        drawn = [values[run][sample] for run in range(count) for _ in range(times[run])]
        means.append(sum(drawn) / count)
    return means


@settings(max_examples=25)
@given(st.data(), st.integers(1, 5), st.integers(1, 9), st.integers(1, 3), st.integers(0, 100))
def test_runs_and_images_are_both_drawn(data: st.DataObject, count: int, images: int, terms: int, seed: int) -> None:
    runs = [data.draw(metrics(images, terms)) for _ in range(count)]
    mean, expected = mean_metric(runs), naive_values_of_runs(runs, seed, 40)
    assert mean.value == pytest.approx(sum(run.value for run in runs) / count)
    np.testing.assert_allclose(mean.resampled(seed=seed, resamples=40), expected)
    low, high = mean.interval(seed=seed, resamples=40)
    assert (low, high) == pytest.approx((naive_percentile(expected, 2.5), naive_percentile(expected, 97.5)))


@given(metrics())
def test_one_run_has_the_interval_over_images(metric: PerImageMetric) -> None:
    assert mean_metric([metric]).interval(resamples=30) == pytest.approx(metric.interval(resamples=30))


def test_the_interval_of_two_runs_by_hand() -> None:
    """All images of the first run are right and none of the second: 100, 50 or 0 percent, as runs are drawn."""
    ids, ones = ("a", "b", "c"), np.ones((3, 1))
    mean = mean_metric([PerImageMetric(ids, ones, ones), PerImageMetric(ids, 0 * ones, ones)])
    assert mean.value == 50
    assert mean.interval() == (0, 100)
    values, counts = np.unique(mean.resampled(resamples=4000), return_counts=True)
    assert values.tolist() == [0, 50, 100]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_runs_are_paired() -> None:
    """Seeds differ by 40 points, the second recipe is 10 points below the first in each: the difference is certain."""
    ids, tens = ("a", "b"), np.full((2, 1), 10.0)
    first = mean_metric([PerImageMetric(ids, tens * share, tens) for share in (0.4, 0.8)])
    second = mean_metric([PerImageMetric(ids, tens * share, tens) for share in (0.3, 0.7)])
    assert first.interval() == pytest.approx((40, 80))
    found = paired_difference(first, second)
    assert (found.difference, found.low, found.high, found.share_better) == pytest.approx((10, 10, 10, 1))
    swapped = paired_difference(first, mean_metric(second.runs[::-1]))
    assert (swapped.low, swapped.high) == pytest.approx((-30, 50))
    one = paired_difference(first, second.runs[0])  # such as an untrained baseline, which has no seeds
    assert (one.low, one.high) == pytest.approx((10, 50))


@settings(max_examples=25)
@given(st.data(), st.integers(1, 9), st.integers(1, 3), st.integers(0, 100))
def test_a_difference_is_taken_on_the_same_samples(data: st.DataObject, images: int, terms: int, seed: int) -> None:
    first, second = data.draw(metrics(images, terms)), data.draw(metrics(images, terms))
    pairs = zip(naive_values(first, seed, 40), naive_values(second, seed, 40), strict=True)
    changes = [one - other for one, other in pairs]
    found = paired_difference(first, second, seed=seed, resamples=40)
    assert found.difference == pytest.approx(first.value - second.value)
    assert (found.low, found.high) == pytest.approx(
        (naive_percentile(changes, 2.5), naive_percentile(changes, 97.5)), abs=1e-9
    )
    sure = [change for change in changes if abs(change) > 1e-9]
    assert sum(change > 0 for change in sure) / 40 <= found.share_better + 1e-9
    assert found.share_better <= 1 - sum(change < 0 for change in sure) / 40 + 1e-9


@given(metrics())
def test_a_metric_does_not_differ_from_itself(metric: PerImageMetric) -> None:
    found = paired_difference(metric, metric, resamples=30)
    assert (found.difference, found.low, found.high, found.share_better) == (0, 0, 0, 0.5)


def test_a_paired_difference_shows_what_two_intervals_hide() -> None:
    """The first is correct on 10 phrases more, and wrong on none more: their intervals overlap, yet it is better."""
    ids, ones = tuple(map(str, range(100))), np.full((100, 1), 3.0)
    right = np.random.default_rng(8).integers(0, 3, (100, 1)).astype(float)
    better = right.copy()
    better[::10] += 1
    first, second = PerImageMetric(ids, better, ones), PerImageMetric(ids, right, ones)
    assert first.interval()[0] < second.interval()[1]
    found = paired_difference(first, second)
    assert 0 < found.low < found.difference < found.high
    assert found.share_better > 0.99


def test_other_images_and_nothing_counted_are_refused() -> None:
    one = PerImageMetric(("a", "b"), np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(EvaluationError, match="same images"):
        paired_difference(one, PerImageMetric(("a", "c"), np.ones((2, 1)), np.ones((2, 1))))
    with pytest.raises(EvaluationError, match="same images"):
        mean_metric([one, PerImageMetric(("a",), np.ones((1, 1)), np.ones((1, 1)))])
    with pytest.raises(EvaluationError, match="gold"):
        PerImageMetric(("a", "b"), np.zeros((2, 1)), np.zeros((2, 1)))
    with pytest.raises(EvaluationError, match="one row per image"):
        PerImageMetric(("a", "b"), np.ones((2, 1)), np.ones((3, 1)))
    with pytest.raises(EvaluationError, match="at least one"):
        mean_metric([])


def test_samples_that_are_kept_are_those_that_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(times_SI: np.ndarray) -> np.ndarray:
        times_SI += 1  # a statistic that writes into its samples does not change those of the next one
        return times_SI - 1.0

    kept = [bootstrap(counts, 5, seed=3, resamples=600) for _ in range(2)]
    monkeypatch.setattr("unboxed.evaluation.bootstrap._KEPT", 0)
    new = bootstrap(counts, 5, seed=3, resamples=600)
    assert np.array_equal(kept[0], new) and np.array_equal(kept[1], new)
    assert (new.sum(axis=1) == 5).all()


def test_values_of_items_are_summed_by_their_images_in_order_of_appearance() -> None:
    image_ids, image_of_M = images_of(["b", "a", "b"])
    assert (image_ids, image_of_M.tolist()) == (("b", "a"), [0, 1, 0])
    values_MX = np.array([[True, False], [True, True], [True, False]])
    assert sums_per_image(values_MX, image_of_M).tolist() == [[2, 0], [1, 1]]
