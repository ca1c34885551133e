"""Classes of English words for the rules of the chunker, and keys that are equal for the inflections of a noun.

A word may be in several classes. A word in no class counts as a noun.
"""

from __future__ import annotations

import re

from unboxed.text.word_lists import ADJECTIVES, IRREGULAR_PAST, word_set

__all__ = [
    "ARTICLES",
    "AUXILIARIES",
    "COLLECTIVES",
    "CONJUNCTIONS",
    "DETERMINERS",
    "PLURALS",
    "PLURAL_DETERMINERS",
    "POSSESSIVES",
    "PREPOSITIONS",
    "PRONOUNS",
    "SINGULAR_DETERMINERS",
    "is_adjective",
    "is_adverb",
    "is_contraction",
    "is_numeral",
    "is_past_form",
    "is_plural",
    "is_pronominal",
    "noun_key",
]

ARTICLES = word_set("a an the")
POSSESSIVES = word_set("my your his her its our their whose")
_NUMERALS = word_set(
    """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen twenty
    thirty forty fifty hundred thousand dozen dozens hundreds thousands
    """
)
SINGULAR_DETERMINERS = word_set("a an one this another each every")
PLURAL_DETERMINERS = (_NUMERALS - {"one"}) | word_set("these those several many few both various multiple numerous")
_PRONOMINAL_DETERMINERS = (_NUMERALS | word_set("another some both all several many few each others most none")) - {
    "hundred"
}
DETERMINERS = (
    ARTICLES
    | POSSESSIVES
    | _NUMERALS
    | SINGULAR_DETERMINERS
    | PLURAL_DETERMINERS
    | word_set("some any no all either neither much more most least other what which enough half such")
)
PRONOUNS = word_set(
    """
    i you he she it we they me him us them who whom myself yourself himself herself itself ourselves themselves
    someone somebody something anyone anybody anything everyone everybody everything nobody nothing none others
    mine yours hers his her ours theirs there that this these those which what
    """
)

_BEFORE_IS = word_set("it he she that this there here what who where how when let")

PREPOSITIONS = word_set(
    """
    in on at of with by for from to into onto upon over under above below beneath underneath behind beside
    besides between among amongst amidst amid through throughout across along alongside around round near
    against toward towards during before after until till since without within about off out up down past via
    per like unlike despite except inside outside atop aboard beyond next as than versus while whilst apart away
    together forward forwards backward backwards back ahead aside upwards downwards upward downward downhill
    uphill including
    """
)
CONJUNCTIONS = word_set(
    """
    and or but nor so yet if because although though whether when where why how plus whereas once
    """
)
AUXILIARIES = word_set(
    """
    is are was were be been being am has have had having do does did done can could will would shall should may
    might must ca wo cannot re ve ll isn't aren't doesn't don't didn't can't won't it's he's she's they're
    """
)
_ADVERBS = word_set(
    """
    not very too also just only even still again almost always never often already quite rather really perhaps
    maybe somewhat here now then soon together alone apart else ever once twice well fast indoors nearby
    overhead upside sideways barefoot barefooted shirtless asleep awake alike aloud abroad afar elsewhere
    everywhere somewhere anywhere far further instead meanwhile mid-air later seemingly likely same-time hard
    straight aside overseas currently forth hand-in-hand n't underwater headfirst off-camera backlit headlong
    onward onwards poolside downstream upstream upright astride cross-legged online halfway off-screen ashore
    aloft skyward back-to-back sometimes inward outward airborne
    """
)
_LY_NOT_ADVERBS = word_set(
    """
    family fly belly jelly butterfly assembly elderly curly friendly lovely early silly hilly ugly bully lonely
    trolley lively daily only woolly wooly bubbly wobbly italy july supply reply ally lily holly jolly chilly
    smelly portly dolly wiggly squiggly grizzly barely-clad scraggly burly surly rally doily bodily gnarly
    cuddly wrinkly
    """
)

