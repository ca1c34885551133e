"""The words of a text with their character offsets."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Word", "words"]

# A run of letters and digits, with hyphens, apostrophes and stops inside it: "t-shirt", "man's", "3.5".
_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*", re.UNICODE)


class Word(NamedTuple):
    """A word, lower-cased, and its characters `start:end` in the text."""

    text: str
    start: int
    end: int


def words(text: str) -> tuple[Word, ...]:
    """The words of `text` in reading order, without punctuation; empty when there are none.

    Examples:
        >>> [word.text for word in words("A man's T-shirt, blue.")]
        ["a", "man's", 't-shirt', 'blue']
    """
    return tuple(Word(match.group().lower(), match.start(), match.end()) for match in _WORD.finditer(text))
