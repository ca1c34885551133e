"""Base noun phrases of a caption, read left to right by rules.

Captions are written in a narrow English: present tense, few clauses, many bare participles ("a man wearing a hat rides
a bike"). The hard question is nearly always whether a word is a verb or part of a noun phrase; what stands to its left
in the phrase, agreement in number, and the next word decide it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum

from unboxed.text import lexicon
from unboxed.text.tokens import Word

__all__ = ["base_phrases"]


class _Role(Enum):
    """What a word does in a noun phrase."""

    DETERMINER = "determiner"
    MODIFIER = "modifier"
    NOUN = "noun"
    PRONOUN = "pronoun"
    LINK = "link"  # possessive 's, "and" between colours, "very": inside a phrase, never at its end
    OUTSIDE = "outside"


_INSIDE = (_Role.DETERMINER, _Role.MODIFIER, _Role.NOUN, _Role.LINK)
_TAKES_NOUN = frozenset(
    ("with", "in", "on", "of", "at", "near", "against", "through", "into", "over", "under", "from", "between")
)
_BEFORE_BASE = frozenset(
    (
        "to",
        "can",
        "could",
        "will",
        "would",
        "may",
        "might",
        "must",
        "should",
        "cannot",
        "don't",
        "doesn't",
        "do",
        "does",
        "did",
    )
)
_ADNOUN = frozenset(
    ("back", "front", "top", "side", "inside", "outside", "round", "past", "down", "off", "over", "next", "opposite")
)
_MAX_WORDS = 40  # no phrase is as long; keeps a "caption" of a whole book from taking quadratic time
_NEW_PHRASE = lexicon.ARTICLES | lexicon.POSSESSIVES


def base_phrases(caption: str, found: Sequence[Word]) -> list[tuple[int, int]]:
    """Ranges `[first, stop)` of the words of `caption` that make up its base noun phrases, in reading order."""
    return _Reader(caption, found).phrases()


class _Reader:
    """Gives each word its role, and remembers where the phrase that it belongs to began."""

    def __init__(self, caption: str, found: Sequence[Word]) -> None:
        self._words = [word.text for word in found]
        ends, starts = [word.end for word in found], [word.start for word in found[1:]] + [len(caption)]
        # What stands between word i and the next one, "" for mere spaces.
        self._gaps = [caption[end:start].strip() for end, start in zip(ends, starts, strict=True)]
        self._roles: list[_Role] = []
        self._firsts: list[int] = []

    def phrases(self) -> list[tuple[int, int]]:
        for i, word in enumerate(self._words):
            first = self._look_left(i)
            role = self._role(i, word)
            opens = role not in _INSIDE or (role is _Role.DETERMINER and self._has_noun)
            self._roles.append(role)
            self._firsts.append(i if opens else first)
        found = []
        for first, length in Counter(self._firsts).items():
            stop = first + length
            while stop > first and self._roles[stop - 1] in (_Role.LINK, _Role.OUTSIDE):
                stop -= 1
            if stop > first and self._stands_alone(first, stop):
                found.append((first, stop))
        return found

    def _look_left(self, i: int) -> int:
        """Take in the words of the phrase that word i may continue; returns where that phrase began."""
        continues = i > 0 and self._roles[i - 1] in _INSIDE and self._joined(i - 1)
        continues = continues and i - self._firsts[i - 1] < _MAX_WORDS
        first = self._firsts[i - 1] if continues else i
        # After a possessive 's the phrase starts over: "a woman 's red purse".
        links = [j for j in range(first, i) if self._words[j] == "s" and self._roles[j] is _Role.LINK]
        start = links[-1] + 1 if links else first
        self._phrase = self._words[start:i]
        self._has_noun = _Role.NOUN in self._roles[start:i]
        self._determiner = self._phrase[0] if self._phrase and self._roles[start] is _Role.DETERMINER else ""
        self._last = self._phrase[-1] if self._phrase else ""
        self._last_role = self._roles[i - 1] if continues else _Role.OUTSIDE
        # Words that may stand for a noun: "two", "the other"; what follows them is as likely a verb as a noun.
        self._may_be_whole = bool(self._phrase) and (
            self._phrase == ["the", "other"] or all(map(lexicon.is_pronominal, self._phrase))
        )
        self._after_and = first > 0 and self._words[first - 1] == "and"
        self._before = self._words[i - 1] if i > 0 and not self._gaps[i - 1] else ""
        self._next = self._words[i + 1] if i + 1 < len(self._words) and not self._gaps[i] else ""
        return first

    def _stands_alone(self, first: int, stop: int) -> bool:
        """Is the run of words a phrase, or modifiers and determiners without anything they belong to?"""
        texts, its_roles = self._words[first:stop], self._roles[first:stop]
        if _Role.NOUN in its_roles or _Role.PRONOUN in its_roles:
            return True
        if _Role.MODIFIER in its_roles:  # "the young", "in black and white"
            before = self._words[first - 1] if first else ""
            return _Role.DETERMINER in its_roles or (
                texts[-1] in lexicon.COLOURS and (before in lexicon.PREPOSITIONS or before in lexicon.TRANSITIVE_ING)
            )
        return lexicon.is_pronominal(texts[-1]) or texts[-2:] == ["the", "other"]

    def _joined(self, i: int) -> bool:
        """May a phrase run on from word i to the next?"""
        gap = self._gaps[i]
        if gap in ("", "'", "’"):
            return True
        # "a tall , white building"
        return gap == "," and i + 1 < len(self._words) and self._between_modifiers(i, i + 1)

    def _between_modifiers(self, left: int, right: int) -> bool:
        return self._roles[left] in (_Role.MODIFIER, _Role.LINK) and self._may_modify(self._words[right])

    @staticmethod
    def _may_modify(word: str) -> bool:
        return lexicon.is_adjective(word) or (word in lexicon.ED_FORMS and word not in lexicon.VERBS)

    def _role(self, i: int, word: str) -> _Role:
        if word == "s" and i > 0 and self._gaps[i - 1] in ("'", "’"):
            return _Role.LINK if self._has_noun else _Role.OUTSIDE
        if lexicon.is_numeral(word) and word != "one":
            names_one = self._has_noun and not self._noun_follows() and not lexicon.is_plural(self._last)  # "number 28"
            return _Role.NOUN if names_one else _Role.DETERMINER
        if word in lexicon.PRONOUNS or word in lexicon.DETERMINERS:
            return self._determiner_or_pronoun(i, word)
        if word in lexicon.AUXILIARIES:
            is_container = word == "can" and self._phrase and self._next not in lexicon.VERBS
            return _Role.NOUN if is_container else _Role.OUTSIDE
        if word in lexicon.CONJUNCTIONS:
            return self._conjunction(i, word)
        if word in _ADNOUN and self._last_role in (_Role.DETERMINER, _Role.MODIFIER) and not self._may_be_whole:
            return _Role.MODIFIER if self._noun_follows() else _Role.NOUN
        if word in lexicon.PREPOSITIONS:
            return _Role.OUTSIDE
        if lexicon.is_adverb(word) and not (lexicon.is_adjective(word) and self._noun_follows()):
            return self._adverb()
        if lexicon.is_adjective(word):
            return self._adjective(word)
        if word.endswith("ing") and len(word) > 4:
            return self._ing_form(word)
        if word in lexicon.VERBS:
            return self._base_form(word)
        if word in lexicon.ED_FORMS:
            return self._ed_form(word)
        if word in lexicon.S_FORMS:
            return self._s_form(word)
        return self._unknown(word)

    def _noun_follows(self) -> bool:
        """Does the next word look like more of a noun phrase, not like its end?"""
        word = self._next
        return bool(word) and not (
            word in lexicon.DETERMINERS
            or word in lexicon.PRONOUNS
            or word in lexicon.PREPOSITIONS
            or word in lexicon.CONJUNCTIONS
            or word in lexicon.AUXILIARIES
            or (lexicon.is_adverb(word) and not lexicon.is_adjective(word))
            or (word.endswith("ing") and len(word) > 4 and word not in lexicon.ING_NOUNS)
            or word == "s"
        )

    def _clause_follows(self) -> bool:
        """Does the next word look like what follows a verb: its object's determiner, a preposition, an adverb?"""
        word = self._next
        return (
            word in lexicon.ARTICLES
            or word in lexicon.POSSESSIVES
            or word in lexicon.PRONOUNS
            or word in lexicon.PREPOSITIONS - {"of"}
            or lexicon.is_adverb(word or "-")
            or (word in lexicon.DETERMINERS and word not in ("other", "more"))
        )

    def _determiner_or_pronoun(self, i: int, word: str) -> _Role:
        if word in ("one", "ones", "others") and self._last_role in (_Role.DETERMINER, _Role.MODIFIER):
            return _Role.NOUN
        if word in ("his", "her"):
            return self._his_or_her(word)
        if (word, self._next) in (("one", "another"), ("each", "other")):
            return _Role.DETERMINER
        if word in ("another", "other") and self._before in ("one", "each") and self._last_role is _Role.DETERMINER:
            return _Role.NOUN
        if word == "that" and self._last_role is _Role.NOUN:
            return _Role.PRONOUN
        is_verbal = self._next in lexicon.S_FORMS and word in ("that", "this", "which", "what")
        if word in lexicon.DETERMINERS and (word not in lexicon.PRONOUNS or self._noun_follows()) and not is_verbal:
            return _Role.DETERMINER
        if word in ("much", "more", "most", "enough", "such", "half"):
            return _Role.OUTSIDE
        possessive = i + 2 < len(self._words) and self._gaps[i] in ("'", "’") and self._words[i + 1] == "s"
        return _Role.NOUN if possessive and word not in ("he", "she", "it", "that", "there", "who") else _Role.PRONOUN

    def _his_or_her(self, word: str) -> _Role:
        """ "her dog" against "near her", "his" almost always the former."""
        ends = self._next in lexicon.CONJUNCTIONS | lexicon.AUXILIARIES | lexicon.ARTICLES | {""}
        ends = ends or (self._next in lexicon.PREPOSITIONS and self._next not in _ADNOUN)
        is_object = word == "her" and self._next.endswith("ing") and self._next not in lexicon.ING_NOUNS
        return _Role.PRONOUN if ends or is_object else _Role.DETERMINER

    def _conjunction(self, i: int, word: str) -> _Role:
        joins = (
            word in ("and", "or", "but")
            and i + 1 < len(self._words)
            and self._last_role is _Role.MODIFIER
            and not self._gaps[i]
            and self._between_modifiers(i - 1, i + 1)
        )
        return _Role.LINK if joins else _Role.OUTSIDE

    def _adverb(self) -> _Role:
        strengthens = not self._has_noun and (self._may_modify(self._next or "-") or self._next in lexicon.ED_FORMS)
        return _Role.LINK if strengthens and self._before not in lexicon.AUXILIARIES else _Role.OUTSIDE

    def _adjective(self, word: str) -> _Role:
        if word in lexicon.NOUN_ADJECTIVES and not self._noun_follows():
            return _Role.NOUN
        if not self._has_noun or self._noun_follows() or word in lexicon.COLOURS:
            return _Role.MODIFIER
        return _Role.OUTSIDE

    def _ing_form(self, word: str) -> _Role:
        """ "a smiling man", "a brick building", "a man building a house"."""
        is_noun = word in lexicon.ING_NOUNS
        if not self._phrase:
            if is_noun and self._next not in _NEW_PHRASE and self._before not in lexicon.AUXILIARIES:
                return _Role.NOUN
            starts_phrase = self._before in _TAKES_NOUN or self._before in lexicon.TRANSITIVE_ING or not self._roles
            if starts_phrase and self._noun_follows() and word not in lexicon.TRANSITIVE_ING:
                return _Role.MODIFIER
            return _Role.OUTSIDE
        if not self._has_noun:
            if self._may_be_whole and (word in lexicon.TRANSITIVE_ING or not self._noun_follows()) and not is_noun:
                return _Role.OUTSIDE
            return _Role.MODIFIER if self._noun_follows() and not is_noun else _Role.NOUN
        if is_noun and self._next not in _NEW_PHRASE:
            return _Role.NOUN
        compound = self._next in lexicon.ING_HEADS and word not in lexicon.TRANSITIVE_ING  # "a city parking lot"
        return _Role.MODIFIER if compound else _Role.OUTSIDE

    def _ed_form(self, word: str) -> _Role:
        """ "a crowded street", "a snow covered hill", "a man dressed as a clown"."""
        if not self._noun_follows():
            is_rest = self._phrase and not self._has_noun and not self._may_be_whole  # "the injured"
            return _Role.NOUN if is_rest else _Role.OUTSIDE
        if self._has_noun:
            return _Role.OUTSIDE if word in lexicon.IRREGULAR_PAST else _Role.MODIFIER
        if not self._phrase and (self._before in lexicon.AUXILIARIES or self._before in lexicon.PRONOUNS):
            return _Role.OUTSIDE
        return _Role.MODIFIER

    def _s_form(self, word: str) -> _Role:
        """ "a man walks", "two dance moves", "holding drinks"."""
        if self._has_noun:
            counted = self._determiner in lexicon.PLURAL_DETERMINERS and not lexicon.is_plural(self._last)
            return _Role.NOUN if counted else _Role.OUTSIDE
        if self._phrase:
            is_colour = all(word in lexicon.COLOURS for word in self._phrase)  # "a man in red rides a bike"
            is_verb = self._last in ("one", "another", "each", "other") or (is_colour and self._clause_follows())
            return _Role.OUTSIDE if is_verb else _Role.NOUN
        if self._before in lexicon.PRONOUNS:
            return _Role.OUTSIDE
        after_join = self._before in lexicon.CONJUNCTIONS or lexicon.is_adverb(self._before or "-") or not self._before
        return _Role.OUTSIDE if after_join and self._roles and self._clause_follows() else _Role.NOUN

    def _base_form(self, word: str) -> _Role:
        """ "two men walk", "a skate park", "taking a walk"."""
        if self._has_noun:
            if self._next in _NEW_PHRASE:
                return _Role.OUTSIDE
            several = lexicon.is_plural(self._last) or (
                self._after_and and self._clause_follows()
            )  # "he and a boy sit"
            return _Role.OUTSIDE if several else _Role.NOUN
        if self._phrase:
            is_verb = self._may_be_whole and self._clause_follows()
            return _Role.OUTSIDE if is_verb else _Role.NOUN
        if self._before in _BEFORE_BASE or self._before in lexicon.PRONOUNS:
            return _Role.OUTSIDE
        after_join = self._before in lexicon.CONJUNCTIONS or lexicon.is_adverb(self._before or "-") or not self._before
        return _Role.OUTSIDE if after_join and self._clause_follows() else _Role.NOUN

    def _unknown(self, word: str) -> _Role:
        """A noun, unless it stands where only a verb can: "a skier slaloms down", "women crochet a blanket"."""
        if not self._has_noun:
            return _Role.OUTSIDE if self._before == "to" and self._next in _NEW_PHRASE else _Role.NOUN
        singular = self._determiner in lexicon.SINGULAR_DETERMINERS and not lexicon.is_plural(self._last)
        if singular and word not in lexicon.PLURALS and lexicon.is_plural(word) and not self._noun_follows():
            return _Role.OUTSIDE
        return _Role.OUTSIDE if self._next in lexicon.ARTICLES else _Role.NOUN
