"""Grounding metrics: hand-made cases with known answers, and naive loops beside the fast path."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.boxes import enclosing
from unboxed.errors import EvaluationError
from unboxed.evaluation.grounding import (
    METRICS,
    RANKS,
    GroundedMention,
    GroundingScores,
    mean_scores,
    mention_outcomes,
    score_grounding,
)

LEFT, RIGHT = [0, 0, 10, 10], [30, 0, 40, 10]  # two cups on a table
BOTH = [0, 0, 40, 10]
NOWHERE = [80, 80, 90, 90]


def mention(gold, ranked, proposals=None, *, image="image", types=("other",)) -> GroundedMention:
    return GroundedMention(image, types, gold, ranked, ranked if proposals is None else proposals)


def right(one: GroundedMention) -> set[str]:
    """The names of the metrics in which a mention is right."""
    return {metric for metric, hit in zip(METRICS, mention_outcomes([one])[0], strict=True) if hit}


def recalls(reading: str, from_rank: int = 1) -> set[str]:
    return {f"recall_{reading}@{k}" for k in RANKS if k >= from_rank}


class TestHandMade:
    def test_one_of_two_gold_boxes_is_right_for_any_and_wrong_for_union(self):
        assert right(mention([LEFT, RIGHT], [LEFT])) == recalls("any") | {
            "pointing_any",
            "pointing_union",  # the left cup's centre is inside the box around both
            "upper_bound_any",
        }

    def test_the_box_around_two_gold_boxes_is_right_for_union_and_points_between_them(self):
        assert right(mention([LEFT, RIGHT], [BOTH])) == recalls("union") | {"pointing_union", "upper_bound_union"}

    def test_a_right_box_in_second_place_counts_from_k_5(self):
        assert right(mention([LEFT], [NOWHERE, LEFT])) == recalls("any", 5) | recalls("union", 5) | {
            "upper_bound_any",
            "upper_bound_union",
        }

    def test_a_right_box_in_sixth_place_counts_from_k_10_and_in_eleventh_never(self):
        assert recalls("any") & right(mention([LEFT], [NOWHERE] * 5 + [LEFT])) == {"recall_any@10"}
        assert right(mention([LEFT], [NOWHERE] * 10 + [LEFT])) == {"upper_bound_any", "upper_bound_union"}

    def test_duplicates_take_up_ranks(self):
        assert "recall_any@5" not in right(mention([LEFT], [RIGHT] * 5 + [LEFT]))

    @pytest.mark.parametrize(("width", "is_right"), [(20, True), (20.001, False)])
    def test_an_iou_of_exactly_one_half_is_right(self, width, is_right):
        assert ("recall_any@1" in right(mention([LEFT], [[0, 0, width, 10]]))) is is_right

    def test_inclusive_pixels_1_to_10_and_1_to_20_overlap_by_exactly_one_half(self):
        # With the "+ 1" rule: intersection 10 x 10, union 20 x 10. Read as xmin - 1, xmax, nothing needs adding.
        gold, answer = [[1 - 1, 1 - 1, 10, 10]], [[1 - 1, 1 - 1, 20, 10]]
        assert "recall_any@1" in right(mention(gold, answer))

    def test_a_centre_on_the_edge_is_outside(self):
        assert "pointing_any" not in right(mention([LEFT], [[5, 0, 15, 10]]))
        assert "pointing_any" in right(mention([LEFT], [[4.9, 0, 15, 10]]))

    def test_the_common_edge_of_two_gold_boxes_is_inside_their_union_only(self):
        outcome = right(mention([[0, 0, 10, 10], [10, 0, 20, 10]], [[0, 0, 20, 10]]))
        assert "pointing_union" in outcome
        assert "pointing_any" not in outcome

    def test_only_the_best_box_points(self):
        assert not {"pointing_any", "pointing_union"} & right(mention([LEFT], [NOWHERE, LEFT]))

    def test_a_point_of_its_own_replaces_the_centre_of_the_best_box(self):
        answer = replace(mention([LEFT, RIGHT], [BOTH]), point=(5.0, 5.0))
        assert right(answer) == right(mention([LEFT, RIGHT], [BOTH])) | {"pointing_any"}
        assert not {"pointing_any", "pointing_union"} & right(replace(mention([LEFT], [LEFT]), point=(20.0, 5.0)))
        assert right(replace(mention([LEFT], [], []), point=(5.0, 5.0))) == set()
        with pytest.raises(EvaluationError, match="expected finite x and y"):
            replace(answer, point=(5.0, float("nan")))

    def test_no_answer_is_wrong_even_where_padding_would_point(self):
        assert right(mention([[-5, -5, 5, 5]], [], [])) == set()

    def test_an_unranked_proposal_still_counts_for_the_upper_bound(self):
        assert right(mention([LEFT], [], [LEFT])) == {"upper_bound_any", "upper_bound_union"}

    def test_a_box_without_area_overlaps_nothing_but_points(self):
        assert right(mention([LEFT], [[5, 5, 5, 5]])) == {"pointing_any", "pointing_union"}
        assert right(mention([[5, 5, 5, 5]], [[5, 5, 5, 5]])) == set()


class TestScores:
    def scores(self) -> GroundingScores:
        return score_grounding(
            [
                mention([LEFT, RIGHT], [LEFT], image="a", types=("people",)),
                mention([LEFT], [NOWHERE, LEFT], image="a", types=("people", "clothing")),
                mention([], [LEFT], image="a", types=("scene",)),
                mention([LEFT], [], [], image="b", types=("clothing",)),
                mention([LEFT], [LEFT], image="c", types=()),
            ]
        )

    def test_micro_average_and_counts(self):
        scores = self.scores()
        assert (scores.images, scores.phrases, scores.without_gold, scores.without_answer) == (3, 4, 1, 1)
        assert scores["recall_any@1"] == 50
        assert scores["recall_any@5"] == 75
        assert scores["recall_union@1"] == 25
        assert scores["upper_bound_any"] == 75

    def test_a_mention_with_two_types_counts_in_both(self):
        scores = self.scores()
        assert dict(scores.phrases_by_type) == {"clothing": 2, "people": 2}
        assert scores.by_type["people"]["recall_any@1"] == 50
        assert scores.by_type["clothing"]["recall_any@1"] == 0

    def test_the_dictionary_has_the_keys_of_the_command_line(self):
        found = json.loads(json.dumps(self.scores().to_dict()))
        assert list(found) == [
            "photos",
            "phrases",
            "upper_bound_any",
            "upper_bound_union",
            "recall_any",
            "recall_union",
            "pointing_any",
            "pointing_union",
            "by_type",
            "interval",
        ]
        assert found["recall_any"] == {"1": 50, "5": 75, "10": 75}
        assert found["by_type"]["people"] == {"phrases": 2, "recall_any": 50, "pointing_any": 50}
        assert list(found["interval"]["recall_union"]) == ["1", "5", "10"]
        assert len(found["interval"]["pointing_any"]) == 2

    def test_the_terminal_tables_show_the_numbers(self):
        from rich.console import Console

        console = Console(width=140)
        with console.capture() as capture:
            console.print(self.scores().table())
        assert re.search(r"recall_any@5 +75\.0", capture.get())
        assert "people" in capture.get()
        assert "1 without a gold box" in capture.get()
        assert "1 without an answer" in capture.get()

    def test_nothing_to_score_is_an_error(self):
        with pytest.raises(EvaluationError, match="Of 1 phrase, none has a gold box"):
            score_grounding([mention([], [LEFT])])

    @pytest.mark.parametrize("boxes", [[[0, 0, 1]], [0, 0, 1, 1], [[0, 0, np.nan, 1]]])
    def test_boxes_of_another_shape_are_an_error(self, boxes):
        with pytest.raises(EvaluationError, match=r"ranked_boxes of a phrase in 'image'"):
            mention([LEFT], boxes)


def naive_outcomes(one: GroundedMention) -> list[bool]:
    """The definitions, one loop after another."""
    hits = {}
    for reading in ("any", "union"):
        gold = one.gold_boxes if reading == "any" else enclosing(one.gold_boxes)
        for k in RANKS:
            hits[f"recall_{reading}@{k}"] = any(
                naive_iou(box, target) >= 0.5 for box in one.ranked_boxes[:k] for target in gold
            )
        hits[f"pointing_{reading}"] = any(points_into(box, target) for box in one.ranked_boxes[:1] for target in gold)
        hits[f"upper_bound_{reading}"] = any(
            naive_iou(box, target) >= 0.5 for box in one.proposal_boxes for target in gold
        )
    return [hits[metric] for metric in METRICS]


def naive_iou(box: np.ndarray, other: np.ndarray) -> Fraction:
    """Exact, in whole numbers."""
    x1, y1, x2, y2 = map(int, box)
    other_x1, other_y1, other_x2, other_y2 = map(int, other)
    width, height = min(x2, other_x2) - max(x1, other_x1), min(y2, other_y2) - max(y1, other_y1)
    shared = max(width, 0) * max(height, 0)
    union = (x2 - x1) * (y2 - y1) + (other_x2 - other_x1) * (other_y2 - other_y1) - shared
    return Fraction(shared, union) if union else Fraction(0)


def points_into(box: np.ndarray, gold: np.ndarray) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(gold[0] < x < gold[2] and gold[1] < y < gold[3])


@st.composite
def boxes(draw: st.DrawFn, least: int, most: int) -> np.ndarray:
    """Boxes of few whole pixels: equal, touching and empty ones, and an IoU of exactly one half, are frequent."""
    corner = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 6), st.integers(0, 6))
    found = draw(st.lists(corner, min_size=least, max_size=most))
    return np.array([(x, y, x + width, y + height) for x, y, width, height in found], np.float32).reshape(-1, 4)


@st.composite
def mentions(draw: st.DrawFn) -> GroundedMention:
    proposals = draw(boxes(0, 14))
    order = draw(st.permutations(range(len(proposals))))[: draw(st.integers(0, 14))]
    types = draw(st.lists(st.sampled_from(["people", "clothing", "scene"]), max_size=2, unique=True))
    image = draw(st.sampled_from(["a", "b", "c"]))
    return GroundedMention(image, tuple(types), draw(boxes(1, 4)), proposals[order], proposals)


class TestAgainstLoops:
    @given(st.lists(mentions(), min_size=1, max_size=8))
    def test_every_outcome_and_every_mean(self, given):
        expected = [naive_outcomes(one) for one in given]
        assert mention_outcomes(given).tolist() == expected
        scores = score_grounding(given, resamples=20)
        for x, metric in enumerate(METRICS):
            assert scores[metric] == pytest.approx(100 * sum(row[x] for row in expected) / len(expected))
            for name, percent in scores.by_type.items():
                of_type = [row[x] for one, row in zip(given, expected, strict=True) if name in one.types]
                assert percent[metric] == pytest.approx(100 * sum(of_type) / len(of_type))
                assert scores.phrases_by_type[name] == len(of_type)
        assert scores.without_answer == sum(len(one.ranked_boxes) == 0 for one in given)

    def test_chunks_change_nothing(self):
        given = random_mentions(1, 600, 40)
        assert mention_outcomes(given).tolist() == [naive_outcomes(one) for one in given]

    def test_no_mentions_have_no_outcomes(self):
        assert mention_outcomes([]).shape == (0, len(METRICS))


def random_mentions(seed: int, count: int, images: int) -> list[GroundedMention]:
    generator = np.random.default_rng(seed)

    def random_boxes(count: int) -> np.ndarray:
        low = generator.integers(0, 12, (count, 2))
        return np.concatenate([low, low + generator.integers(0, 9, (count, 2))], axis=1)

    found = []
    for _ in range(count):
        proposals = random_boxes(generator.integers(0, 15))
        ranked = proposals[generator.permutation(len(proposals))[: generator.integers(0, 14)]]
        gold, image = random_boxes(generator.integers(1, 5)), f"image {generator.integers(images)}"
        found.append(GroundedMention(image, ("scene",), gold, ranked, proposals))
    return found


class TestIntervals:
    def test_they_are_those_of_the_metrics_per_image(self):
        scores = score_grounding(random_mentions(2, 60, 9), seed=5, resamples=200)
        for metric, per_image in scores.per_image().items():
            assert per_image.value == pytest.approx(scores[metric])
            assert scores.intervals[metric] == pytest.approx(per_image.interval(seed=5, resamples=200))

    def test_each_image_brings_all_of_its_mentions(self):
        given = random_mentions(3, 60, 9)
        per_image = score_grounding(given).per_image()["recall_any@5"]
        x = METRICS.index("recall_any@5")
        for image, hits, count in zip(
            per_image.image_ids, per_image.numerator_IT[:, 0], per_image.denominator_IT[:, 0], strict=True
        ):
            rows = [naive_outcomes(one)[x] for one in given if one.image_id == image]
            assert (hits, count) == (sum(rows), len(rows))

    def test_the_seed_decides(self):
        given = random_mentions(4, 50, 10)
        assert score_grounding(given, seed=1).intervals == score_grounding(given, seed=1).intervals
        assert score_grounding(given, seed=1).intervals != score_grounding(given, seed=2).intervals

    def test_more_images_give_a_narrower_interval(self):
        def width(count: int) -> float:
            low, high = score_grounding(random_mentions(6, 3 * count, count)).intervals["pointing_any"]
            return high - low

        assert width(400) < width(20) / 2


class TestMeanOfRuns:
    def test_it_is_the_mean_of_their_scores(self):
        given = random_mentions(9, 40, 8)
        unanswered = [
            mention(one.gold_boxes, [], one.proposal_boxes, image=one.image_id, types=one.types) for one in given
        ]
        runs = [score_grounding(given), score_grounding(unanswered)]
        mean = mean_scores(runs)
        assert mean.phrases == runs[0].phrases
        for metric in METRICS:
            assert mean[metric] == pytest.approx((runs[0][metric] + runs[1][metric]) / 2)
            assert mean.by_type["scene"][metric] == pytest.approx(mean[metric])
            assert mean.intervals[metric] == pytest.approx(mean.per_image()[metric].interval())
        assert mean_scores(runs[:1]).intervals == runs[0].intervals

    def test_runs_on_different_mentions_have_no_mean(self):
        first, second = (score_grounding(random_mentions(seed, 20, 4)) for seed in (1, 2))
        with pytest.raises(EvaluationError, match="same phrases in the same order"):
            mean_scores([first, second])
        with pytest.raises(EvaluationError, match="at least one"):
            mean_scores([])
