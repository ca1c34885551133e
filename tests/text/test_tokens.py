"""Words of a text: their spans, and how often a caption is split in a fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.negatives.build import make_negatives
from unboxed.priors.semantic import SemanticPrior
from unboxed.priors.settings import PriorSettings
from unboxed.text import tokens
from unboxed.text.encoding import encode_caption
from unboxed.text.phrases import noun_phrases, phrase_words
from unboxed.text.tokens import words
from unboxed.text.vocabulary import Vocabulary
from unboxed.types import Caption


@given(st.text())
def test_words_are_lower_cased_parts_of_the_text_in_order(text: str) -> None:
    found = words(text)
    assert all(word.text == text[word.start : word.end].lower() and word.text for word in found)
    assert all(first.end <= second.start for first, second in pairwise(found))
    letters = [i for i, character in enumerate(text) if character.isalnum()]
    assert all(any(word.start <= i < word.end for word in found) for i in letters), "no letter is lost"


class CountingPattern:
    """A regular expression that counts the texts that it is applied to."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._pattern = pattern

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        self.counts[text] += 1
        return self._pattern.finditer(text)


def test_a_caption_is_split_four_times_in_a_fit_and_a_phrase_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For its phrases, the vocabulary, word vectors and its arrays; a dataset with phrases saves the first."""
    counter = CountingPattern(tokens._WORD)
    monkeypatch.setattr(tokens, "_WORD", counter)
    phrase_words.cache_clear()
    texts = [f"A {colour} {noun} and two men near a {noun}" for colour in ("red", "blue") for noun in ("dog", "car")]
    captions = [Caption(text, noun_phrases(text)) for text in texts]
    vocabulary = Vocabulary.from_captions(texts)
    probs = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    prior = SemanticPrior.build(
        PriorSettings(),
        ("person", "dog"),
        captions=texts,
        images=[([phrase.text for phrase in caption.phrases], probs) for caption in captions],
    )
    encoded = [encode_caption(caption, vocabulary, prior.affinity) for caption in captions]
    assert make_negatives("random", encoded, ["a", "b", "c", "d"]) is not None
    assert {counter.counts[text] for text in texts} == {4}
    assert {counter.counts[phrase.text] for caption in captions for phrase in caption.phrases} == {1}
