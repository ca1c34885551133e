"""The words of captions as NLTK splits them, at the places where they stand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.text.tokens import Tokenizer
from unboxed.text.treebank import treebank_words

RECORDED = Path(__file__).resolve().parents[1] / "golden" / "tokenisation.json"


def texts(caption: str) -> list[str]:
    """The words of a caption."""
    return [word.text for word in treebank_words(caption)]


def test_recorded_captions_have_the_words_of_nltk() -> None:
    """Captions of Flickr30K with possessives, contractions, quotes, numbers, signs and letters that are not ASCII."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert len(recorded) == 40
    for caption in recorded:
        assert texts(caption["text"]) == caption["tokens"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("The man's dog isn't here.", "the|man|'s|dog|is|n't|here|."),
        ('A sign reads "free hugs", twice.', "a|sign|reads|``|free|hugs|''|,|twice|."),
        ("Boys' hats (red): 10,000 at 3:30", "boys|'|hats|(|red|)|:|10,000|at|3:30"),
        ("A dog. A cat.", "a|dog|.|a|cat|."),
        ("Mr. Smith from the U.S. waits.", "mr.|smith|from|the|u.s.|waits|."),
        ("They cannot; they're gonna -- well... go!", "they|can|not|;|they|'re|gon|na|--|well|...|go|!"),
        ("'tis a 'tree'", "'t|is|a|'|tree|'"),
    ],
)
def test_punctuation_and_contractions(caption: str, expected: str) -> None:
    assert texts(caption) == expected.split("|")


@given(st.text(alphabet="ab AB1'\".,:;-()`?’İ\n\tn'ts", max_size=40))
def test_words_cover_everything_but_spaces_in_order(caption: str) -> None:
    """Every character that is no space belongs to exactly one word, and only quotes are written otherwise."""
    found = treebank_words(caption)
    covered = "".join(caption[word.start : word.end] for word in found)
    assert covered == "".join(caption.split())
    for word, following in pairwise(found):
        assert word.end <= following.start
    for word in found:
        assert word.text == caption[word.start : word.end].lower() or word.text in ("``", "''")


def test_start_and_end_words_have_no_characters() -> None:
    found = Tokenizer("spaces", start_end_words=True)("A dog 's tail")
    assert [word.text for word in found] == ["<start>", "a", "dog", "'s", "tail", "<end>"]
    assert (found[0].start, found[0].end) == (0, 0)
    assert (found[-1].start, found[-1].end) == (13, 13)
