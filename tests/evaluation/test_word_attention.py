"""The words of groundings, and their attention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.evaluation.attention import score_attention
from unboxed.evaluation.evaluate import GroundedExample
from unboxed.evaluation.word_attention import attended_words, attention_metrics, score_words
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


def test_all_words_are_scored_together() -> None:
    items = [item(seed) for seed in range(6)]
    whole = score_attention(word for one in items for word in attended_words(one))
    found = score_words(items)
    assert found is not None
    assert found.to_dict() == whole.to_dict()
    assert attention_metrics(items)["attention_f1"].value == pytest.approx(whole["mean_f1"])


def test_without_regions_there_is_nothing_to_attend_to() -> None:
    bare = GroundedExample(item(0).example, ())
    assert attention_metrics([bare]) == {}
    assert score_words([bare]) is None
