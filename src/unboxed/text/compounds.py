"""Compounds of a verb with a particle or with what it serves for: "a pop up tent", "two drinking glasses".

Word by word they read as a verb with its object or its direction. A pair of words from a list, or a participle with a
particle in front of a noun, decides. So do a word, a preposition and the word again: "a side by side comparison".
"""

from __future__ import annotations

from unboxed.text import lexicon, word_lists
from unboxed.text.word_context import Context, Role, begins_noun
from unboxed.text.word_lists import word_set

__all__ = ["compound_role"]

_WITH_PARTICLE = {
    "away": word_set("take throw"),
    "down": word_set("button drop pull fold run"),
    "in": word_set("built fenced glassed plug screened walled"),
    "off": word_set("cut"),
    "on": word_set("clip slip tied"),
    "out": word_set("cut dug fold pull print roll"),
    "over": word_set("make"),
    "through": word_set("drive see"),
    "up": word_set("beat blow button close fold grown lace line mock pick pop pull push roll sign zip"),
}
"""Words that are a modifier with the particle that is their key."""
_IN_FRONT_OF = {
    "check in": word_set("desk desks counter counters"),
    "drive in": word_set("theater theatre cinema movie restaurant"),
    "sign in": word_set("page form screen sheet"),
    "walk in": word_set("closet closets shower wardrobe pantry cooler freezer clinic bath tub"),
}
"""What else such words may modify, and nothing else: a walk in closet, but "a walk in spring"."""
_NOUNS = ("close up", "line up", "pop up", "mock up", "cut out", "print out")
"""Those that name a thing themselves: "a close up of a pizza"."""
_AFTER_PARTICIPLE = ("away", "down", "off", "out", "over", "up")
"""What may follow any participle in front of a noun: "a chopped up salad"."""

_THINGS_FOR = {
    "baking": word_set("sheet sheets tray trays dish dishes pan pans soda powder paper"),
    "bowling": word_set("alley alleys ball balls pin pins shoes"),
    "carrying": word_set("strap straps case cases handle handles"),
    "carving": word_set("knife knives fork"),
    "changing": word_set("table mat room station"),
    "cleaning": word_set("supplies cloth cloths product products cart"),
    "cooking": word_set("pot pots utensil utensils oil stove range"),
    "cutting": word_set("board boards mat mats blade blades edge edges tool tools machine"),
    "drinking": word_set("glass glasses fountain fountains straw straws cup cups vessel vessels trough"),
    "eating": word_set("utensil utensils area areas contest"),
    "fishing": word_set("net nets line lines tackle vest village port fleet"),
    "hiking": word_set("boot boots pole poles trail trails path shoes"),
    "knitting": word_set("needle needles machine pattern yarn"),
    "lighting": word_set("unit rig rack fixture fixtures equipment"),
    "magnifying": word_set("glass glasses lens"),
    "measuring": word_set("cup cups spoon spoons tape tapes jug"),
    "mixing": word_set("bowl bowls desk console truck"),
    "parking": word_set("meter meters lot lots garage garages space spaces spot spots sign signs ticket"),
    "playing": word_set("surface area"),
    "reading": word_set("glasses lamp lamps light room rooms nook corner desk chair"),
    "riding": word_set("boot boots mower mowers crop lesson lessons school arena helmet hat event"),
    "serving": word_set("bowl bowls dish dishes tray trays spoon spoons platter platters"),
    "sewing": word_set("machine machines kit kits needle needles pattern"),
    "shaving": word_set("brush foam kit"),
    "shopping": word_set("list lists basket baskets trolley trolleys district"),
    "swimming": word_set("pool pools trunks goggles cap caps lesson lessons race costume"),
    "training": word_set("device shoes ground session wheels"),
    "washing": word_set("machine machines line lines powder"),
    "watering": word_set("can cans"),
    "wrapping": word_set("paper"),
    "writing": word_set("desk pad implement implements"),
}
"""What an -ing form serves for, where it is no verb with its object."""


def compound_role(at: Context) -> Role | None:
    """The role of a word in such a compound; None where it is in none."""
    if at.next in _WITH_PARTICLE and not at.has_noun and not at.may_be_complete and not at.is_colour:
        return _before_particle(at)
    if at.word in _WITH_PARTICLE and at.last_role is Role.MODIFIER and not at.has_noun:
        return _particle(at)
    if at.determiner in lexicon.ARTICLES and not at.has_noun:
        if at.next in lexicon.PREPOSITIONS and at.after_next == at.word:  # "a side by side comparison"
            return Role.MODIFIER
        if at.word in lexicon.PREPOSITIONS and at.last == at.next:
            return Role.LINK
    return _serves_for(at) if at.next in _THINGS_FOR.get(at.word, ()) else None


def _is_noun(first: str, particle: str) -> bool:
    return f"{first} {particle}" in _NOUNS


def _is_pair(first: str, particle: str, described: str) -> bool:
    """Whether the two words may modify a noun together."""
    is_participle = lexicon.is_past_form(first) and particle in _AFTER_PARTICIPLE
    listed = first in _WITH_PARTICLE[particle] or described in _IN_FRONT_OF.get(f"{first} {particle}", ())
    return is_participle or listed


def _before_particle(at: Context) -> Role | None:
    """The first word of "a pop up tent", "a fenced in area", "a close up"."""
    if at.after_verb or not _is_pair(at.word, at.next, at.after_next):
        return None
    if lexicon.is_past_form(at.word) and not at.determiner and at.before != "of":  # "a sign lit up nights"
        return None
    ends = _is_noun(at.word, at.next) and (at.after_next == "of" or (at.determiner and not at.after_next))
    return Role.MODIFIER if ends or begins_noun(at.after_next) else None


def _particle(at: Context) -> Role | None:
    """The second word of them."""
    if not _is_pair(at.last, at.word, at.next):
        return None
    return Role.MODIFIER if at.noun_follows else Role.NOUN if _is_noun(at.last, at.word) else None


def _serves_for(at: Context) -> Role | None:
    """ "two drinking glasses", but "women drinking glasses of beer"; a single thing needs an article as an object."""
    acts = at.has_noun and (lexicon.is_plural(at.last) or word_lists.is_alive(at.last)) and lexicon.is_plural(at.next)
    return None if at.after_verb or at.after_next == "of" or acts else Role.MODIFIER
