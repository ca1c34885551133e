"""Noun phrases of a caption by rules, head nouns of phrases, and content words.

Noun phrases follow the convention of Flickr30K Entities: base noun phrases with their determiner ("a red shirt"),
joined over "of" ("a group of people", "the side of a building"), pronouns included, coordinated nouns apart ("a man"
and "a woman"). The rules need no model and no data.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from unboxed.errors import CaptionError
from unboxed.text import lexicon
from unboxed.text.chunking import base_phrases
from unboxed.text.tokens import Word, words
from unboxed.types import Caption, Phrase

__all__ = [
    "PhraseWords",
    "content_mask",
    "content_or_all",
    "given_phrases",
    "head_noun",
    "is_content",
    "listed_phrases",
    "noun_phrases",
    "phrase_words",
]

Mask = TypeVar("Mask")
"""A NumPy array or a torch tensor of truth values."""


_COMPOUND_PREPOSITIONS = (["in", "front", "of"], ["on", "top", "of"])


def noun_phrases(caption: str) -> tuple[Phrase, ...]:
    """The noun phrases of an English caption in reading order, without overlap.

    A caption in which the rules find no phrase is one phrase, from its first word to its last, so that there is always
    something to ground.

    Examples:
        >>> [phrase.text for phrase in noun_phrases("A man in a red shirt rides a bike down the side of a hill.")]
        ['A man', 'a red shirt', 'a bike', 'the side of a hill']

    Raises:
        CaptionError: no words.
    """
    found = words(caption)
    if not found:
        raise CaptionError(f"The caption {caption!r} has no words; give it at least one.")
    chunks = _join_over_of(caption, base_phrases(caption, found), found) or [(0, len(found))]
    spans = ((found[first].start, found[stop - 1].end) for first, stop in chunks)
    return tuple(Phrase(caption[start:end], start, end) for start, end in spans)


_SEPARATOR = re.compile(r"[,;\n]")


def listed_phrases(text: str) -> tuple[Caption, ...]:
    """Phrases that a user lists: each is a caption of its own, with itself as its only phrase.

    They are separated by commas, semicolons or line ends.

    Examples:
        >>> [caption.text for caption in listed_phrases("laptop, red car;person with hat")]
        ['laptop', 'red car', 'person with hat']

    Raises:
        CaptionError: none is listed, or one has no words.
    """
    listed = list(dict.fromkeys(" ".join(part.split()) for part in _SEPARATOR.split(text) if part.strip()))
    if not listed:
        raise CaptionError(f"{text!r} lists no phrase; separate phrases by commas, such as 'laptop, red car'.")
    return tuple(Caption(phrase, (Phrase(phrase, 0, len(phrase)),)) for phrase in listed)


def given_phrases(caption: str, listed: str) -> Caption:
    """A caption with the phrases that a user lists, in reading order, instead of those that the rules find.

    Examples:
        >>> [phrase.start for phrase in given_phrases("A man in a red hat.", "red hat, man").phrases]
        [2, 11]

    Raises:
        CaptionError: a phrase that is not in the caption, or two that overlap.
    """
    found: list[Phrase] = []
    lower = _lower(caption)
    for phrase in (entry.text for entry in listed_phrases(listed)):
        start = lower.find(_lower(phrase))
        if start < 0:
            raise CaptionError(f"The caption {caption!r} has no {phrase!r}; list phrases as the caption writes them.")
        found.append(Phrase(caption[start : start + len(phrase)], start, start + len(phrase)))
    found.sort(key=lambda phrase: phrase.start)
    for first, second in pairwise(found):
        if second.start < first.end:
            raise CaptionError(f"{first.text!r} and {second.text!r} overlap in the caption; list one of them.")
    return Caption(caption, tuple(found))


@dataclass(frozen=True, slots=True)
class PhraseWords:
    """The words of a phrase.

    Attributes:
        text: the phrase.
        words: lower-cased, in reading order.
        head: the head noun, one of `words`; "" for a phrase without words.
    """

    text: str
    words: tuple[str, ...]
    head: str

    @property
    def up_to_head(self) -> tuple[str, ...]:
        """The words up to the last occurrence of the head noun: "a hot dog on a plate" gives a, hot, dog."""
        return self.words[: len(self.words) - self.words[::-1].index(self.head)] if self.words else ()

    @property
    def heads(self) -> tuple[str, ...]:
        """The head noun of each base noun phrase, else the last word: "a group of people" has group and people."""
        chunks = base_phrases(self.text, words(self.text)) if self.words else []
        return tuple(_head(self.words[first:stop]) for first, stop in chunks) or self.words[-1:]


@lru_cache(maxsize=2**16)
def phrase_words(phrase: str) -> PhraseWords:
    """The words of a phrase and its head noun.

    The results for the last 65,536 different phrases are cached, since captions repeat phrases.

    Examples:
        >>> phrase_words("A hot dog on a plate").head, phrase_words("A hot dog on a plate").up_to_head
        ('dog', ('a', 'hot', 'dog'))
    """
    texts = tuple(word.text for word in words(phrase))
    return PhraseWords(phrase, texts, _head(texts))


def head_noun(phrase: str) -> str:
    """The lower-cased head noun of a phrase: the word that names what it is about; "" for a phrase without words.

    Examples:
        >>> [head_noun(phrase) for phrase in ("a young man in a hat", "a group of people", "a round table")]
        ['man', 'people', 'table']
    """
    return phrase_words(phrase).head


def _head(texts: Sequence[str]) -> str:
    inner = (i for i in range(1, len(texts)) if texts[i - 1] not in lexicon.ARTICLES)  # "a round table"
    ends = (i for i in inner if texts[i] in lexicon.PREPOSITIONS and texts[i - 1] not in texts[i + 1 : i + 2])
    stop = next(ends, len(texts))  # but "a side by side comparison"
    if tuple(texts[stop : stop + 1]) == ("of",) and texts[stop - 1] in lexicon.COLLECTIVES:
        return _head(texts[stop + 1 :]) or texts[stop - 1]
    return texts[stop - 1] if texts else ""


def content_mask(found: Sequence[Word], spans: Iterable[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """`[W]`: True for the content words of a caption, the nouns and adjectives of its phrases.

    Args:
        found: the W words of the caption.
        spans: the characters `[start, end)` of each phrase.
    """
    parts = sorted(spans)
    starts = [start for start, _ in parts]
    ends = [0, *accumulate((end for _, end in parts), max)]  # the last end of the spans that begin so far
    return np.array([is_content(w.text) and w.end <= ends[bisect_right(starts, w.start)] for w in found], bool)


@lru_cache(maxsize=2**16)
def is_content(word: str) -> bool:
    """Whether a lower-cased word of a phrase is a noun or an adjective: no determiner, numeral, pronoun or adverb."""
    return not (
        word in lexicon.DETERMINERS
        or word in lexicon.PRONOUNS
        or word in lexicon.CONJUNCTIONS
        or (word in lexicon.PREPOSITIONS and word != "back")
        or lexicon.is_numeral(word)
        or lexicon.is_adverb(word)
        or len(word) == 1
    )


def content_or_all(words_PW: Mask, content_W: Mask) -> Mask:
    """The content words of each row; all words of a row that has none.

    Args:
        words_PW: `[…, W]` True for the words of each row, such as a phrase; a NumPy array or a tensor.
        content_W: `[…, W]` True for content words; broadcast with `words_PW`.

    Examples:
        >>> rows = np.array([[True, True, False], [False, False, True]])
        >>> content_or_all(rows, np.array([False, True, False])).tolist()  # the second row has no content word
        [[False, True, False], [False, False, True]]
    """
    words: Any = words_PW
    content = words & content_W
    chosen: Mask = content | (words & ~content.any(axis=-1, keepdims=True))
    return chosen


def _lower(text: str) -> str:
    """The text in lower case, character by character: "İ", whose lower case has two characters, stays."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)


def _only_blanks(caption: str, found: Sequence[Word], first: int) -> bool:
    """Whether no punctuation stands on either side of the word before word `first`: not "a porch , of which"."""
    before, of, after = found[first - 2 : first + 1]
    return not caption[before.end : of.start].strip() and not caption[of.end : after.start].strip()


def _join_over_of(caption: str, chunks: Sequence[tuple[int, int]], found: Sequence[Word]) -> list[tuple[int, int]]:
    """Phrases with "of" between them are one, except after "in front of" and "on top of", which are prepositions."""
    joined: list[tuple[int, int]] = []
    for first, stop in chunks:
        if (
            joined
            and joined[-1][1] == first - 1
            and found[first - 1].text == "of"
            and _only_blanks(caption, found, first)
        ):
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((first, stop))
    texts = [word.text for word in found]
    starts = ((first + 2 if texts[first - 1 : first + 2] in _COMPOUND_PREPOSITIONS else first) for first, _ in joined)
    return [(start, stop) for start, (_, stop) in zip(starts, joined, strict=True) if start < stop]
