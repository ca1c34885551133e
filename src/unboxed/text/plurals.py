"""How many things a phrase names: one, a number that it states, or several."""

from __future__ import annotations

from functools import lru_cache

from unboxed.text import lexicon
from unboxed.text.phrases import phrase_words
from unboxed.text.word_lists import word_set

__all__ = ["phrase_number"]

_NUMBERS = {
    "two": 2, "both": 2, "pair": 2, "couple": 2, "duo": 2, "twins": 2, "three": 3, "trio": 3, "four": 4, "quartet": 4,
    "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12,
}  # fmt: skip
_SAME_FORM = word_set("fish deer sheep")  # singular after "a"
# Plural in form, one thing in sight: "black shorts" are drawn as one box, unless a number says how many.
_ONE_THING = word_set(
    """
    glasses sunglasses eyeglasses goggles binoculars headphones scissors pants jeans shorts trousers slacks leggings
    tights stockings trunks overalls pajamas pyjamas khakis sweatpants clothes stairs steps mountains woods
    """
)
# What these measure is one mass: "a pile of leaves".
_ONE_MASS = word_set(
    "pile piles stack heap row line number bit set piece slice sheet bowl cup plate bag box basket body"
)


@lru_cache(maxsize=2**16)
def phrase_number(phrase: str) -> int | None:
    """The number of things that a phrase names; None for several, whose number it does not state.

    A number counts only where it belongs to a plural: "number two" and "a two-story house" name one thing.

    Examples:
        >>> [phrase_number(text) for text in ("two people", "a dog", "dogs", "a group of men", "black shorts")]
        [2, 1, None, None, 1]
    """
    parsed = phrase_words(phrase)
    words, head = parsed.up_to_head, parsed.head
    if not words or not _is_plural(words, head):
        return 1
    measure = words[words.index("of") - 1] if "of" in words[1:] else ""
    if measure in _ONE_MASS or words[0] == "one":  # "one of the dogs"
        return 1
    if head in _ONE_THING:  # "a pair of glasses" is one thing, "two pairs of glasses" are two
        return next((number for word in words if word != "pair" and (number := _stated(word))), 1)
    return next((number for word in words if (number := _stated(word))), None)


def _is_plural(words: tuple[str, ...], head: str) -> bool:
    if lexicon.is_numeral(head):
        return all(word in lexicon.DETERMINERS for word in words)  # "the other two", not "number two"
    singular = head in _SAME_FORM and "of" not in words and words[0] in lexicon.SINGULAR_DETERMINERS
    return (lexicon.is_plural(head) or head in _NUMBERS) and not singular


def _stated(word: str) -> int | None:
    """The number that a word states, of 2 to 20."""
    if word.isdecimal() and len(word) <= 2:
        return int(word) if 2 <= int(word) <= 20 else None
    return _NUMBERS.get(word)
