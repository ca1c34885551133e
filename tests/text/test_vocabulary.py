"""The vocabulary: the order of its ids, its special words, and the errors of damaged files."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from unboxed.errors import RunError
from unboxed.text.vocabulary import MASK_ID, PAD_ID, SPECIAL, UNKNOWN_ID, Vocabulary

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
    assert vocabulary.encode(["red", "dog", "unheard"]) == [UNKNOWN_ID, vocabulary.id("dog"), UNKNOWN_ID]
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
