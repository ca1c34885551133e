"""Words as in the Penn Treebank: punctuation is kept, and contractions are taken apart ("man 's", "is n't").

The rules are those of NLTK's `word_tokenize`, which SCAN and its successors apply to lower-cased captions. A stop
behind a word ends a sentence, unless the word is one of a few abbreviations and the text goes on (NLTK decides by a
trained model).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Word", "treebank_words"]


class Word(NamedTuple):
    """A word, lower-cased, and its characters `start:end` in the text."""

    text: str
    start: int
    end: int


# Words of their own wherever they stand: quotes, dashes, stops in a row, brackets and signs. A comma or a colon before
# a digit belongs to a number.
_ALONE = re.compile(r"[«“‘„»”’]|`+|''|\"|--|[\u2012-\u2015]|\.{2,}|[][(){}<>;@#$%&?!*]|[:,](?!\d)")
_LAST_STOP = re.compile(r"(?<=[^.])\.(?=[])}>\"'»”’\s]*\Z)")
_STOP = re.compile(r"(?<=[^.\s])\.(?=\s)")
_ABBREVIATIONS = re.compile(r"co|corp|dr|ft|inc|jr|ltd|mr|mrs|ms|mt|no|sr|st|u\.k|u\.s|univ|vs")
_SPACED = re.compile(r"\S+")
_SUFFIX = re.compile(r"(?<=[^'])('(?:s|m|d|ll|re|ve)|n't|')\Z")
_TAKEN_APART = {
    "cannot": 3,
    "d'ye": 1,
    "gimme": 3,
    "gonna": 3,
    "gotta": 3,
    "lemme": 3,
    "more'n": 4,
    "wanna": 3,
    "'tis": 2,
    "'twas": 2,
}
"""Where these words are cut."""
_OPENING = re.compile(r"'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)")


def treebank_words(text: str) -> tuple[Word, ...]:
    """The words of `text` in reading order, with punctuation; a double quote becomes two grave accents or apostrophes.

    Examples:
        >>> [word.text for word in treebank_words("The man's dog isn't here.")]
        ['the', 'man', "'s", 'dog', 'is', "n't", 'here', '.']
    """
    lower = text.lower() if len(text.lower()) == len(text) else text
    found: list[Word] = []
    start = 0
    for mark in (*_marks(lower), (len(lower), len(lower))):
        for part in _SPACED.finditer(lower, start, mark[0]):
            found += _parts(lower, *part.span())
        if mark[0] < mark[1]:
            found += _parts(lower, *mark)
        start = mark[1]
    return tuple(word._replace(text=word.text.lower()) for word in found)


def _marks(text: str) -> list[tuple[int, int]]:
    """The spans of the words of their own in `text`, in order."""
    stops = [mark.span() for mark in _LAST_STOP.finditer(text)]
    for mark in _STOP.finditer(text):
        before = text[: mark.start()].split()[-1]
        if not _ABBREVIATIONS.fullmatch(before) and len(before) > 1 and mark.span() not in stops:
            stops.append(mark.span())
    return sorted([*(mark.span() for mark in _ALONE.finditer(text)), *stops])


def _parts(text: str, start: int, end: int) -> Iterator[Word]:
    """The words of a span without spaces or punctuation that stands alone."""
    piece = text[start:end]
    if piece in ('"', "''"):
        opens = start == 0 or text[start - 1].isspace() or text[start - 1] in "([{<"
        yield Word("``" if opens else "''", start, end)
        return
    opening = _OPENING.match(piece)
    if opening and piece not in _TAKEN_APART:
        yield Word("'", start, start + 1)
        start, piece = start + 1, piece[1:]
    suffix = _SUFFIX.search(piece)
    cut = _TAKEN_APART.get(piece, suffix.start() if suffix else 0)
    if 0 < cut < len(piece):
        yield Word(piece[:cut], start, start + cut)
        start, piece = start + cut, piece[cut:]
    yield Word(piece, start, end)
