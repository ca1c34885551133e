"""Attention precision, recall and F1: hand-made words with known answers, and a naive loop beside the fast path."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unboxed.boxes import enclosing, iou
from unboxed.errors import EvaluationError
from unboxed.evaluation.attention import ATTENTION_METRICS, AttendedWord, attention_per_image, score_attention
from unboxed.evaluation.attention_protocol import AttentionProtocol

DOG, DOGS_HEAD, BALL, SKY = [0, 0, 10, 10], [0, 0, 10, 5], [30, 30, 40, 40], [0, 50, 90, 90]
REGIONS = [DOG, DOGS_HEAD, BALL, SKY]


def word(weights, gold, *, image="image", phrase=0, regions=REGIONS, **options) -> AttendedWord:
    return AttendedWord(image, phrase, weights, regions, gold, **options)


def scores(*words: AttendedWord, **parameters):
    return score_attention(words, AttentionProtocol(**parameters), resamples=20)


class TestHandMade:
    def test_two_of_three_attended_are_relevant_and_all_relevant_are_attended(self):
        # The uniform level is 0.25. The dog's head has IoU of exactly one half with the dog.
        found = scores(word([0.4, 0.3, 0.28, 0.02], [DOG]))
        assert found["precision"] == pytest.approx(100 * 2 / 3)
        assert found["recall"] == pytest.approx(100)
        assert found["f1_of_means"] == found["mean_f1"] == pytest.approx(80)

    def test_the_convention_of_boxes_decides_which_regions_are_relevant(self):
        # The dog's head has IoU of exactly one half with the dog, and of more as first and last pixels.
        attending = word([0.4, 0.3, 0.28, 0.02], [DOG])
        found = scores(attending, overlap="above")
        assert found["precision"] == pytest.approx(100 / 3) and "IoU > 0.5 with any gold box" in str(found)
        found = scores(attending, boxes="inclusive", overlap="above")
        assert found["precision"] == pytest.approx(200 / 3) and "IoU of inclusive boxes > 0.5" in str(found)

    def test_a_weight_at_the_threshold_is_not_attended(self):
        found = scores(word([0.25, 0.25, 0.25, 0.25], [DOG]))
        assert found["precision"] == found["recall"] == found["mean_f1"] == 0
        assert found.attending_to_nothing == 1

    def test_uniform_weights_of_any_number_of_regions_are_not_attended(self):
        for count in range(1, 60):
            weights = np.full(count, np.float32(1) / np.float32(count))
            assert scores(word(weights, [DOG], regions=[DOG] * count)).attending_to_nothing == 1

    def test_the_two_f1_differ_when_words_do(self):
        right, wrong = word([1, 0, 0, 0], [DOG]), word([0, 0, 0, 1], [BALL])
        found = scores(right, wrong)
        assert found["precision"] == pytest.approx(50)
        assert found["recall"] == pytest.approx(25)
        assert found["f1_of_means"] == pytest.approx(100 * 2 * 0.5 * 0.25 / 0.75)
        assert found["mean_f1"] == pytest.approx(100 * (2 / 3) / 2)

    def test_any_gold_box_counts_or_only_the_one_around_all(self):
        both = [DOG, BALL]
        around = enclosing(np.array(both, dtype=np.float32))[0].tolist()
        attending = word([0.5, 0.1, 0.4, 0], both, regions=[DOG, SKY, BALL, around])
        assert scores(attending)["precision"] == pytest.approx(100)
        assert scores(attending, gold="union")["precision"] == 0
        assert scores(attending, gold="union")["recall"] == 0

    def test_words_without_gold_or_without_relevant_region_are_counted_apart(self):
        reachable, unreachable, without = (
            word([1, 0, 0, 0], [DOG]),
            word([1, 0, 0, 0], [[70, 0, 80, 5]]),
            word([1, 0, 0, 0], []),
        )
        found = scores(reachable, unreachable, without)
        assert (found.words, found.unreachable, found.without_gold) == (1, 1, 1)
        assert found["precision"] == pytest.approx(100)
        found = scores(reachable, unreachable, without, unreachable="counted as 0")
        assert (found.words, found.unreachable, found.without_gold) == (2, 1, 1)
        assert found["precision"] == pytest.approx(50)

    def test_only_the_words_asked_for_count(self):
        a, dog = word([0, 0, 1, 0], [DOG], is_last=False, is_noun=False), word([1, 0, 0, 0], [DOG])
        assert scores(a, dog)["precision"] == pytest.approx(50)
        assert scores(a, dog, words="last")["precision"] == pytest.approx(100)
        assert scores(a, dog, words="nouns").words == 1

    def test_averages_over_words_phrases_and_images(self):
        right, wrong = [1, 0, 0, 0], [0, 0, 1, 0]
        words = [
            word(right, [DOG], image="a", phrase=0),
            word(wrong, [DOG], image="a", phrase=0),
            word(right, [DOG], image="a", phrase=1),
            word(wrong, [DOG], image="b", phrase=0),
        ]
        assert scores(*words)["precision"] == pytest.approx(100 * 2 / 4)
        assert scores(*words, average_over="phrases")["precision"] == pytest.approx(100 * (0.5 + 1 + 0) / 3)
        assert scores(*words, average_over="images")["precision"] == pytest.approx(100 * (2 / 3 + 0) / 2)

    def test_an_absolute_threshold_does_not_know_the_number_of_regions(self):
        one = word([0.4, 0.3, 0.28, 0.02], [DOG])
        found = scores(one, attention_threshold=0.35, threshold_unit="absolute")
        assert found["precision"] == pytest.approx(100) and found["recall"] == pytest.approx(50)

    def test_the_curve_runs_from_everything_to_nothing(self):
        found = scores(word([0.4, 0.3, 0.28, 0.02], [DOG]), thresholds=(0, 1, 1.5, 3))
        by_threshold = {point.threshold: (point.precision, point.recall) for point in found.curve}
        expected = {0: (50, 100), 1: (100 * 2 / 3, 100), 1.5: (100, 50), 3: (0, 0)}
        for threshold, pair in expected.items():
            assert by_threshold[threshold] == pytest.approx(pair)
        assert found.best.threshold == 1 and found.best.f1_of_means == pytest.approx(80)


@st.composite
def attended_words(draw: st.DrawFn) -> AttendedWord:
    """A word over 1 to 6 regions of whole pixels; its gold boxes are some of the regions, or others."""
    corner = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6))
    regions = [[x, y, x + w, y + h] for x, y, w, h in draw(st.lists(corner, min_size=1, max_size=6))]
    others = [[x, y, x + w, y + h] for x, y, w, h in draw(st.lists(corner, max_size=2))]
    gold = [box for box in regions if draw(st.booleans())][:2] + others
    shares = draw(st.lists(st.integers(0, 8), min_size=len(regions), max_size=len(regions)))
    weights = np.array(shares) / max(sum(shares), 1)
    return word(weights, gold, image=draw(st.sampled_from("abc")), phrase=draw(st.integers(0, 1)), regions=regions)


def naive_row(one: AttendedWord, threshold: float) -> tuple[float, float, float] | None:
    """Precision, recall and F1 of one word by sets of regions; None for an unreachable word."""
    count = len(one.boxes_R4)
    attended = {r for r in range(count) if float(one.weights_R[r]) > threshold / count * (1 + 1e-6)}
    overlap = iou(one.boxes_R4, one.gold_boxes_N4)
    relevant = {r for r in range(count) if max(overlap[r]) >= 0.5}
    if not relevant:
        return None
    precision = len(attended & relevant) / len(attended) if attended else 0
    recall = len(attended & relevant) / len(relevant)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    return precision, recall, f1


def naive_metrics(rows: list[tuple[float, float, float]]) -> list[float]:
    """Percentages in the order of `ATTENTION_METRICS`."""
    precision, recall, mean_f1 = np.mean(rows, axis=0)
    f1_of_means = 2 * precision * recall / (precision + recall) if precision + recall else 0
    return [100 * precision, 100 * recall, 100 * f1_of_means, 100 * mean_f1]


@settings(max_examples=60)
@given(st.lists(attended_words(), min_size=1, max_size=8), st.sampled_from(["words", "phrases", "images"]))
def test_everything_equals_a_loop_over_words_and_regions(words, over):
    with_gold = [one for one in words if len(one.gold_boxes_N4)]
    rows = [(one, naive_row(one, 1)) for one in with_gold]
    scored = [(one, row) for one, row in rows if row is not None]
    if not scored:
        with pytest.raises(EvaluationError, match="can be scored"):
            scores(*words, average_over=over)
        return
    found = scores(*words, average_over=over, thresholds=(0, 1, 2))
    groups: dict[object, list[tuple[float, float, float]]] = {}
    for number, (one, row) in enumerate(scored):
        key = {"words": number, "phrases": (one.image_id, one.phrase), "images": one.image_id}[over]
        groups.setdefault(key, []).append(row)
    expected = naive_metrics([tuple(np.mean(group, axis=0)) for group in groups.values()])
    assert [found[metric] for metric in ATTENTION_METRICS] == pytest.approx(expected)
    assert found.words == len(scored)
    assert found.images == len({one.image_id for one, _ in scored})
    assert found.unreachable == len(with_gold) - len(scored)
    assert found.without_gold == len(words) - len(with_gold)
    if over == "words":
        for point in found.curve:
            at = [naive_row(one, point.threshold) for one, _ in scored]
            values = [point.precision, point.recall, point.f1_of_means, point.mean_f1]
            assert values == pytest.approx(naive_metrics([row for row in at if row is not None]))


@given(st.lists(attended_words(), min_size=1, max_size=8))
def test_metrics_per_image_add_up_to_the_scores_of_all_words(words):
    per_image = attention_per_image(words)
    if not per_image:
        with pytest.raises(EvaluationError):
            score_attention(words)
        return
    found = score_attention(words)
    for name, metric in (("precision", "precision"), ("recall", "recall"), ("f1", "mean_f1")):
        assert per_image[f"attention_{name}"].value == pytest.approx(found[metric])
        assert per_image[f"attention_{name}"].interval() == pytest.approx(found.intervals[metric])


def test_a_metric_per_image_averages_over_words():
    with pytest.raises(EvaluationError, match="over images"):
        attention_per_image([], AttentionProtocol(average_over="images"))


class TestIntervals:
    def test_one_image_has_an_interval_of_no_width_and_the_same_seed_the_same_one(self):
        words = [word(np.random.default_rng(i).dirichlet(np.ones(4)), [DOG], image=f"image {i}") for i in range(30)]
        single = scores(*(word(one.weights_R, [DOG]) for one in words))
        for metric in ATTENTION_METRICS:
            assert single.intervals[metric] == pytest.approx((single[metric], single[metric]))
        first, again = score_attention(words, seed=1), score_attention(words, seed=1)
        assert first.intervals == again.intervals != score_attention(words, seed=2).intervals
        for metric, (low, high) in first.intervals.items():
            assert low < first[metric] < high

    def test_many_words_of_one_image_do_not_make_it_narrower(self):
        words = [word(np.random.default_rng(i).dirichlet(np.ones(4)), [DOG], image=f"image {i}") for i in range(10)]
        once, often = score_attention(words), score_attention(words * 5)
        for metric in ATTENTION_METRICS:
            assert once.intervals[metric] == pytest.approx(often.intervals[metric])


class TestReporting:
    def test_every_parameter_is_printed_with_the_numbers(self):
        found = scores(word([0.4, 0.3, 0.28, 0.02], [DOG]), attention_threshold=1.5, iou_threshold=0.4)
        for part in ("attention > 1.5 / R", "IoU ≥ 0.4 with any gold box", "all words", "mean over words", "left out"):
            assert part in str(found)
        assert "precision 100.0 %, recall 50.0 %, mean F1 66.7 %" in str(found)
        content = json.loads(json.dumps(found.to_dict()))
        assert content["protocol"]["attention_threshold"] == 1.5 and content["precision"] == 100

    def test_nothing_to_score_says_why(self):
        with pytest.raises(EvaluationError, match="1 have no gold box"):
            scores(word([1, 0, 0, 0], []))

    @pytest.mark.parametrize("weights", [[1, 0, 0], [2, -1, 0, 0], [np.nan, 0, 0, 0]])
    def test_weights_that_are_no_attention_over_the_regions_are_refused(self, weights):
        with pytest.raises(EvaluationError, match="A word of 'image' has weights"):
            word(weights, [DOG])

    def test_unknown_parameters_are_refused(self):
        with pytest.raises(EvaluationError, match=r"gold is one of \('any', 'union'\), not 'all'"):
            AttentionProtocol(gold="all")
        with pytest.raises(EvaluationError, match="thresholds is empty"):
            AttentionProtocol(thresholds=())