_NOT_ED_FORMS = word_set(
    """
    red bed shed sled speed seed weed need feed naked wicked rugged breed reed steed kid bobsled moped
    """
)
COLLECTIVES = word_set(
    """
    group groups pair pairs couple couples bunch bunches crowd crowds team teams number lot lots variety set
    sets row rows line lines pile piles stack stacks piece pieces bit herd herds flock flocks pack packs kind
    type sort bowl bowls cup cups glass glasses bottle bottles plate plates bag bags box boxes basket baskets
    bucket slice slices sheet handful cluster collection assortment array series bouquet body bodies class band
    gang swarm majority dozens hundreds thousands many some several all most each one two three four both few
    none half part
    """
)
PLURALS = word_set(
    """
    people men women children kids police cattle sheep feet teeth fish deer folks others boys girls guys adults
    dogs clothes couple group crowd family team audience band crew class pair trio firemen policemen workmen
    businessmen fishermen gentlemen sportsmen servicemen snowmen horsemen salesmen firefighters
    """
)
_SINGULAR_S = word_set(
    """
    bus gas glass grass dress class cross tennis canvas cactus circus campus lens atlas chess mattress fitness
    business princess waitress actress hostess harness address asparagus walrus octopus hippopotamus hibiscus
    chaos mess boss toss pass brass moss press sports news stairs jeans scissors physics gymnastics athletics
    christmas lacrosse this his its
    """
)
_SINGULAR_MEN = ("abdomen", "omen", "ramen", "specimen", "yemen")
_ADJECTIVE_ENDINGS = ("ful", "ous", "ish", "less", "able", "ible", "-colored", "-sized", "-haired", "ese", "ical")
_NOT_ADJECTIVES = word_set(
    """
    cheese geese these those
    table vegetable cable fish dish stable radish british-isles starfish goldfish crayfish jellyfish handful polish
    """
)

_IRREGULAR_NOUNS = {
    "calves": "calf", "children": "child", "feet": "foot", "geese": "goose", "halves": "half", "knives": "knife",
    "leaves": "leaf", "lives": "life", "loaves": "loaf", "mice": "mouse", "people": "person", "scarves": "scarf",
    "shelves": "shelf", "teeth": "tooth", "wives": "wife", "wolves": "wolf",
}  # fmt: skip
_NO_PLURAL_S = ("ss", "us", "is")
_SILENT_E = re.compile(r"(?<=ch|sh)e$|(?<=[sxzo])e$")


def is_past_form(word: str) -> bool:
    """Whether a word is a past form of a verb, from the list or by its ending."""
    return word in IRREGULAR_PAST or (
        word.endswith("ed") and len(word) > 3 and word not in _NOT_ED_FORMS and not word.endswith("eed")
    )


def is_pronominal(word: str) -> bool:
    """Whether a determiner may stand without a noun, as in "two are playing"."""
    return word in _PRONOMINAL_DETERMINERS or is_numeral(word)


def is_numeral(word: str) -> bool:
    """Whether a word is a number, in digits or as a word."""
    return word in _NUMERALS or word[:1].isdigit()


def is_contraction(word: str) -> bool:
    """Whether a word is a pronoun with a verb, or a verb with "not": "that's", "they're", "isn't"."""
    first, _, last = word.replace("’", "'").rpartition("'")
    return bool(first) and (last in ("re", "m", "ve", "ll", "d", "t") or (last == "s" and first in _BEFORE_IS))


def is_adverb(word: str) -> bool:
    """Whether a word is an adverb, from the list or by its ending."""
    return word in _ADVERBS or (word.endswith("ly") and len(word) > 4 and word not in _LY_NOT_ADVERBS)


def is_adjective(word: str) -> bool:
    """Whether a word is an adjective, from the list or by its ending."""
    return word in ADJECTIVES or (word.endswith(_ADJECTIVE_ENDINGS) and len(word) > 4 and word not in _NOT_ADJECTIVES)


def is_plural(noun: str) -> bool:
    """Whether a noun stands for several things, or for a group that takes a plural verb."""
    if noun in PLURALS or noun in _SINGULAR_S:
        return noun in PLURALS
    if noun.endswith("men") and noun not in _SINGULAR_MEN:
        return True
    return noun.endswith("s") and not noun.endswith((*_NO_PLURAL_S, "'s", "’s"))


def noun_key(word: str) -> str:
    """A key that is equal for the singular, the plural and the possessive of a lower-cased English noun.

    A key is only for comparison. It is not always a word: since a plural in “-es” may come from a singular with or
    without “e”, the key has no “e” (“horse” and “horses” give “hors”), and “-ie” becomes “-y”.

    Examples:
        >>> [noun_key(word) for word in ("dogs", "women", "babies", "cookie", "glasses", "horse", "man's", "bus")]
        ['dog', 'woman', 'baby', 'cooky', 'glass', 'hors', 'man', 'bus']
    """
    word = word.replace("’", "'").removesuffix("'s")
    word = _IRREGULAR_NOUNS.get(word, word)
    if word.endswith("men"):
        return word[:-2] + "an"
    if len(word) > 3 and word.endswith("s") and not word.endswith(_NO_PLURAL_S):
        word = word[:-1]
    if len(word) > 3 and word.endswith("ie"):
        return word[:-2] + "y"
    return _SILENT_E.sub("", word)
