"""Sets of boxes under the protocol `all`, against counts made by hand and by trying all matchings."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.box_sets import SetMention, matched_boxes, score_sets

A, B, C = ([0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10])
FAR = [80, 80, 90, 90]


def _mention(image_id: str, gold: list[list[int]], answer: list[list[int]]) -> SetMention:
    def boxes(given: list[list[int]]) -> np.ndarray:
        return np.array(given, np.float32).reshape(-1, 4)

    return SetMention(image_id, boxes(gold), boxes(answer), boxes(answer[:1]))


def test_precision_recall_and_f1_are_sums_over_phrases_with_several_gold_boxes() -> None:
    mentions = [
        _mention("1", [A, B], [A, B]),  # 2 matched
        _mention("1", [A, B, C], [B, FAR]),  # 1
        _mention("2", [A, B], []),  # 0, and counted
        _mention("2", [A], [A, FAR]),  # one gold box
        _mention("3", [], [A]),  # not scored
    ]
    scores = score_sets(mentions)
    assert scores is not None and scores.phrases == 3
    assert scores["precision_all"] == pytest.approx(100 * 3 / 4)
    assert scores["recall_all"] == pytest.approx(100 * 3 / 7)
    assert scores["f1_all"] == pytest.approx(100 * 6 / 11)
    assert scores["f1_all_phrases"] == pytest.approx(100 * 8 / (6 + 8))
    assert scores.best["recall_all"].value == pytest.approx(100 * 2 / 7)
    assert scores.best["f1_all"].value == pytest.approx(100 * 4 / 9)
    assert scores.gain.difference == pytest.approx(100 * 6 / 11 - 100 * 4 / 9)
    assert str(scores).startswith("3 phrases with several gold boxes: precision_all 75.0, recall_all 42.9, f1_all 54.5")
    assert scores.to_dict()["best_box"] == {name: round(metric.value, 3) for name, metric in scores.best.items()}


def test_two_boxes_on_one_gold_box_count_once_and_the_order_does_not_matter() -> None:
    for answer in ([A, A, B], [B, A, A]):
        scores = score_sets([_mention("1", [A, B], answer)])
        assert scores is not None
        assert (scores["precision_all"], scores["recall_all"]) == (pytest.approx(200 / 3), 100)


def test_the_matching_is_the_largest() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        overlaps = rng.random((4, 5)) < 0.35
        best = max(sum(overlaps[m, n] for m, n in enumerate(order)) for order in permutations(range(5), 4))
        assert matched_boxes(overlaps) == matched_boxes(overlaps.T) == best


def test_no_answer_at_all_is_zero_and_without_several_gold_boxes_there_are_no_scores() -> None:
    scores = score_sets([_mention("1", [A, B], [])])
    assert scores is not None
    assert {scores[metric] for metric in scores.sets} == {0}
    assert score_sets([_mention("1", [A], [A])]) is None
    assert score_sets([]) is None


def test_the_rule_of_boxes_is_used() -> None:
    half = _mention("1", [[0, 0, 10, 10], B], [[0, 0, 10, 5]])
    reached, exceeded = score_sets([half]), score_sets([half], BoxRule(overlap="above"))
    assert reached is not None and exceeded is not None
    assert (reached["precision_all"], exceeded["precision_all"]) == (100, 0)
