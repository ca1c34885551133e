"""Base noun phrases of a caption, found by rules from left to right.

Captions are written in a narrow English: present tense, few clauses, many bare participles ("a man wearing a hat rides
a bike"). The difficult decision is nearly always whether a word is a verb or a part of a noun phrase. The rules decide
it from the words to its left in the phrase, the agreement in number, and the next word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from unboxed.text import lexicon
from unboxed.text.lexicon import word_set
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
_APOSTROPHES = ("'", "’")
_BEFORE_NOUN = word_set("with in on of at near against through into over under from between")
_BEFORE_BASE_FORM = word_set("to can could will would may might must should cannot don't doesn't do does did")
_MODIFIER_PREPOSITIONS = word_set("back front top side inside outside round past down off over next opposite")
_MAX_WORDS = 40  # no phrase is longer; the limit keeps the time linear for a "caption" of a whole book
_NEW_PHRASE = lexicon.ARTICLES | lexicon.POSSESSIVES
_AFTER_PRONOUN = lexicon.CONJUNCTIONS | lexicon.AUXILIARIES | lexicon.ARTICLES | {""}


class _Context(NamedTuple):
    """A word and its surroundings.

    Attributes:
        word: the lower-cased word.
        before, next: the words beside it; "" where there is none, or punctuation between.
        possessive_s: it is the s of "'s".
        possessive_follows: "'s" and another word follow.
        is_first: it is the first word of the caption.
        phrase: the words to its left that form a phrase with it if it belongs to one; after a possessive, only those
            behind it.
        determiner: the first of these, if it is a determiner.
        last_role: the role of the last of these, OUTSIDE without any.
        has_noun: one of these is a noun.
        after_and: the phrase stands after "and".
    """

    word: str
    before: str
    next: str
    possessive_s: bool
    possessive_follows: bool
    is_first: bool
    phrase: tuple[str, ...]
    determiner: str
    last_role: _Role
    has_noun: bool
    after_and: bool

    @property
    def last(self) -> str:
        """The last word of the phrase."""
        return self.phrase[-1] if self.phrase else ""

    @property
    def may_be_complete(self) -> bool:
        """Whether the phrase may stand for a noun, like "two" or "the other": a verb may follow as well as a noun."""
        return bool(self.phrase) and (self.phrase == ("the", "other") or all(map(lexicon.is_pronominal, self.phrase)))

    @property
    def after_join(self) -> bool:
        """Whether it stands after a conjunction, an adverb, punctuation or nothing."""
        return not self.before or self.before in lexicon.CONJUNCTIONS or lexicon.is_adverb(self.before)

    @property
    def noun_follows(self) -> bool:
        """Whether the next word looks like more of a noun phrase."""
        word = self.next
        return bool(word) and not (
            word in lexicon.DETERMINERS
            or word in lexicon.PRONOUNS
            or word in lexicon.PREPOSITIONS
            or word in lexicon.CONJUNCTIONS
            or word in lexicon.AUXILIARIES
            or (lexicon.is_adverb(word) and not lexicon.is_adjective(word))
            or (_is_ing_form(word) and word not in lexicon.ING_NOUNS)
            or word == "s"
        )

    @property
    def clause_follows(self) -> bool:
        """Whether the next word looks like what follows a verb: a determiner, a preposition, an adverb."""
        word = self.next
        return (
            word in _NEW_PHRASE
            or word in lexicon.PRONOUNS
            or (word in lexicon.PREPOSITIONS and word != "of")
            or lexicon.is_adverb(word)
            or (word in lexicon.DETERMINERS and word not in ("other", "more"))
        )


def base_phrases(caption: str, found: Sequence[Word]) -> list[tuple[int, int]]:
    """Ranges `[first, stop)` of the words that make up the base noun phrases of a caption, in reading order.

    Args:
        caption: the text.
        found: its words.
    """
    return _Chunker(caption, found).phrases()


class _Chunker:
    """Gives each word a role, and the number of the word that begins its phrase."""

    def __init__(self, caption: str, found: Sequence[Word]) -> None:
        self._words = [word.text for word in found]
        ends, starts = [word.end for word in found], [word.start for word in found[1:]] + [len(caption)]
        # The text between word i and the next one, "" for spaces alone.
        self._gaps = [caption[end:start].strip() for end, start in zip(ends, starts, strict=True)]
        self._roles: list[_Role] = []
        self._firsts: list[int] = []

    def phrases(self) -> list[tuple[int, int]]:
        for i in range(len(self._words)):
            first = self._first_of_phrase(i)
            context = self._context(i, first)
            role = _role(context)
            opens = role not in _INSIDE or (role is _Role.DETERMINER and context.has_noun)
            self._roles.append(role)
            self._firsts.append(i if opens else first)
        found = []
        for first, length in Counter(self._firsts).items():
            stop = first + length
            while stop > first and self._roles[stop - 1] in (_Role.LINK, _Role.OUTSIDE):
                stop -= 1
            if stop > first and self._is_phrase(first, stop):
                found.append((first, stop))
        return found

    def _first_of_phrase(self, i: int) -> int:
        """Where the phrase begins that word i continues; i where it cannot continue one."""
        continues = i > 0 and self._roles[i - 1] in _INSIDE and self._joined(i - 1)
        return self._firsts[i - 1] if continues and i - self._firsts[i - 1] < _MAX_WORDS else i

    def _joined(self, i: int) -> bool:
        """Whether a phrase may continue from word i to the next: "a tall , white building", but no other commas."""
        if self._gaps[i] == "," and i + 1 < len(self._words):
            return self._roles[i] in (_Role.MODIFIER, _Role.LINK) and _may_modify(self._words[i + 1])
        return self._gaps[i] in ("", *_APOSTROPHES)

    def _context(self, i: int, first: int) -> _Context:
        words, gaps, roles = self._words, self._gaps, self._roles
        start = first
        if "s" in words[first:i]:  # after a possessive 's the phrase starts over: "a woman 's red purse"
            start = max((j + 1 for j in range(first, i) if words[j] == "s" and roles[j] is _Role.LINK), default=first)
        gap_before, gap = gaps[i - 1] if i else "", gaps[i]
        return _Context(
            word=words[i],
            before=words[i - 1] if i and not gap_before else "",
            next=words[i + 1] if not gap and i + 1 < len(words) else "",
            possessive_s=words[i] == "s" and gap_before in _APOSTROPHES,
            possessive_follows=gap in _APOSTROPHES and words[i + 1 : i + 2] == ["s"] and i + 2 < len(words),
            is_first=i == 0,
            phrase=tuple(words[start:i]),
            determiner=words[start] if start < i and roles[start] is _Role.DETERMINER else "",
            last_role=roles[i - 1] if first < i else _Role.OUTSIDE,
            has_noun=_Role.NOUN in roles[start:i],
            after_and=first > 0 and words[first - 1] == "and",
        )

    def _is_phrase(self, first: int, stop: int) -> bool:
        """Whether the words are a phrase, not only determiners and modifiers of nothing."""
        texts, roles = self._words[first:stop], self._roles[first:stop]
        if _Role.NOUN in roles or _Role.PRONOUN in roles:
            return True
        if _Role.MODIFIER in roles:  # "the young", "in black and white"
            before = self._words[first - 1] if first else ""
            return _Role.DETERMINER in roles or (
                texts[-1] in lexicon.COLOURS and (before in lexicon.PREPOSITIONS or before in lexicon.TRANSITIVE_ING)
            )
        return lexicon.is_pronominal(texts[-1]) or texts[-2:] == ["the", "other"]


def _may_modify(word: str) -> bool:
    return lexicon.is_adjective(word) or (lexicon.is_past_form(word) and word not in lexicon.VERBS)


def _is_ing_form(word: str) -> bool:
    return word.endswith("ing") and len(word) > 4


def _role(at: _Context) -> _Role:
    """The role that the first rule for the word gives it; a rule may pass, with None."""
    for rule in _rules(at.word):
        if (role := rule(at)) is not None:
            return role
    return _noun_or_verb(at)


def _possessive(at: _Context) -> _Role | None:
    if not at.possessive_s:
        return None
    return _Role.LINK if at.has_noun else _Role.OUTSIDE


def _numeral(at: _Context) -> _Role:
    is_name = at.has_noun and not at.noun_follows and not lexicon.is_plural(at.last)  # "number 28"
    return _Role.NOUN if is_name else _Role.DETERMINER


def _his_or_her(at: _Context) -> _Role:
    """ "her dog" against "near her", "his" almost always the former."""
    is_preposition = at.next in lexicon.PREPOSITIONS and at.next not in _MODIFIER_PREPOSITIONS
    is_object = at.word == "her" and at.next.endswith("ing") and at.next not in lexicon.ING_NOUNS
    return _Role.PRONOUN if at.next in _AFTER_PRONOUN or is_preposition or is_object else _Role.DETERMINER


def _pronoun_or_determiner(at: _Context) -> _Role:
    word = at.word
    if word in ("one", "ones", "others") and at.last_role in (_Role.DETERMINER, _Role.MODIFIER):
        return _Role.NOUN
    if (word, at.next) in (("one", "another"), ("each", "other")):
        return _Role.DETERMINER
    if word in ("another", "other") and at.before in ("one", "each") and at.last_role is _Role.DETERMINER:
        return _Role.NOUN
    if word == "that" and at.last_role is _Role.NOUN:
        return _Role.PRONOUN
    return _determiner(at) or _pronoun(at)


def _determiner(at: _Context) -> _Role | None:
    is_subject = at.next in lexicon.S_FORMS and at.word in ("that", "this", "which", "what")
    precedes_noun = at.word not in lexicon.PRONOUNS or at.noun_follows
    return _Role.DETERMINER if at.word in lexicon.DETERMINERS and precedes_noun and not is_subject else None


def _pronoun(at: _Context) -> _Role:
    if at.word in ("much", "more", "most", "enough", "such", "half"):
        return _Role.OUTSIDE
    owns = at.possessive_follows and at.word not in ("he", "she", "it", "that", "there", "who")  # "someone 's dog"
    return _Role.NOUN if owns else _Role.PRONOUN


def _auxiliary(at: _Context) -> _Role:
    is_container = at.word == "can" and at.phrase and at.next not in lexicon.VERBS  # "a trash can"
    return _Role.NOUN if is_container else _Role.OUTSIDE


def _conjunction(at: _Context) -> _Role:
    """ "a black and white dog" against "a dog and a cat"."""
    joins_modifiers = at.word in ("and", "or", "but") and at.last_role is _Role.MODIFIER and _may_modify(at.next)
    return _Role.LINK if joins_modifiers else _Role.OUTSIDE


def _preposition(at: _Context) -> _Role | None:
    """ "the back door" and "the back" against "back to the door"."""
    if (
        at.word in _MODIFIER_PREPOSITIONS
        and at.last_role in (_Role.DETERMINER, _Role.MODIFIER)
        and not at.may_be_complete
    ):
        return _Role.MODIFIER if at.noun_follows else _Role.NOUN
    return _Role.OUTSIDE if at.word in lexicon.PREPOSITIONS else None


def _adverb(at: _Context) -> _Role | None:
    """ "a very old man" against "a man is very old"."""
    if lexicon.is_adjective(at.word) and at.noun_follows:
        return None
    strengthens = not at.has_noun and (_may_modify(at.next) or lexicon.is_past_form(at.next))
    return _Role.LINK if strengthens and at.before not in lexicon.AUXILIARIES else _Role.OUTSIDE


def _adjective(at: _Context) -> _Role:
    if at.word in lexicon.NOUN_ADJECTIVES and not at.noun_follows:
        return _Role.NOUN
    if not at.has_noun or at.noun_follows or at.word in lexicon.COLOURS:
        return _Role.MODIFIER
    return _Role.OUTSIDE


def _ing_form(at: _Context) -> _Role:
    """ "a smiling man", "a brick building", "a man building a house"."""
    is_noun = at.word in lexicon.ING_NOUNS
    if not at.phrase:
        return _bare_ing_form(at, is_noun)
    if not at.has_noun:
        is_verb = at.may_be_complete and (at.word in lexicon.TRANSITIVE_ING or not at.noun_follows)
        if is_verb and not is_noun:
            return _Role.OUTSIDE
        return _Role.MODIFIER if at.noun_follows and not is_noun else _Role.NOUN
    if is_noun and at.next not in _NEW_PHRASE:
        return _Role.NOUN
    is_compound = at.next in lexicon.ING_HEADS and at.word not in lexicon.TRANSITIVE_ING  # "a city parking lot"
    return _Role.MODIFIER if is_compound else _Role.OUTSIDE


def _bare_ing_form(at: _Context, is_noun: bool) -> _Role:
    if is_noun and at.next not in _NEW_PHRASE and at.before not in lexicon.AUXILIARIES:
        return _Role.NOUN
    starts_phrase = at.before in _BEFORE_NOUN or at.before in lexicon.TRANSITIVE_ING or at.is_first
    modifies = starts_phrase and at.noun_follows and at.word not in lexicon.TRANSITIVE_ING
    return _Role.MODIFIER if modifies else _Role.OUTSIDE


def _base_form(at: _Context) -> _Role:
    """ "two men walk", "a skate park", "taking a walk"."""
    if at.has_noun:
        several = lexicon.is_plural(at.last) or (at.after_and and at.clause_follows)  # "he and a boy sit"
        return _Role.OUTSIDE if at.next in _NEW_PHRASE or several else _Role.NOUN
    if at.phrase:
        return _Role.OUTSIDE if at.may_be_complete and at.clause_follows else _Role.NOUN
    if at.before in _BEFORE_BASE_FORM or at.before in lexicon.PRONOUNS:
        return _Role.OUTSIDE
    return _Role.OUTSIDE if at.after_join and at.clause_follows else _Role.NOUN


def _past_form(at: _Context) -> _Role:
    """ "a crowded street", "a snow covered hill", "a man dressed as a clown"."""
    if not at.noun_follows:
        is_head = at.phrase and not at.has_noun and not at.may_be_complete  # "the injured"
        return _Role.NOUN if is_head else _Role.OUTSIDE
    if at.has_noun:
        return _Role.OUTSIDE if at.word in lexicon.IRREGULAR_PAST else _Role.MODIFIER
    is_verb = not at.phrase and (at.before in lexicon.AUXILIARIES or at.before in lexicon.PRONOUNS)
    return _Role.OUTSIDE if is_verb else _Role.MODIFIER


def _s_form(at: _Context) -> _Role:
    """ "a man walks", "two dance moves", "holding drinks"."""
    if at.has_noun:
        is_counted = at.determiner in lexicon.PLURAL_DETERMINERS and not lexicon.is_plural(at.last)
        return _Role.NOUN if is_counted else _Role.OUTSIDE
    if at.phrase:
        is_colour = all(word in lexicon.COLOURS for word in at.phrase)  # "a man in red rides a bike"
        is_verb = at.last in ("one", "another", "each", "other") or (is_colour and at.clause_follows)
        return _Role.OUTSIDE if is_verb else _Role.NOUN
    if at.before in lexicon.PRONOUNS:
        return _Role.OUTSIDE
    return _Role.OUTSIDE if at.after_join and not at.is_first and at.clause_follows else _Role.NOUN


def _noun_or_verb(at: _Context) -> _Role:
    """A noun, unless it stands where only a verb can: "a skier slaloms down", "women crochet a blanket"."""
    if not at.has_noun:
        return _Role.OUTSIDE if at.before == "to" and at.next in _NEW_PHRASE else _Role.NOUN
    singular = at.determiner in lexicon.SINGULAR_DETERMINERS and not lexicon.is_plural(at.last)
    if singular and at.word not in lexicon.PLURALS and lexicon.is_plural(at.word) and not at.noun_follows:
        return _Role.OUTSIDE
    return _Role.OUTSIDE if at.next in lexicon.ARTICLES else _Role.NOUN


_Rule = Callable[[_Context], _Role | None]

_RULES: tuple[tuple[Callable[[str], bool], _Rule], ...] = (
    (lambda word: word == "s", _possessive),
    (lambda word: lexicon.is_numeral(word) and word != "one", _numeral),
    (lambda word: word in ("his", "her"), _his_or_her),
    (lambda word: word in lexicon.PRONOUNS or word in lexicon.DETERMINERS, _pronoun_or_determiner),
    (lambda word: word in lexicon.AUXILIARIES, _auxiliary),
    (lambda word: word in lexicon.CONJUNCTIONS, _conjunction),
    (lambda word: word in lexicon.PREPOSITIONS or word in _MODIFIER_PREPOSITIONS, _preposition),
    (lexicon.is_adverb, _adverb),
    (lexicon.is_adjective, _adjective),
    (_is_ing_form, _ing_form),
    (lambda word: word in lexicon.VERBS, _base_form),
    (lexicon.is_past_form, _past_form),
    (lambda word: word in lexicon.S_FORMS, _s_form),
)
"""The words that a rule is for, and the rule; in the order in which they are tried."""


@lru_cache(maxsize=2**16)
def _rules(word: str) -> tuple[_Rule, ...]:
    return tuple(rule for is_for, rule in _RULES if is_for(word))
