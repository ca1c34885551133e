"""Noun phrases of a bare caption, by rules.

The convention is that of Flickr30K Entities: base noun phrases with their determiner ("a red shirt"), joined over "of"
("a group of people", "the side of a building"), pronouns included, coordinated nouns apart ("a man" and "a woman").
The chunker needs no model and no data; it reads a caption once, left to right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from unboxed.errors import CaptionError
from unboxed.text import lexicon
from unboxed.text.chunking import base_phrases
from unboxed.text.tokens import Word, words
from unboxed.types import Caption, Phrase

__all__ = [
    "PhraseWords",
    "SpanScore",
    "content_mask",
    "content_words",
    "head_noun",
    "noun_phrases",
    "phrase_words",
    "span_f1",
]

_COMPOUND_PREPOSITIONS = (["in", "front", "of"], ["on", "top", "of"])


def noun_phrases(caption: str) -> tuple[Phrase, ...]:
    """The noun phrases of an English caption in reading order, without overlap.

    A caption in which the rules find none is itself returned as the one phrase, from its first word to its last, so
    that there is always something to ground.

    Examples:
        >>> [phrase.text for phrase in noun_phrases("A man in a red shirt rides a bike down the side of a hill.")]
        ['A man', 'a red shirt', 'a bike', 'the side of a hill']

    Raises:
        CaptionError: no words.
    """
    found = words(caption)
    if not found:
        raise CaptionError(f"The caption {caption!r} has no words; give it at least one.")
    chunks = _join_over_of(base_phrases(caption, found), found) or [(0, len(found))]
    spans = ((found[first].start, found[stop - 1].end) for first, stop in chunks)
    return tuple(Phrase(caption[start:end], start, end) for start, end in spans)


@dataclass(frozen=True, slots=True)
class PhraseWords:
    """The words of a phrase.

    Attributes:
        words: lower-cased, in reading order.
        head: the head noun, one of `words`; "" for a phrase without words.
    """

    words: tuple[str, ...]
    head: str

    @property
    def up_to_head(self) -> tuple[str, ...]:
        """The words up to the last occurrence of the head noun: "a hot dog on a plate" gives a, hot, dog."""
        return self.words[: len(self.words) - self.words[::-1].index(self.head)] if self.words else ()


@lru_cache(maxsize=2**16)
def phrase_words(phrase: str) -> PhraseWords:
    """The words of a phrase and its head noun; kept for the most recent phrases, since captions repeat them.

    Examples:
        >>> phrase_words("A hot dog on a plate").head, phrase_words("A hot dog on a plate").up_to_head
        ('dog', ('a', 'hot', 'dog'))
    """
    texts = tuple(word.text for word in words(phrase))
    return PhraseWords(texts, _head(texts))


def head_noun(phrase: str) -> str:
    """The lower-cased head noun of a phrase: the word that names what it is about; "" for a phrase without words.

    Examples:
        >>> head_noun("a young man in a hat"), head_noun("a group of people"), head_noun("the side of a hill")
        ('man', 'people', 'side')
    """
    return phrase_words(phrase).head


def _head(texts: Sequence[str]) -> str:
    stop = next((i for i, word in enumerate(texts) if i > 0 and word in lexicon.PREPOSITIONS), len(texts))
    if tuple(texts[stop : stop + 1]) == ("of",) and texts[stop - 1] in lexicon.COLLECTIVES:
        return _head(texts[stop + 1 :]) or texts[stop - 1]
    return texts[stop - 1] if texts else ""


def content_words(caption: str, phrases: Iterable[Phrase]) -> tuple[tuple[int, int], ...]:
    """Character spans of the nouns and adjectives in the phrases; determiners, numerals and pronouns are left out."""
    found = words(caption)
    content = content_mask(found, phrases)
    return tuple((word.start, word.end) for word, is_content in zip(found, content, strict=True) if is_content)


def content_mask(found: Sequence[Word], phrases: Iterable[Phrase]) -> list[bool]:
    """Which words of a caption are nouns and adjectives of its phrases; see `content_words`."""
    spans = [(phrase.start, phrase.end) for phrase in phrases]
    return [
        any(start <= first and last <= end for start, end in spans) and _is_content(text) for text, first, last in found
    ]


class SpanScore(NamedTuple):
    """Agreement of predicted with gold spans, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


def span_f1(predicted: Sequence[Caption], gold: Sequence[Caption]) -> SpanScore:
    """Micro precision, recall and F1 over exact phrase spans of captions, paired in order."""
    right = found = wanted = 0
    for ours, theirs in zip(predicted, gold, strict=True):
        our_spans = {(phrase.start, phrase.end) for phrase in ours.phrases}
        their_spans = {(phrase.start, phrase.end) for phrase in theirs.phrases}
        right += len(our_spans & their_spans)
        found += len(our_spans)
        wanted += len(their_spans)
    precision = right / found if found else 0.0
    recall = right / wanted if wanted else 0.0
    return SpanScore(precision, recall, 2 * right / (found + wanted) if found + wanted else 0.0)


@lru_cache(maxsize=2**16)
def _is_content(word: str) -> bool:
    return not (
        word in lexicon.DETERMINERS
        or word in lexicon.PRONOUNS
        or word in lexicon.CONJUNCTIONS
        or word in lexicon.PREPOSITIONS - {"back"}
        or lexicon.is_numeral(word)
        or lexicon.is_adverb(word)
        or len(word) == 1
    )


def _join_over_of(chunks: Sequence[tuple[int, int]], found: Sequence[Word]) -> list[tuple[int, int]]:
    """Phrases with "of" between them are one, except after "in front of" and "on top of", which are prepositions."""
    joined: list[tuple[int, int]] = []
    for first, stop in chunks:
        if joined and joined[-1][1] == first - 1 and found[first - 1].text == "of":
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((first, stop))
    texts = [word.text for word in found]
    starts = ((first + 2 if texts[first - 1 : first + 2] in _COMPOUND_PREPOSITIONS else first) for first, _ in joined)
    return [(start, stop) for start, (_, stop) in zip(starts, joined, strict=True) if start < stop]
