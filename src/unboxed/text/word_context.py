"""A word of a caption with what stands beside it, as the rules of the chunker see it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from unboxed.text import lexicon, word_lists

__all__ = [
    "INSIDE",
    "NEW_PHRASE",
    "Context",
    "Role",
    "begins_noun",
    "is_compound_modifier",
    "is_ing_form",
    "may_modify",
]


class Role(Enum):
    """What a word does in a noun phrase."""

    DETERMINER = "determiner"
    MODIFIER = "modifier"
    NOUN = "noun"
    PRONOUN = "pronoun"
    LINK = "link"  # possessive 's, "and" between colours, "very": inside a phrase, never at its end
    OUTSIDE = "outside"


INSIDE = (Role.DETERMINER, Role.MODIFIER, Role.NOUN, Role.LINK)
NEW_PHRASE = lexicon.ARTICLES | lexicon.POSSESSIVES
_OBJECTS = word_lists.word_set("him them it me us himself herself themselves each another someone something this these")


class Context(NamedTuple):
    """A word and its surroundings.

    Attributes:
        word: the lower-cased word.
        before, next, after_next: the words beside it; "" where there is none, or punctuation between.
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
    after_next: str
    possessive_s: bool
    possessive_follows: bool
    is_first: bool
    phrase: tuple[str, ...]
    determiner: str
    last_role: Role
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
    def is_colour(self) -> bool:
        """Whether the phrase is only a colour, which may be all that someone is dressed in: "a man in red rides"."""
        colours = [word for word in self.phrase if word in word_lists.COLOURS]
        return bool(colours) and set(self.phrase) <= {*colours, "all", "and"}

    @property
    def after_possessive(self) -> bool:
        """Whether it is the first word behind a possessive: "a child's coloring book"."""
        return not self.phrase and self.last_role is not Role.OUTSIDE

    @property
    def after_join(self) -> bool:
        """Whether it stands after a conjunction, an adverb, punctuation or nothing."""
        return not self.before or self.before in lexicon.CONJUNCTIONS or lexicon.is_adverb(self.before)

    @property
    def after_verb(self) -> bool:
        """Whether it is a verb by the word before it: "to", "is", "they"."""
        is_auxiliary = self.before in lexicon.AUXILIARIES or self.before in ("to", "get", "gets", "getting", "just")
        return not self.phrase and (is_auxiliary or self.before in lexicon.PRONOUNS)

    @property
    def noun_follows(self) -> bool:
        """Whether the next word looks like more of a noun phrase."""
        return begins_noun(self.next)

    @property
    def object_follows(self) -> bool:
        """Whether the next word can only be the object of a verb: "a", "their", "him"."""
        return self.next in NEW_PHRASE or self.next in _OBJECTS

    @property
    def clause_follows(self) -> bool:
        """Whether the next word looks like what follows a verb: a determiner, a preposition, an adverb."""
        word = self.next
        return (
            word in NEW_PHRASE
            or word in lexicon.PRONOUNS
            or (word in lexicon.PREPOSITIONS and word != "of")
            or lexicon.is_adverb(word)
            or word == "outdoors"
            or (word in lexicon.DETERMINERS and word not in ("other", "more"))
        )


def begins_noun(word: str) -> bool:
    """Whether a word may go on a noun phrase, by itself: a noun or an adjective, no determiner and no -ing form."""
    return bool(word) and not (
        word in lexicon.DETERMINERS
        or word in lexicon.PRONOUNS
        or word in lexicon.PREPOSITIONS
        or word in lexicon.CONJUNCTIONS
        or word in lexicon.AUXILIARIES
        or (lexicon.is_adverb(word) and not lexicon.is_adjective(word))
        or (is_ing_form(word) and word not in word_lists.ING_NOUNS)
        or word == "s"
    )


def may_modify(word: str) -> bool:
    """Whether a word may be joined to an adjective: "a tall , white building", "a short , long-haired man"."""
    return lexicon.is_adjective(word) or (lexicon.is_past_form(word) and word not in word_lists.VERBS)


def is_compound_modifier(word: str) -> bool:
    """Whether a word has a hyphen and ends like an adjective: "long-haired", "blue-eyed", "cone-shaped"."""
    return "-" in word and word.endswith(("ed", "ing", "style", "length", "sleeve", "old", "hair", "free", "like"))


def is_ing_form(word: str) -> bool:
    """Whether a word ends in -ing, a participle or a noun."""
    return word.endswith("ing") and len(word) > 4
