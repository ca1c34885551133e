"""The letters of pictures: Pillow's built-in font, which is the same on every machine and has no accents."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

__all__ = ["lettering", "plain_letters"]

_PLAIN = {
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D",
    "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L", "ı": "i", "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "×": "x",
    "„": "“", "‚": "‘", "•": "·", "€": "EUR", "£": "GBP",
}  # fmt: skip
_NO_LETTER = ("Mn", "Me", "Cf")  # accents, and characters without a width


def lettering(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's built-in font at a size in pixels."""
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # with a size, Pillow gives its scalable font
    return font


def plain_letters(text: str) -> str:
    """The text in letters that the font of `lettering` has: without accents, and `?` where there is no such letter.

    >>> plain_letters("Straße & Café – 日.jpg")
    'Strasse & Cafe - ?.jpg'
    """
    return text if text.isascii() else "".join(map(_plain, text))


@lru_cache(maxsize=4096)
def _plain(letter: str) -> str:
    if letter in _PLAIN or _has(letter):
        return _PLAIN.get(letter, letter)
    kept = (part for part in unicodedata.normalize("NFKD", letter) if unicodedata.category(part) not in _NO_LETTER)
    return "".join(part if _has(part) else "?" for part in kept)


def _has(letter: str) -> bool:
    """Whether the font draws it otherwise than a letter that no font has."""
    font = lettering(20)
    return letter.isascii() or bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))
