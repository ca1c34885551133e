"""Recognizes captions that are not in English, whose phrases the rules of the chunker do not find."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from unboxed.text.word_lists import word_set

__all__ = ["foreign_language"]

_ENGLISH = word_set("a an the and of in on with is are at by to his her their while from for near")
_OTHERS = word_set(  # function words of captions in other languages that are written in Latin letters
    """
    een het de van op met zijn en aan naar voor bij die dat ein eine einem einen einer der das den dem und im auf mit
    ist sind zwei vor neben un une le la les des du et dans sur avec est sont au aux près qui una uno il lo gli di
    del della e su con sono che al alla um uma os as do da dos das em no na com está são que ao el los las
    están por sobre junto ett och på av över som jest są się po obok bir ve ile bu olan atas dengan yang sebuah
    seorang ja kun joka
    """
)
_WORD = re.compile(r"[^\W\d_]+")
_LEAST_FOREIGN = 0.1  # share of the words
_LEAST_ACCENTED = 0.05  # share of the letters
_MOST_READ = 5000  # captions


def foreign_language(captions: Iterable[str]) -> str:
    """A line about captions that do not look like English; "" for those that do.

    Captions in another script are recognized by their letters, those in another language by its function words, or by
    accents without the function words of English.
    """
    text = " ".join(islice(captions, _MOST_READ)).lower()
    letters = [letter for letter in text if letter.isalpha()]
    words = _WORD.findall(text)
    if not words:
        return ""
    english = sum(word in _ENGLISH for word in words) / len(words)
    others = sum(word in _OTHERS - _ENGLISH for word in words) / len(words)
    accented = sum(not letter.isascii() for letter in letters) / len(letters)
    foreign = others > max(_LEAST_FOREIGN, english) or (accented > _LEAST_ACCENTED and english < _LEAST_FOREIGN)
    if accented < 0.5 and not foreign:
        return ""
    return (
        "Language: the captions do not look like English. Their phrases are found by rules for English, and words are "
        "separated by blanks: translate the captions, or give `phrases` in JSONL."
    )
