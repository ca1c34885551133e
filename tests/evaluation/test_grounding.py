"""The metrics: hand-made cases with known answers, plain loops beside the fast path, properties of the bootstrap."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unboxed.boxes import centre, contains, enclosing, iou
from unboxed.errors import EvaluationError
from unboxed.evaluation.grounding import (
    METRICS,
    RANKS,
    GroundedMention,
    GroundingScores,
    mean_of_runs,
    mention_outcomes,
    paired_bootstrap,
    score_grounding,
)

LEFT, RIGHT = [0, 0, 10, 10], [30, 0, 40, 10]  # two cups on a table
BOTH = [0, 0, 40, 10]
NOWHERE = [80, 80, 90, 90]


def mention(gold, ranked, proposals=None, *, image="photo", types=("other",)) -> GroundedMention:
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
        assert (scores.photos, scores.phrases, scores.without_gold, scores.without_answer) == (3, 4, 1, 1)
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

    def test_markdown_and_terminal_tables_show_the_numbers(self):
        from rich.console import Console

        assert "| `recall_any@5` | 75.0 |" in self.scores().to_markdown()
        console = Console(width=140)
        with console.capture() as capture:
            console.print(self.scores().table())
        assert "people" in capture.get()
        assert "1 without a gold box" in capture.get()
        assert "1 without an answer" in capture.get()

    def test_nothing_to_score_is_an_error(self):
        with pytest.raises(EvaluationError, match="None of the 1 phrases has a gold box"):
            score_grounding([mention([], [LEFT])])

    @pytest.mark.parametrize("boxes", [[[0, 0, 1]], [0, 0, 1, 1], [[0, 0, np.nan, 1]]])
    def test_boxes_of_another_shape_are_an_error(self, boxes):
        with pytest.raises(EvaluationError, match=r"ranked_boxes of a phrase in 'photo'"):
            mention([LEFT], boxes)


def naive_outcomes(one: GroundedMention) -> list[bool]:
    """The definitions, one loop after another."""
    hits = {}
    for reading in ("any", "union"):
        gold = one.gold_boxes if reading == "any" else enclosing(one.gold_boxes)
        for k in RANKS:
            hits[f"recall_{reading}@{k}"] = any(
                iou(box[None], target[None])[0, 0] >= 0.5 for box in one.ranked_boxes[:k] for target in gold
            )
        hits[f"pointing_{reading}"] = len(one.ranked_boxes) > 0 and any(
            bool(contains(target[None], centre(one.ranked_boxes[:1]))) for target in gold
        )
        hits[f"upper_bound_{reading}"] = any(
            iou(box[None], target[None])[0, 0] >= 0.5 for box in one.proposal_boxes for target in gold
        )
    return [hits[metric] for metric in METRICS]


def random_mention(generator: np.random.Generator, image: str) -> GroundedMention:
    def boxes(count: int) -> np.ndarray:
        low = generator.integers(0, 12, (count, 2))
        return np.concatenate([low, low + generator.integers(0, 9, (count, 2))], axis=1)  # some without area

    proposals = boxes(generator.integers(0, 15))
    types = generator.choice(["people", "clothing", "scene"], generator.integers(0, 3), replace=False)
    ranked = proposals[generator.permutation(len(proposals))[: generator.integers(0, 14)]]
    return GroundedMention(image, tuple(types), boxes(generator.integers(1, 5)), ranked, proposals)


def mention_without_answer(one: GroundedMention) -> GroundedMention:
    return mention(one.gold_boxes, [], one.proposal_boxes, image=one.image_id, types=one.types)


def random_mentions(seed: int, count: int, images: int) -> list[GroundedMention]:
    generator = np.random.default_rng(seed)
    return [random_mention(generator, f"image {generator.integers(images)}") for _ in range(count)]


class TestAgainstLoops:
    @settings(max_examples=30)
    @given(st.integers(0, 2**32 - 1))
    def test_every_outcome(self, seed):
        mentions = random_mentions(seed, 20, 4)
        assert mention_outcomes(mentions).tolist() == [naive_outcomes(one) for one in mentions]

    def test_chunks_change_nothing(self):
        mentions = random_mentions(1, 600, 40)
        assert mention_outcomes(mentions).tolist() == [naive_outcomes(one) for one in mentions]

    def test_the_bootstrap_draws_whole_images(self):
        """The matrix of counts gives what drawing images and pooling their mentions would."""
        mentions = random_mentions(2, 60, 9)
        scores = score_grounding(mentions, seed=5, resamples=200)
        hit = [naive_outcomes(one)[METRICS.index("recall_any@5")] for one in mentions]
        generator = np.random.default_rng(5)
        drawn = []
        for _ in range(200):
            times = generator.multinomial(scores.photos, np.full(scores.photos, 1 / scores.photos))
            pooled = [
                hit[m]
                for image, count in zip(scores.image_ids, times, strict=True)
                for _ in range(count)
                for m, one in enumerate(mentions)
                if one.image_id == image
            ]
            drawn.append(100 * np.mean(pooled))
        assert scores.intervals["recall_any@5"] == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


class TestBootstrap:
    @given(st.integers(0, 1000), st.integers(2, 12))
    def test_the_interval_holds_the_estimate_and_stays_in_0_to_100(self, seed, images):
        scores = score_grounding(random_mentions(seed, 40, images), resamples=200)
        for metric, (low, high) in scores.intervals.items():
            assert 0 <= low <= scores[metric] + 1e-9
            assert scores[metric] - 1e-9 <= high <= 100

    def test_one_image_has_no_width(self):
        scores = score_grounding(random_mentions(3, 30, 1))
        assert all(low == high == pytest.approx(scores[m]) for m, (low, high) in scores.intervals.items())

    def test_the_seed_decides(self):
        mentions = random_mentions(4, 50, 10)
        assert score_grounding(mentions, seed=1).intervals == score_grounding(mentions, seed=1).intervals
        assert score_grounding(mentions, seed=1).intervals != score_grounding(mentions, seed=2).intervals

    def test_more_images_give_a_narrower_interval(self):
        def width(count: int) -> float:
            low, high = score_grounding(random_mentions(6, 3 * count, count)).intervals["pointing_any"]
            return high - low

        assert width(400) < width(20) / 2

    def test_paired_comparison_of_equals_is_nothing(self):
        scores = score_grounding(random_mentions(7, 40, 8))
        for change in paired_bootstrap(scores, scores).values():
            assert (change.difference, change.low, change.high, change.share_better) == (0, 0, 0, 0.5)

    def test_paired_comparison_sees_what_two_intervals_hide(self):
        """One grounder answers 10 of 300 phrases better, and none worse: their intervals overlap, yet it is better."""
        generator = np.random.default_rng(8)
        base = [mention([LEFT], [LEFT if generator.random() < 0.5 else NOWHERE], image=str(i // 3)) for i in range(300)]
        wrong = [i for i, one in enumerate(base) if one.ranked_boxes[0][0] == NOWHERE[0]]
        better = [mention([LEFT], [LEFT], image=m.image_id) if i in wrong[::15] else m for i, m in enumerate(base)]
        first, second = score_grounding(better), score_grounding(base)
        assert first.intervals["recall_any@1"][0] < second.intervals["recall_any@1"][1]
        change = paired_bootstrap(first, second)["recall_any@1"]
        assert change.difference == pytest.approx(100 * len(wrong[::15]) / 300)
        assert 0 < change.low < change.difference < change.high
        assert change.share_better > 0.99

    def test_the_mean_of_runs_is_the_mean_of_their_figures(self):
        mentions = random_mentions(9, 40, 8)
        runs = [score_grounding(mentions), score_grounding([mention_without_answer(m) for m in mentions])]
        mean = mean_of_runs(runs)
        assert mean.phrases == runs[0].phrases
        for metric in METRICS:
            assert mean[metric] == pytest.approx((runs[0][metric] + runs[1][metric]) / 2)
            assert mean.intervals[metric][0] <= mean[metric] <= mean.intervals[metric][1]
        assert mean_of_runs(runs[:1]).intervals == runs[0].intervals

    def test_different_mentions_cannot_be_paired(self):
        first, second = (score_grounding(random_mentions(seed, 20, 4)) for seed in (1, 2))
        with pytest.raises(EvaluationError, match="same phrases in the same order"):
            paired_bootstrap(first, second)
