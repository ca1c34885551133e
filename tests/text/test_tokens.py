"""Words of a text, and the vocabulary: the order of its ids, its special words, the errors of damaged files."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.errors import RunError
from unboxed.negatives.build import make_negatives
from unboxed.priors.semantic import SemanticPrior
from unboxed.priors.settings import PriorSettings
from unboxed.text import tokens
from unboxed.text.encoding import encode_caption
from unboxed.text.phrases import noun_phrases, phrase_words
from unboxed.text.tokens import MASK_ID, PAD_ID, SPECIAL, UNKNOWN_ID, Vocabulary, words
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


def test_a_caption_is_split_five_times_in_a_fit_and_a_phrase_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For its phrases, the vocabulary, vectors, its arrays and negatives; a dataset with phrases saves the first."""
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
    for caption in captions:
        encode_caption(caption, vocabulary, prior.affinity)
    assert make_negatives("random", captions, ["a", "b", "c", "d"]) is not None
    assert {counter.counts[text] for text in texts} == {5}
    assert {counter.counts[phrase.text] for caption in captions for phrase in caption.phrases} == {1}


CAPTIONS = ["A red dog.", "A dog and a cat", "a cat sleeps"]


def test_special_words_come_first_then_the_most_frequent_then_the_alphabet() -> None:
    vocabulary = Vocabulary.from_captions(CAPTIONS)
    known = [word for word in vocabulary.words if word.isalpha()]
    assert (PAD_ID, UNKNOWN_ID, MASK_ID) == (0, 1, 2)
    assert vocabulary.words[:3] == SPECIAL == ("<pad>", "<unk>", "<mask>")
    assert known == ["a", "cat", "dog", "and", "red", "sleeps"]


def test_the_order_of_the_captions_does_not_matter() -> None:
    shuffled = random.Random(0).sample(CAPTIONS, len(CAPTIONS))
    assert Vocabulary.from_captions(shuffled) == Vocabulary.from_captions(CAPTIONS)


def test_rare_words_are_unknown() -> None:
    vocabulary = Vocabulary.from_captions(CAPTIONS, min_count=2)
    assert "red" not in vocabulary
    assert vocabulary.encode(["red", "dog", "unheard"]) == [UNKNOWN_ID, vocabulary.words.index("dog"), UNKNOWN_ID]
    assert vocabulary.decode(vocabulary.encode(["a", "dog", "sleeps"])) == ["a", "dog", "<unk>"]


def test_its_file_gives_it_back(tmp_path: Path) -> None:
    vocabulary = Vocabulary.from_captions([*CAPTIONS, "un café “noir”"])
    vocabulary.save(tmp_path / "vocab.json")
    assert Vocabulary.load(tmp_path / "vocab.json") == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.json"]


def test_no_captions_leave_the_special_words() -> None:
    assert Vocabulary.from_captions([]).words == SPECIAL


def _with(**changes: object) -> str:
    content = {"format": "unboxed-vocabulary", "version": 1, "words": [*SPECIAL, "dog"]}
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": "unboxed-voc', "not valid JSON"),
        ("[1, 2]", "JSON object"),
        (_with(format="other"), "JSON object"),
        (_with(version=99), "newer unboxed"),
        (_with(words="a dog"), 'no list "words"'),
        (_with(words=["a", "dog"]), "begins with"),
        (_with(words=[*SPECIAL, "a", 7]), "holds 7"),
        (_with(words=[*SPECIAL, "a", ["b"]]), "holds "),
        (_with(words=[*SPECIAL, "a", ""]), "not empty"),
        (_with(words=[*SPECIAL, "dog", "dog"]), "'dog' more than once"),
    ],
)
def test_a_damaged_file_is_a_run_error_that_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "vocab.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=message) as caught:
        Vocabulary.load(tmp_path / "vocab.json")
    assert str(tmp_path / "vocab.json") in str(caught.value)


def test_a_missing_or_binary_file_is_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Cannot read"):
        Vocabulary.load(tmp_path / "vocab.json")
    (tmp_path / "vocab.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match="Cannot read"):
        Vocabulary.load(tmp_path / "vocab.json")
