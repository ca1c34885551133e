"""Encoded captions: ids, content words, the words of phrases, the prior's rows."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from unboxed.text.encoding import encode_caption
from unboxed.text.phrases import noun_phrases
from unboxed.text.settings import TokenizerName
from unboxed.text.tokens import UNKNOWN_ID, Tokenizer, Vocabulary
from unboxed.types import Caption, Phrase

TEXT = "Two dogs chase a red ball."
CAPTION = Caption(TEXT, noun_phrases(TEXT))


def test_the_arrays_of_a_caption_by_hand() -> None:
    vocabulary = Vocabulary.from_captions(["two dogs chase a ball"])
    encoded = encode_caption(CAPTION, vocabulary)
    assert encoded.words == ("two", "dogs", "chase", "a", "red", "ball") and len(encoded) == 6
    assert [TEXT[start:end] for start, end in encoded.spans] == ["Two", "dogs", "chase", "a", "red", "ball"]
    known = vocabulary.encode(("two", "dogs", "chase", "a", "ball"))
    assert encoded.tokens_W.tolist() == [*known[:4], UNKNOWN_ID, known[4]]
    assert encoded.content_W.tolist() == [False, True, False, False, True, True]
    assert encoded.phrase_PW.tolist() == [[True, True] + [False] * 4, [False] * 3 + [True] * 3]
    assert encoded.affinities == ()


def test_a_caption_without_content_words_or_phrases_contrasts_all_words() -> None:
    encoded = encode_caption(Caption("they run"), Vocabulary(), lambda phrase: np.ones(2, np.float32))
    assert encoded.content_W.tolist() == [True, True]
    assert encoded.phrase_PW.shape == (0, 2) and encoded.affinities == ()


def test_a_phrase_has_the_words_that_it_overlaps() -> None:
    caption = Caption("a T-shirt", (Phrase("a T", 0, 3),))
    assert encode_caption(caption, Vocabulary()).phrase_PW.tolist() == [[True, True]]


def test_the_prior_gives_each_phrase_a_row() -> None:
    encoded = encode_caption(CAPTION, Vocabulary(), lambda phrase: np.full(3, len(phrase), np.float32))
    assert [row.tolist() for row in encoded.affinities] == [[8] * 3, [10] * 3]


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=40).filter(lambda text: any(c.isalnum() for c in text)), st.data())
def test_the_words_of_a_phrase_are_those_that_it_overlaps(text: str, data: DataObject) -> None:
    name: TokenizerName = data.draw(st.sampled_from(get_args(TokenizerName)))
    vocabulary = Vocabulary(tokenizer=Tokenizer(name, start_end_words=data.draw(st.booleans())))
    spans = data.draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 9)), max_size=4))
    phrases = tuple(Phrase(text[start : start + count], start, min(start + count, len(text))) for start, count in spans)
    encoded = encode_caption(Caption(text, phrases), vocabulary)
    assert encoded.phrase_PW.tolist() == [
        [start < phrase.end and end > phrase.start for start, end in encoded.spans] for phrase in phrases
    ]
