"""Attention precision and recall: hand-made words with known answers, and loops beside the fast path."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.boxes import enclosing, iou
from unboxed.errors import EvaluationError
from unboxed.evaluation.attention import (
    ATTENTION_METRICS,
    AttendedWord,
    AttentionProtocol,
    score_attention,
)

DOG, DOGS_HEAD, BALL, SKY = [0, 0, 10, 10], [0, 0, 10, 5], [30, 30, 40, 40], [0, 50, 90, 90]
REGIONS = [DOG, DOGS_HEAD, BALL, SKY]


def word(weights, gold, *, image="photo", phrase=0, regions=REGIONS, **options) -> AttendedWord:
    return AttendedWord(image, phrase, weights, regions, gold, **options)


def scores(*words: AttendedWord, **choices):
    return score_attention(words, AttentionProtocol(**choices), resamples=20)


class TestHandMade:
    def test_two_of_three_attended_are_relevant_and_all_relevant_are_attended(self):
        # The uniform level is 0.25. The dog's head has IoU of exactly one half with the dog.
        found = scores(word([0.4, 0.3, 0.28, 0.02], [DOG]))
        assert found["precision"] == pytest.approx(100 * 2 / 3)
        assert found["recall"] == pytest.approx(100)
        assert found["f1_of_means"] == found["mean_f1"] == pytest.approx(80)

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
        assert scores(*words, average_over="photos")["precision"] == pytest.approx(100 * (2 / 3 + 0) / 2)

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


@given(st.integers(0, 10_000))
def test_everything_equals_a_loop_over_words_and_regions(seed):
    rng = np.random.default_rng(seed)
    words = []
    for m in range(8):
        corners = np.sort(rng.integers(0, 12, size=(6, 2, 2)), axis=1).reshape(6, 4)
        gold = 1 + m % 2
        weights = rng.dirichlet(np.full(6 - gold, 0.5))
        words.append(word(weights, corners[:gold], image=f"image {m % 3}", regions=corners[gold:], phrase=m))
    rows = []
    for one in words:
        count = len(one.boxes_R4)
        attended = {r for r in range(count) if one.weights_R[r] > 1 / count}
        overlap = iou(one.boxes_R4, one.gold_boxes_N4)
        relevant = {r for r in range(count) if max(overlap[r]) >= 0.5}
        if relevant:
            p = len(attended & relevant) / len(attended) if attended else 0
            r = len(attended & relevant) / len(relevant)
            rows.append((p, r, 2 * p * r / (p + r) if p + r else 0))
    if not rows:
        return
    found = scores(*words)
    p, r, f = np.mean(rows, axis=0)
    expected = [p, r, 2 * p * r / (p + r) if p + r else 0, f]
    assert [found[metric] / 100 for metric in ATTENTION_METRICS] == pytest.approx(expected)
    assert found.words == len(rows) and found.unreachable == len(words) - len(rows)


class TestIntervals:
    def test_one_image_has_an_interval_of_no_width_and_the_same_seed_the_same_one(self):
        words = [word(np.random.default_rng(i).dirichlet(np.ones(4)), [DOG], image=f"image {i}") for i in range(30)]
        alone = scores(*(word(one.weights_R, [DOG]) for one in words))
        for metric in ATTENTION_METRICS:
            assert alone.intervals[metric] == pytest.approx((alone[metric], alone[metric]))
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
    def test_every_choice_is_printed_with_the_numbers(self):
        found = scores(word([0.4, 0.3, 0.28, 0.02], [DOG]), attention_threshold=1.5, iou_threshold=0.4)
        text = found.to_markdown()
        for part in ("attention > 1.5 / R", "IoU ≥ 0.4 with any gold box", "all words", "mean over words", "left out"):
            assert part in text
        assert all(f"`{metric}`" in text for metric in ATTENTION_METRICS)
        content = json.loads(json.dumps(found.to_dict()))
        assert content["protocol"]["attention_threshold"] == 1.5 and content["precision"] == 100

    def test_nothing_to_score_says_why(self):
        with pytest.raises(EvaluationError, match="1 have no gold box"):
            scores(word([1, 0, 0, 0], []))

    @pytest.mark.parametrize("weights", [[1, 0, 0], [2, -1, 0, 0], [np.nan, 0, 0, 0]])
    def test_weights_that_are_no_attention_over_the_regions_are_refused(self, weights):
        with pytest.raises(EvaluationError, match="A word of 'photo' has weights"):
            word(weights, [DOG])

    def test_unknown_choices_are_refused(self):
        with pytest.raises(EvaluationError, match=r"gold is one of \('any', 'union'\), not 'all'"):
            AttentionProtocol(gold="all")
        with pytest.raises(EvaluationError, match="thresholds is empty"):
            AttentionProtocol(thresholds=())
