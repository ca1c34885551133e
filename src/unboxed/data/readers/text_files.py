"""Decodes text files: UTF-8, UTF-16, and older encodings of Western languages, Russian and Japanese where plausible."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from unboxed.errors import DatasetError

__all__ = ["decode_file"]

_MARKS = (  # UTF-32 first, because its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OLDER = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman"}
_RUSSIAN = re.compile(r"[А-ЯЁІЇЄҐЎ]?[а-яёіїєґў]+|[А-ЯЁІЇЄҐЎ]")
# Other scripts: the encoding, its title, a word that is plausible in it, its frequent letters and their least share.
# Words in capitals are not plausible: small letters of one Russian encoding are capitals of another.
_SCRIPTS = (
    ("cp932", "Shift-JIS", re.compile(r"[ぁ-ゟァ-ヿ一-鿿々〆]+"), re.compile(r"[ぁ-ゟァ-ヿ]"), 0.2),
    ("cp1251", "Windows-1251", _RUSSIAN, re.compile(r"[оеаинтсрвлі]"), 0.5),
    ("koi8_r", "KOI8-R", _RUSSIAN, re.compile(r"[оеаинтсрвл]"), 0.5),
)
_LEAST_PLAUSIBLE, _LEAST_LETTERS = 0.9, 10  # share of the words of another script, and the number of their letters
_FOREIGN_WORD = re.compile(r"[^\x00-\x7f\s\u0080-\u00bf\u2000-\u206f\u2116\u3000-\u303f\uff00-\uff60]+")
_HEAD = 4096  # bytes in which UTF-16 without a mark is recognized
_LEAST_ASCII = 0.5  # share of the letters in words with accents; of text in another script it is near 0
_ACCENTED = re.compile(r"[^\W\d_]*[^\W\d_a-zA-Z][^\W\d_]*")
_IMPLAUSIBLE = re.compile(
    r"[a-z][À-ÖØ-ÞŠŽŒŸ]|[^\W\d_a-zA-ZÀ-ÿŠšŽžŒœŸªº]|[A-Za-z][‚ƒ„†‡ˆ‰¡¢£¤¥¦§¨©ª¬®¯±²³µ¶¸¹º¼½¾¿×÷]+[a-z]"
    r"|[ÃÂ][\u0080-\u00bf]|â€|[\x00-\x08\x0e-\x1f]"
)


def decode_file(path: Path) -> tuple[str, str]:
    """The text of a file, and a note for people where it is not UTF-8; line breaks of old Macs become those of others.

    Raises:
        DatasetError: no such file, or no encoding that gives a plausible text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); expected a text file.") from None
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), _without_mark(content))
    try:
        return _lines(content.decode(encoding)), "" if encoding == "utf-8-sig" else f"{path} is read as UTF-16."
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        for older, title in _OLDER.items():
            text = _decoded(content, older)
            if text is not None:
                return _lines(text), f"{path} is read as {title}; save it as UTF-8 if accents or quotes look wrong."
        for other, title, word, frequent, share in _SCRIPTS:
            text = _of_script(content, other, word, frequent, share)
            if text is not None:
                return _lines(text), f"{path} is read as {title}; save it as UTF-8 if its letters look wrong."
        raise DatasetError(f"{path} is not UTF-8 text (byte {error.start}, line {line}); save it as UTF-8.") from None


def _lines(text: str) -> str:
    return text if "\n" in text else text.replace("\r", "\n")


def _without_mark(content: bytes) -> str:
    """UTF-16 where every second byte of mostly Latin text is zero, else UTF-8."""
    head = content[:_HEAD]
    zeros = [head[start::2].count(0) for start in (0, 1)]
    most = 0.4 * len(head) / 2
    if max(zeros) > most > 0 and min(zeros) < most / 4:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8-sig"


def _decoded(content: bytes, encoding: str) -> str | None:
    """The text if it looks like a Western language: words with accents are made of plain letters for the most part."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    letters = "".join(word for word in _ACCENTED.findall(text) if len(word) > 1)
    plain = sum(letter.isascii() for letter in letters)
    return None if plain < _LEAST_ASCII * len(letters) or _IMPLAUSIBLE.search(text) else text


def _of_script(
    content: bytes, encoding: str, word: re.Pattern[str], frequent: re.Pattern[str], share: float
) -> str | None:
    """The text if nearly all of its words with other than ASCII characters are plausible; see `_SCRIPTS`."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    found = _FOREIGN_WORD.findall(text)
    plausible = [one for one in found if word.fullmatch(one)]
    letters = "".join(plausible)
    is_plausible = len(plausible) >= _LEAST_PLAUSIBLE * len(found) and len(letters) >= _LEAST_LETTERS
    return text if is_plausible and len(frequent.findall(letters)) >= share * len(letters) else None
