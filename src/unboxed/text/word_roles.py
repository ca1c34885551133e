"""The role of a word in a noun phrase, by rules on the words beside it.

Captions are written in a narrow English: present tense, few clauses, many bare participles ("a man wearing a hat rides
a bike"). The difficult decision is nearly always whether a word is a verb or a part of a noun phrase. The rules decide
it from the words to its left in the phrase, the agreement in number, and the next word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from unboxed.text import lexicon, word_lists
from unboxed.text.compounds import compound_role
from unboxed.text.word_context import NEW_PHRASE, Context, Role, is_ing_form, may_modify
from unboxed.text.word_lists import word_set

__all__ = ["role_of"]


_BEFORE_NOUN = word_set("with in on of at near against through into over under from between")
_BEFORE_PARTICIPLE = word_set("is are was were be been being get gets getting got just")
_BEFORE_BASE_FORM = word_set("to can could will would may might must should cannot don't doesn't do does did")
_MODIFIER_PREPOSITIONS = word_set("back front top side inside outside round past down off over next opposite")
_DEGREES = ("very", "extremely", "really", "highly", "rather", "fairly")
_SUBJECTS = ("i", "he", "she", "we", "they", "who")
_BEFORE_ANY = lexicon.ARTICLES | {"upside"}  # "a downhill course", "an upside down bicycle"
_HAVE = ("has", "have", "had", "having")
_POSTURES = ("stand", "dance", "look", "march", "work", "fight", "cheer", "run", "jump", "rest")
_OF_CLOTHES = ("tie", "model", "shop", "bike")  # "a suit tie", "a hat shop"
_NAMED = ("called", "named", "titled")
_OF_SIZE = ("sized", "colored", "coloured", "shaped", "themed")
_COMPASS = ("north", "south", "east", "west")
_PAIRED = word_lists.COLOURS | {"male", "female", "left", "right", "arts", "crafts"}
_PARTICIPLE_ENDINGS = ("en", "rn", "wn", "clad")
_ONE = lexicon.SINGULAR_DETERMINERS | {"the"}
_WITH = ("with", "in", "and", "or", "of")
_AFTER_PRONOUN = lexicon.CONJUNCTIONS | lexicon.AUXILIARIES | lexicon.ARTICLES | {""}


def role_of(at: Context) -> Role:
    """The role that the first rule for the word gives it; a rule may pass, with None."""
    if (role := compound_role(at)) is not None:
        return role
    for rule in _rules(at.word):
        if (role := rule(at)) is not None:
            return role
    return _noun_or_verb(at)


def _possessive(at: Context) -> Role | None:
    if not at.possessive_s or not at.phrase:
        return Role.OUTSIDE if at.possessive_s else None
    is_last = not at.next or (lexicon.is_numeral(at.last) and not at.noun_follows)  # "McDonald's", "in his 20 's"
    return Role.NOUN if is_last else Role.LINK


def _numeral(at: Context) -> Role:
    digits = at.word[0].isdigit()
    if at.has_noun and not lexicon.is_plural(at.last) and (digits or at.last == "number" or not at.noun_follows):
        return Role.NOUN  # "number 28", "the London 2012 games"
    is_decade = digits and at.word.endswith("s") and not at.noun_follows  # "in the 1960s"
    return Role.NOUN if is_decade else Role.DETERMINER


def _his_or_her(at: Context) -> Role:
    """ "her dog" against "near her", "his" almost always the former."""
    is_preposition = at.next in lexicon.PREPOSITIONS and at.next not in _MODIFIER_PREPOSITIONS
    verb_follows = is_ing_form(at.next) or at.next in word_lists.VERB_S_FORMS
    is_object = at.word == "her" and verb_follows and at.next not in word_lists.ING_NOUNS
    stands_alone = at.next in _AFTER_PRONOUN and at.next != "or"  # "his or her head"
    return Role.PRONOUN if stands_alone or is_preposition or is_object else Role.DETERMINER


def _pronoun_or_determiner(at: Context) -> Role:
    word = at.word
    if word == "mine" and at.last_role in (Role.NOUN, Role.DETERMINER):  # "a coal mine"
        return Role.NOUN
    if word in ("us", "i") and at.last_role is Role.DETERMINER:  # "a us flag", "an i beam"
        return Role.NOUN
    is_last = at.last_role is Role.NOUN and at.determiner in lexicon.ARTICLES and not lexicon.is_plural(at.last)
    if word in ("one", "ones", "others") and (at.last_role in (Role.DETERMINER, Role.MODIFIER) or is_last):
        return Role.NOUN  # "the other one", "the middle one"
    if (word, at.next) in (("one", "another"), ("each", "other")):
        return Role.DETERMINER
    if word in ("another", "other") and at.before in ("one", "each") and at.last_role is Role.DETERMINER:
        return Role.NOUN
    if word == "that" and at.last_role is Role.NOUN:
        has_subject = at.next in lexicon.PRONOUNS or at.next in lexicon.DETERMINERS  # "a fish that he caught"
        return Role.OUTSIDE if has_subject else Role.PRONOUN
    if word in ("least", "most") and at.before == "at" and lexicon.is_numeral(at.next):
        return Role.DETERMINER
    if word == "that" and at.before and at.next and not at.noun_follows:  # "decides that the guitar is his"
        return Role.OUTSIDE
    if word in ("all", "both", "each", "either") and _is_floating(at):
        return Role.OUTSIDE
    return _determiner(at) or _pronoun(at)


def _is_floating(at: Context) -> bool:
    """ "they are all running", "trees all around", "either a dog or a cat"."""
    if at.word == "either":
        return at.next in NEW_PHRASE or is_ing_form(at.next)
    if at.has_noun and at.next in lexicon.PREPOSITIONS and at.next != "of":
        return True
    verb_follows = at.next in word_lists.RARELY_NOUNS or lexicon.is_past_form(at.next)
    return (at.before in lexicon.AUXILIARIES and at.word != "each") or (verb_follows and at.has_noun)


def _determiner(at: Context) -> Role | None:
    is_subject = at.next in word_lists.S_FORMS and at.word in ("that", "this", "which", "what")
    counted = at.word in ("these", "those") and lexicon.is_numeral(at.next)  # "these two dogs"
    precedes_noun = at.word not in lexicon.PRONOUNS or at.noun_follows or counted
    return Role.DETERMINER if at.word in lexicon.DETERMINERS and precedes_noun and not is_subject else None


def _pronoun(at: Context) -> Role:
    if at.word in ("much", "more", "most", "enough", "such", "half"):
        return Role.OUTSIDE
    owns = at.possessive_follows and at.word not in ("he", "she", "it", "that", "there", "who")  # "someone 's dog"
    return Role.NOUN if owns else Role.PRONOUN


def _auxiliary(at: Context) -> Role:
    if at.word in ("it's", "it’s") and at.before in lexicon.PREPOSITIONS and at.noun_follows:  # "with it's tail"
        return Role.DETERMINER
    is_container = at.word == "can" and at.phrase and at.next not in word_lists.VERBS  # "a trash can"
    return Role.NOUN if is_container else Role.OUTSIDE


def _contraction(at: Context) -> Role:
    """ "that's", "they're"."""
    return Role.OUTSIDE


def _conjunction(at: Context) -> Role:
    """ "a black and white dog" against "a dog and a cat"."""
    joins = (
        (at.last in _PAIRED and at.next in _PAIRED)
        or (at.word in ("and", "or", "but") and at.last_role is Role.MODIFIER and may_modify(at.next))
        or (at.word == "or" and _are_alternatives(at))
    )
    return Role.LINK if joins else Role.OUTSIDE


def _are_alternatives(at: Context) -> bool:
    """ "a river or lake", "his or her head", "two or three fingers"."""
    kinds = (lexicon.POSSESSIVES.__contains__, lexicon.is_numeral)
    return (at.has_noun and at.noun_follows) or any(is_kind(at.last) and is_kind(at.next) for is_kind in kinds)


def _outdoors(at: Context) -> Role:
    """A scene of its own: "a woman reads [outdoors]"."""
    return Role.MODIFIER if at.phrase and not at.has_noun and at.noun_follows else Role.PRONOUN


def _preposition(at: Context) -> Role | None:
    """ "the back door" and "the back" against "back to the door"."""
    if at.word == "round" and not at.phrase and at.noun_follows and at.before in (*_WITH, ""):
        return Role.MODIFIER  # "with round neck"
    if at.word == "front" and at.last_role is Role.NOUN and not at.noun_follows:  # "a shop front"
        return Role.NOUN
    at_least = (at.word, at.next) in (("at", "least"), ("at", "most")) and lexicon.is_numeral(at.after_next)
    if at_least or (at.word == "about" and lexicon.is_numeral(at.next)):  # "at least two men", "about 20 people"
        return Role.DETERMINER
    is_inside = at.last_role in (Role.DETERMINER, Role.MODIFIER) or at.after_possessive
    if at.is_colour and at.word in lexicon.PREPOSITIONS:  # "a man in green next to a tree"
        return Role.OUTSIDE
    if (at.word in _MODIFIER_PREPOSITIONS and is_inside and not at.may_be_complete) or at.last in _BEFORE_ANY:
        modifies = at.noun_follows and at.next not in word_lists.VERB_S_FORMS  # "the side shows a truck"
        return Role.MODIFIER if modifies else Role.NOUN
    return Role.OUTSIDE if at.word in lexicon.PREPOSITIONS else None


def _adverb(at: Context) -> Role | None:
    """ "a very old man" against "a man is very old"."""
    if at.last_role is Role.DETERMINER and at.noun_follows and at.word in ("fast", "hard", "still"):  # "a still lake"
        return Role.MODIFIER
    if at.word == "still" and at.last in lexicon.ARTICLES and at.next in lexicon.PREPOSITIONS:  # "a still from a film"
        return Role.NOUN
    if lexicon.is_adjective(at.word) and at.noun_follows and at.next not in word_lists.ACTIVITIES:
        return None
    if at.last in NEW_PHRASE or (at.word in _DEGREES and at.last_role is Role.DETERMINER and at.noun_follows):
        return Role.LINK  # "a very futuristic setting", "a fast moving swing"
    if at.word == "only" and (at.next in NEW_PHRASE or lexicon.is_numeral(at.next)):  # "only one hand"
        return Role.DETERMINER
    if at.word == "only" and at.noun_follows and at.before in (*_BEFORE_NOUN, "wearing"):  # "in only shorts"
        return Role.MODIFIER
    strengthens = not at.has_noun and (may_modify(at.next) or lexicon.is_past_form(at.next))
    return Role.LINK if strengthens and at.before not in lexicon.AUXILIARIES else Role.OUTSIDE


def _adjective(at: Context) -> Role:
    """ "a clean floor" against "to clean a floor"."""
    if at.before in _BEFORE_BASE_FORM and not at.phrase and at.word in word_lists.VERBS and at.next in NEW_PHRASE:
        return Role.OUTSIDE
    if at.word in word_lists.VERBS and at.has_noun and lexicon.is_plural(at.last) and not at.noun_follows:
        return Role.OUTSIDE  # "fireworks light up the sky"
    if at.word in ("wide", "left", "right") and at.last_role is Role.NOUN:
        return Role.OUTSIDE  # "his mouth wide open", "a boat right next to a ship"
    is_described = lexicon.is_past_form(at.next) and at.after_next in lexicon.PREPOSITIONS  # "a female dressed in red"
    acts = at.determiner in _ONE and (at.next in word_lists.VERB_S_FORMS or is_described)
    if at.word in word_lists.NOUN_ADJECTIVES and (acts or not at.noun_follows):  # "a female", "a female looks on"
        return Role.NOUN
    if not at.has_noun or at.noun_follows or at.word in word_lists.COLOURS:
        return Role.MODIFIER
    return Role.OUTSIDE


def _ing_form(at: Context) -> Role:
    """ "a smiling man", "a brick building", "a man building a house"."""
    is_noun = at.word in word_lists.ING_NOUNS
    if not at.phrase:
        return _bare_ing_form(at, is_noun)
    if not at.has_noun:
        may_end = at.may_be_complete or (at.is_colour and at.next not in word_lists.ING_HEADS)
        is_verb = may_end and (at.word in word_lists.TRANSITIVE_ING or not at.noun_follows)
        if is_verb and not is_noun:
            return Role.OUTSIDE
        return Role.MODIFIER if at.noun_follows and not is_noun else Role.NOUN
    acts = lexicon.is_plural(at.last) or word_lists.is_alive(at.last)
    if at.word == "looking" and at.noun_follows and at.determiner and not acts and not lexicon.is_adjective(at.next):
        return Role.MODIFIER  # "an odd looking vehicle"
    if at.word in word_lists.AMBIGUOUS_ING and at.next not in word_lists.ING_HEADS:
        moves = at.last in word_lists.VEHICLES or at.last in word_lists.CLOTHES  # "a plane landing", "a hat painting"
        if acts or moves or at.noun_follows:
            return Role.OUTSIDE
    if is_noun and not at.object_follows:
        return Role.NOUN
    is_compound = (  # "a city parking lot"
        at.next in word_lists.ING_HEADS and at.word not in word_lists.TRANSITIVE_ING and not acts
    )
    return Role.MODIFIER if is_compound else Role.OUTSIDE


def _bare_ing_form(at: Context, is_noun: bool) -> Role:
    if at.before == "to":
        return Role.OUTSIDE
    if at.after_possessive and at.noun_follows:  # "a child's coloring book"
        return Role.MODIFIER
    if is_noun and at.next not in NEW_PHRASE and at.before not in lexicon.AUXILIARIES:
        return Role.NOUN
    starts_phrase = (
        at.next in word_lists.ING_HEADS
        or at.before in _BEFORE_NOUN
        or at.before in word_lists.TRANSITIVE_ING
        or at.is_first
    )
    modifies = starts_phrase and at.noun_follows and at.word not in word_lists.TRANSITIVE_ING
    return Role.MODIFIER if modifies else Role.OUTSIDE


def _base_form(at: Context) -> Role:
    """ "two men walk", "a skate park", "taking a walk"."""
    if at.has_noun:
        return _base_form_behind_noun(at)
    if at.phrase:
        is_verb = at.word in word_lists.RARELY_NOUNS or (at.word in _POSTURES and not at.noun_follows)
        acts = at.is_colour and (is_verb or at.next in NEW_PHRASE)  # "men in white play"
        several = at.may_be_complete and at.last != "one"  # "two walk", but "one slice"
        return Role.OUTSIDE if acts or (several and at.clause_follows) else Role.NOUN
    if at.is_first and at.next in lexicon.PREPOSITIONS and at.word not in word_lists.RARELY_NOUNS | {"look"}:
        return Role.NOUN  # "View across a river"
    if (at.word, at.next) in (("cross", "legged"), ("face", "down")):  # "she sits cross legged"
        return Role.OUTSIDE
    if at.before in _HAVE and at.word in word_lists.IRREGULAR_PAST and at.clause_follows:  # "has hit the ball"
        return Role.OUTSIDE
    if at.before in _BEFORE_BASE_FORM or at.before in lexicon.PRONOUNS or at.before in _BEFORE_PARTICIPLE:
        return Role.OUTSIDE
    if at.word in word_lists.RARELY_NOUNS and (at.after_join or at.before in ("not", "all", "both")):
        return Role.OUTSIDE
    return Role.OUTSIDE if at.after_join and at.clause_follows else Role.NOUN


def _base_form_behind_noun(at: Context) -> Role:
    after_participle = ("up",) if at.word == "set" else lexicon.PREPOSITIONS  # "a tent set up", but "a train set on"
    if at.word in word_lists.RARELY_NOUNS or (at.word in word_lists.IRREGULAR_PAST and at.next in after_participle):
        return Role.OUTSIDE  # "a sandwich cut in half"
    is_worn = at.last in word_lists.CLOTHES and at.word not in _OF_CLOTHES  # "men in green uniform stand by"
    if at.clause_follows and (is_worn or word_lists.is_alive(at.last)):  # "watching a man ride past"
        return Role.OUTSIDE
    several = lexicon.is_plural(at.last) or (at.after_and and word_lists.is_alive(at.last))  # "he and a boy sit"
    return Role.OUTSIDE if at.next in NEW_PHRASE or several else Role.NOUN


def _past_form(at: Context) -> Role:
    """ "a crowded street", "a snow covered hill", "a man dressed as a clown"."""
    if at.word in _OF_SIZE and at.noun_follows:  # "medium sized blue boxes"
        return Role.MODIFIER
    if at.has_noun and (at.next in word_lists.COLOURS or at.word in _NAMED):  # "a fence painted yellow"
        return Role.OUTSIDE
    if at.word == "shot" and at.has_noun:  # "a basketball shot"
        return Role.NOUN
    if not at.noun_follows:
        is_head = at.determiner and not at.has_noun and not at.may_be_complete  # "the injured"
        return Role.NOUN if is_head else Role.OUTSIDE
    if at.has_noun:  # "a snow covered hill", "a horse drawn carriage", but "the man held flowers"
        is_past = at.word in word_lists.IRREGULAR_PAST and not at.word.endswith(_PARTICIPLE_ENDINGS)
        return Role.OUTSIDE if is_past else Role.MODIFIER
    is_verb = not at.phrase and (at.before in lexicon.AUXILIARIES or at.before in lexicon.PRONOUNS)
    return Role.OUTSIDE if is_verb else Role.MODIFIER


def _s_form(at: Context) -> Role:
    """ "a man walks", "two dance moves", "telephone lines", "holding drinks"."""
    often = at.word in word_lists.OFTEN_NOUNS
    rarely = word_lists.BASE_FORMS[at.word] in word_lists.RARELY_NOUNS and not often
    if at.has_noun:
        return Role.NOUN if not rarely and _is_counted_or_compound(at, often) else Role.OUTSIDE
    if at.phrase:
        acts = at.is_colour and (at.clause_follows or rarely or not often)  # "a man in red rides a bike"
        is_verb = at.last in ("one", "another", "each", "other") or acts
        return Role.OUTSIDE if is_verb else Role.NOUN
    if at.before in lexicon.PRONOUNS or (rarely and at.after_join and not at.is_first):
        return Role.OUTSIDE
    is_verb = at.after_join and not at.is_first and at.clause_follows and not (often and at.before != "and")
    return Role.OUTSIDE if is_verb else Role.NOUN


def _is_counted_or_compound(at: Context, often: bool) -> bool:
    """Whether an -s form behind a noun is a noun too: a plural determiner counts it, or the first noun cannot act."""
    if lexicon.is_plural(at.last):
        return False
    if not lexicon.PLURAL_DETERMINERS.isdisjoint(at.phrase):
        return True
    is_subject = word_lists.is_alive(at.last) or at.determiner in lexicon.SINGULAR_DETERMINERS
    return often and not is_subject and not at.noun_follows and at.next not in NEW_PHRASE


def _noun_or_verb(at: Context) -> Role:
    """A noun, unless it stands where only a verb can: "a skier slaloms down", "women crochet a blanket"."""
    if at.word in word_lists.ACTIVITIES and is_ing_form(at.next) and at.next not in word_lists.ING_NOUNS:
        acts = lexicon.is_plural(at.last) or word_lists.is_alive(at.last)
        if (at.has_noun and acts) or (not at.phrase and at.before in lexicon.AUXILIARIES):  # "a man is rock climbing"
            return Role.OUTSIDE
    if not at.phrase and (at.before in _SUBJECTS or (at.before, at.word) in (("along", "side"), ("in", "order"))):
        return Role.OUTSIDE  # "as he slips"
    if not at.phrase and at.word in _COMPASS and is_ing_form(at.before) and not at.noun_follows:  # "looking north"
        return Role.OUTSIDE
    if not at.has_noun:
        return Role.OUTSIDE if at.before == "to" and at.object_follows else Role.NOUN
    singular = at.determiner in lexicon.SINGULAR_DETERMINERS and not lexicon.is_plural(at.last)
    if (
        singular
        and at.word not in lexicon.PLURALS
        and lexicon.is_plural(at.word)
        and (not at.noun_follows or word_lists.is_alive(at.last))
    ):
        return Role.OUTSIDE
    return Role.OUTSIDE if at.object_follows and at.next not in ("this", "these", "her") else Role.NOUN


_Rule = Callable[[Context], Role | None]

_RULES: tuple[tuple[Callable[[str], bool], _Rule], ...] = (
    (lambda word: word == "s", _possessive),
    (lambda word: lexicon.is_numeral(word) and word != "one", _numeral),
    (lambda word: word in ("his", "her"), _his_or_her),
    (lambda word: word in lexicon.PRONOUNS or word in lexicon.DETERMINERS, _pronoun_or_determiner),
    (lambda word: word in lexicon.AUXILIARIES, _auxiliary),
    (lambda word: word in lexicon.CONJUNCTIONS, _conjunction),
    (lexicon.is_contraction, _contraction),
    (lambda word: word in ("indoors", "outdoors"), _outdoors),
    (lambda word: word in lexicon.PREPOSITIONS or word in _MODIFIER_PREPOSITIONS, _preposition),
    (lexicon.is_adverb, _adverb),
    (lexicon.is_adjective, _adjective),
    (is_ing_form, _ing_form),
    (lambda word: word in word_lists.VERBS, _base_form),
    (lexicon.is_past_form, _past_form),
    (lambda word: word in word_lists.S_FORMS, _s_form),
)
"""The words that a rule is for, and the rule; in the order in which they are tried."""


@lru_cache(maxsize=2**16)
def _rules(word: str) -> tuple[_Rule, ...]:
    return tuple(rule for is_for, rule in _RULES if is_for(word))
