"""Base noun phrases of a caption, found by rules from left to right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from unboxed.text import lexicon, word_lists
from unboxed.text.tokens import Word
from unboxed.text.word_context import INSIDE, NEW_PHRASE, Context, Role, is_compound_modifier, may_modify
from unboxed.text.word_roles import role_of

__all__ = ["base_phrases"]

_APOSTROPHES = ("'", "’", "\u02bc")
_TITLES = ("mr", "mrs", "ms", "dr", "st")
_QUOTES = ('"', "“", "”")
_MAX_WORDS = 40  # no phrase is longer; the limit keeps the time linear for a "caption" of a whole book


def base_phrases(caption: str, found: Sequence[Word]) -> list[tuple[int, int]]:
    """Ranges `[first, stop)` of the words that make up the base noun phrases of a caption, in reading order.

    Args:
        caption: the text.
        found: its words.
    """
    return _Chunker(caption, found).phrases()


_NEW_DETERMINERS = NEW_PHRASE | {"another"}
_SHADES = frozenset(["cream", "ice", "lime", "navy", "sky"])
_PREDETERMINERS = frozenset(["all", "both", "half", "many", "only", "quite", "such", "what"])


def _opens(at: Context) -> bool:
    """Whether a determiner begins a phrase of its own, behind part of one: "one | a keyboard", "red | another"."""
    if at.last_role is Role.LINK:  # "his or her head"
        return False
    return at.has_noun or (at.word in _NEW_DETERMINERS and bool(at.phrase) and at.last not in _PREDETERMINERS)


def _is_second_colour(at: Context) -> bool:
    """Whether a colour behind a coloured noun describes the next one: "a white shirt | black tie"."""
    colours = word_lists.COLOURS
    if at.word not in colours or at.next in colours or at.last in _SHADES or not at.noun_follows:
        return False
    return at.last_role is Role.NOUN and not colours.isdisjoint(at.phrase[:-1])


class _Chunker:
    """Gives each word a role, and the number of the word that begins its phrase."""

    def __init__(self, caption: str, found: Sequence[Word]) -> None:
        self._words = [word.text for word in found]
        ends, starts = [word.end for word in found], [word.start for word in found[1:]] + [len(caption)]
        # The text between word i and the next one, "" for spaces alone.
        self._gaps = [caption[end:start].strip() for end, start in zip(ends, starts, strict=True)]
        self._roles: list[Role] = []
        self._firsts: list[int] = []

    def phrases(self) -> list[tuple[int, int]]:
        for i in range(len(self._words)):
            first = self._first_of_phrase(i)
            context = self._context(i, first)
            role = role_of(context)
            opens = role not in INSIDE or (role is Role.DETERMINER and _opens(context)) or _is_second_colour(context)
            self._roles.append(role)
            self._firsts.append(i if opens else first)
        found = []
        for first, length in Counter(self._firsts).items():
            stop = first + length
            while stop > first and self._roles[stop - 1] in (Role.LINK, Role.OUTSIDE):
                stop -= 1
            if stop > first and self._is_phrase(first, stop):
                found.append((first, stop))
        return found

    def _first_of_phrase(self, i: int) -> int:
        """Where the phrase begins that word i continues; i where it cannot continue one."""
        continues = i > 0 and self._roles[i - 1] in INSIDE and self._joined(i - 1)
        return self._firsts[i - 1] if continues and i - self._firsts[i - 1] < _MAX_WORDS else i

    def _joined(self, i: int) -> bool:
        """Whether a phrase may continue from word i to the next: "a tall , white building", but no other commas."""
        if self._gaps[i] == "," and i + 1 < len(self._words):
            following = self._words[i + 1 : i + 3]
            if following[0] in ("and", "but") and len(following) == 2 and not self._gaps[i + 1]:
                following = following[1:]  # "a white , black , and brown dog"
            is_modifier = may_modify(following[0]) or is_compound_modifier(following[0])
            before = self._words[max(self._firsts[i] - 1, 0)]
            is_predicate = before in lexicon.AUXILIARIES or lexicon.is_contraction(before)  # "it is full, blue mugs"
            is_open = self._words[self._firsts[i]] in lexicon.ARTICLES and following[0] not in _NEW_DETERMINERS
            return self._roles[i] in (Role.MODIFIER, Role.LINK) and (is_modifier or is_open) and not is_predicate
        if self._gaps[i] == ".":
            word = self._words[i]  # "the U.S. army", "J. Smith", "Mrs. Smith"
            return "." in word or len(word) == 1 or word in _TITLES
        if self._gaps[i] in _QUOTES:  # "an 'OK' sign"
            first = self._firsts[i]
            is_open = sum(gap in _QUOTES for gap in self._gaps[first:i]) % 2 == 1
            return is_open or Role.NOUN not in self._roles[first:]
        if self._gaps[i] == "&":  # "a blue & white shirt", but "lids & a base"
            return self._roles[i] is Role.MODIFIER
        return self._gaps[i] in ("", *_APOSTROPHES)

    def _context(self, i: int, first: int) -> Context:
        words, gaps, roles = self._words, self._gaps, self._roles
        gap_before, gap = gaps[i - 1] if i else "", gaps[i]
        # After a possessive the phrase starts over: "a woman 's red purse", "the man's old car".
        ends = (j + 1 for j in range(i - 1, first - 1, -1) if self._is_possessive(j))
        start = next(ends, first)
        return Context(
            word=words[i],
            before=self._before(i),
            next=words[i + 1] if not gap and i + 1 < len(words) else "",
            after_next=words[i + 2] if i + 2 < len(words) and not gap and not gaps[i + 1] else "",
            possessive_s=words[i] == "s" and gap_before in _APOSTROPHES,
            possessive_follows=gap in _APOSTROPHES and words[i + 1 : i + 2] == ["s"] and i + 2 < len(words),
            is_first=i == 0,
            phrase=tuple(words[start:i]),
            determiner=words[start] if start < i and roles[start] is Role.DETERMINER else "",
            last_role=roles[i - 1] if first < i else Role.OUTSIDE,
            has_noun=Role.NOUN in roles[start:i],
            after_and=first > 0 and words[first - 1] == "and",
        )

    def _before(self, i: int) -> str:
        """The word before word i; that of "next to" and "close to" is "near", which no verb follows."""
        if not i or self._gaps[i - 1]:
            return ""
        beside = self._words[i - 1] == "to" and i > 1 and self._words[i - 2] in ("next", "close", "due")
        return "near" if beside else self._words[i - 1]

    def _is_possessive(self, i: int) -> bool:
        """Whether word i, which is in a phrase, is the s of "'s" or ends with "'s"."""
        word, role = self._words[i], self._roles[i]
        return (word == "s" and role is Role.LINK) or (word.endswith(("'s", "’s")) and role is Role.NOUN)

    def _is_phrase(self, first: int, stop: int) -> bool:
        """Whether the words are a phrase, not only determiners and modifiers of nothing."""
        texts, roles = self._words[first:stop], self._roles[first:stop]
        if Role.NOUN in roles or Role.PRONOUN in roles:
            return True
        if Role.MODIFIER in roles:  # "the young", "in black and white"
            before = self._words[first - 1] if first else ""
            is_last = stop == len(self._words) and self._gaps[max(first - 1, 0)] == ","  # "Desk Lamp, black"
            is_worn = before in lexicon.PREPOSITIONS or before in word_lists.TRANSITIVE_ING
            return Role.DETERMINER in roles or (texts[-1] in word_lists.COLOURS and (is_worn or is_last))
        beside = (self._words[max(first - 1, 0)], *self._words[stop : stop + 1])
        counts = texts[-1][0].isdigit() and "of" not in beside  # "2", but "a set of 2", "2 of them"
        return (lexicon.is_pronominal(texts[-1]) and not counts) or texts[-2:] == ["the", "other"]
