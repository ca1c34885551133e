"""Groundings as mentions, heat maps and attended words, on hand-made images of four regions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError, RegionsError
from unboxed.evaluation.attention import score_attention
from unboxed.evaluation.error_analysis import count_errors
from unboxed.evaluation.grounded_split import (
    GroundedExample,
    answer_with_proposals,
    attended_words,
    attention_metrics,
    can_be_grounded,
    ground_split,
    has_gold_boxes,
    heatmap_metrics,
    score_groundings,
    score_heat_maps,
    score_word_attention,
)
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store import RegionStore
from unboxed.types import Caption, Example, Phrase, Regions

TEXT = "two men with a dog"
SPANS = ((0, 3), (4, 7), (8, 12), (13, 14), (15, 18))
BOXES = np.array([[0, 0, 10, 20], [20, 0, 40, 20], [50, 0, 70, 20], [0, 0, 99, 50]], np.float32)
CELLS = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20], [10, 10, 20, 20]], np.float32)


def regions(boxes: np.ndarray, width: int, height: int) -> Regions:
    return Regions(boxes, np.ones(4), np.zeros((4, 0)), np.zeros((4, 0)), (), ("grid",) * 4, width, height)


def grounded(seed: int) -> GroundedExample:
    """An image of 100 x 50; both phrases are answered with the first two boxes."""
    phrases = (
        Phrase("two men", 0, 7, ("people",), "1", BOXES[:2]),
        Phrase("a dog", 13, 18, ("animals",), "2", BOXES[2:3] if seed % 3 else np.zeros((0, 4))),
    )
    weights = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), size=5).astype(np.float32)
    answers = tuple(GroundedPhrase(p.text, p.start, p.end, BOXES[:2], [1, 0.5]) for p in phrases)
    example = Example(f"image {seed}", Path("image.jpg"), (Caption(TEXT, phrases),), 100, 50)
    return GroundedExample(example, (Grounding(TEXT, answers, SPANS, regions(BOXES, 100, 50), weights, 100, 50),))


def with_heat(seed: int) -> GroundedExample:
    """An image of 20 x 20 with one or two phrases, each with a random heat map of 2 x 2 cells."""
    texts = ("a cup", "a cat")[: 1 + seed % 2]
    phrases = tuple(
        Phrase(text, 6 * p, 6 * p + 5, ("other",), str(p), CELLS[p : p + 1]) for p, text in enumerate(texts)
    )
    caption = Caption(" ".join(texts), phrases)
    answers = tuple(GroundedPhrase(p.text, p.start, p.end, CELLS[3:], np.ones(1)) for p in phrases)
    heat_PYX = np.random.default_rng(seed).random((len(phrases), 2, 2)).astype(np.float32)
    grounding = Grounding(
        caption.text, answers, ((0, 1),), regions(CELLS, 20, 20), np.ones((1, 4), np.float32), 20, 20, heat_PYX
    )
    return GroundedExample(Example(f"image {seed}", Path("image.jpg"), (caption,), 20, 20), (grounding,))


class TestGroundings:
    def test_answers_and_proposals_are_scored_against_the_gold_of_the_same_phrase(self) -> None:
        scores = score_groundings([grounded(1), grounded(3)])
        assert (scores.phrases, scores.images, scores.without_gold) == (3, 2, 1)
        assert scores["recall_any@1"] == pytest.approx(100 * 2 / 3)  # the dog is neither of the first two boxes
        assert scores["upper_bound_any"] == 100  # its box is among the regions

    def test_an_image_without_regions_is_wrong_and_counted(self) -> None:
        scores = score_groundings([GroundedExample(grounded(1).example, ())])
        assert (scores.phrases, scores.without_answer, scores["upper_bound_any"]) == (2, 2, 0)

    def test_the_proposals_of_a_heat_map_are_the_boxes_read_off_it(self) -> None:
        assert score_groundings([with_heat(0)])["upper_bound_any"] == 0  # the gold is a cell, but not the box read off
        assert count_errors([with_heat(0)]).total == (0, 1, 0, 0, 0, 0)

    def test_regions_of_an_image_of_another_size_are_refused(self, tiny_run: Path, tiny_dataset: Path) -> None:
        split = EmbeddedSplit(Grounder.load(tiny_run), RegionStore.open(tiny_run / "store"))
        examples = load_dataset(tiny_dataset).split("val").examples[:2]
        assert not has_gold_boxes(examples)
        assert [len(item.groundings) for item in ground_split(split, examples)] == [2, 2]
        with pytest.raises(RegionsError, match="96 x 64"):
            list(ground_split(split, [replace(examples[0], width=50)]))

    def test_imported_regions_without_boxes_cannot_be_grounded(self) -> None:
        settings = ImportedRegions(imported="features", boxes=False)
        split: Any = SimpleNamespace(store=SimpleNamespace(settings=settings, path=Path("store")))
        assert not can_be_grounded([grounded(1).example], split.store)
        with pytest.raises(EvaluationError, match="without boxes"):
            list(ground_split(split, [grounded(1).example]))


class TestProposals:
    def test_boxes_of_a_store_are_ranked_by_the_heat_map(self) -> None:
        item, stored = with_heat(0), regions(CELLS, 20, 20)
        assert item.groundings[0].heat_PYX is not None
        hottest = int(item.groundings[0].heat_PYX[0].argmax())
        proposals: Any = {"image 0": stored}
        (answered,) = answer_with_proposals([item], proposals, 0.5)
        (phrase,) = answered.groundings[0].phrases
        assert phrase.boxes[0].tolist() == CELLS[hottest].tolist()
        assert sorted(map(tuple, phrase.boxes.tolist())) == sorted(map(tuple, CELLS.tolist()))
        assert (np.diff(phrase.scores) <= 0).all()

    def test_other_images_and_groundings_without_heat_maps_keep_their_answers(self) -> None:
        proposals: Any = {"image 1": regions(CELLS, 100, 50)}
        other, without = answer_with_proposals([with_heat(0), grounded(1)], proposals, 0.5)
        np.testing.assert_array_equal(other.groundings[0].phrases[0].boxes, CELLS[3:])
        np.testing.assert_array_equal(without.groundings[0].phrases[0].boxes, BOXES[:2])


class TestHeatMaps:
    def test_metrics_per_image_add_up_to_the_scores_of_all_images(self) -> None:
        items = [with_heat(seed) for seed in range(7)]
        items[3] = replace(items[3], groundings=())  # without regions: wrong, not left out
        whole = score_heat_maps(items)
        assert whole is not None
        metrics = heatmap_metrics(items)
        assert metrics["pointing_heatmap"].value == pytest.approx(whole.pointing_heatmap)
        assert metrics["heat_inside"].value == pytest.approx(whole.heat_inside)
        assert metrics["pointing_heatmap"].interval() == pytest.approx(whole.interval)

    def test_phrases_without_gold_boxes_are_not_scored(self) -> None:
        item = with_heat(0)
        (caption,) = item.example.captions
        bare = replace(caption, phrases=tuple(replace(p, boxes=np.zeros((0, 4))) for p in caption.phrases))
        without = replace(item, example=replace(item.example, image_id="without", captions=(bare,)))
        assert score_heat_maps([item, without]) == score_heat_maps([item])

    def test_groundings_without_heat_maps_have_no_such_metrics(self) -> None:
        assert heatmap_metrics([grounded(1)]) == {}
        assert score_heat_maps([grounded(1)]) is None


class TestWords:
    def test_words_belong_to_their_phrases(self) -> None:
        words = list(attended_words(grounded(1)))
        assert [word.phrase for word in words] == [(0, 0), (0, 0), (0, 1), (0, 1)]
        assert [word.is_last for word in words] == [False, True, False, True]
        assert [word.is_noun for word in words] == [False, True, False, True]
        np.testing.assert_array_equal(words[3].weights_R, grounded(1).groundings[0].attention_WR[4])

    def test_all_words_are_scored_together(self) -> None:
        items = [grounded(seed) for seed in range(6)]
        whole = score_attention(word for item in items for word in attended_words(item))
        found = score_word_attention(items)
        assert found is not None
        assert found.to_dict() == whole.to_dict()
        assert attention_metrics(items)["attention_f1"].value == pytest.approx(whole["mean_f1"])

    def test_weights_that_are_no_numbers_are_reported(self) -> None:
        item = grounded(0)
        broken = replace(item.groundings[0], attention_WR=np.full_like(item.groundings[0].attention_WR, np.nan))
        with pytest.raises(EvaluationError, match="not finite"):
            score_word_attention([replace(item, groundings=(broken, *item.groundings[1:]))])

    def test_without_regions_there_is_nothing_to_attend_to(self) -> None:
        bare = GroundedExample(grounded(0).example, ())
        assert attention_metrics([bare]) == {}
        assert score_word_attention([bare]) is None
