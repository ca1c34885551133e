"""Tallies of attention are the scores of all words together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import EvaluationError
from unboxed.evaluation.attention import AttentionProtocol, score_attention
from unboxed.evaluation.evaluate import GroundedExample
from unboxed.evaluation.word_attention import attended_words, attention_metrics
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Caption, Example, Phrase, Regions

TEXT = "two men with a dog"
SPANS = ((0, 3), (4, 7), (8, 12), (13, 14), (15, 18))
BOXES = np.array([[0, 0, 10, 20], [20, 0, 40, 20], [50, 0, 70, 20], [0, 0, 99, 50]], np.float32)


def item(seed: int) -> GroundedExample:
    rng = np.random.default_rng(seed)
    phrases = (
        Phrase("two men", 0, 7, ("people",), "1", BOXES[:2]),
        Phrase("a dog", 13, 18, ("animals",), "2", BOXES[2:3] if seed % 3 else np.zeros((0, 4))),
    )
    regions = Regions(BOXES, np.ones(4), np.zeros((4, 0)), np.zeros((4, 0)), (), ("segments",) * 4, 100, 50)
    weights = rng.dirichlet(np.full(4, 0.5), size=5).astype(np.float32)
    answered = tuple(GroundedPhrase(p.text, p.start, p.end, BOXES[:1], np.ones(1)) for p in phrases)
    example = Example(f"image {seed}", Path("photo.jpg"), (Caption(TEXT, phrases),), 100, 50)
    return GroundedExample(example, (Grounding(TEXT, answered, SPANS, regions, weights, 100, 50),))


def test_words_belong_to_their_phrases() -> None:
    words = list(attended_words(item(1)))
    assert [word.phrase for word in words] == [(0, 0), (0, 0), (0, 1), (0, 1)]
    assert [word.is_last for word in words] == [False, True, False, True]
    assert [word.is_noun for word in words] == [False, True, False, True]
    np.testing.assert_array_equal(words[3].weights_R, item(1).groundings[0].attention_WR[4])


def test_the_tallies_add_up_to_the_scores_of_all_words() -> None:
    items = [item(seed) for seed in range(6)]
    whole = score_attention(word for own in items for word in attended_words(own))
    tallies = attention_metrics(items)
    for name, metric in (("precision", "precision"), ("recall", "recall"), ("f1", "mean_f1")):
        assert tallies[f"attention_{name}"].value == pytest.approx(whole[metric])
    assert tallies["attention_f1"].interval() == pytest.approx(whole.intervals["mean_f1"])


def test_without_regions_there_is_nothing_to_attend_to() -> None:
    assert attention_metrics([GroundedExample(item(0).example, ())]) == {}
    with pytest.raises(EvaluationError, match="over photos"):
        attention_metrics([item(0)], AttentionProtocol(average_over="photos"))
