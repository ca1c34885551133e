"""Unambiguous noun phrases: each fits exactly one thing, or one set of things, of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unboxed.scenes.composition import Scene, Thing
from unboxed.scenes.kinds import KINDS
from unboxed.scenes.nouns import NOUNS, Noun
from unboxed.scenes.palette import chance, pick

__all__ = ["Mention", "Namer", "meaning", "plain"]


@dataclass(frozen=True)
class Mention:
    """A phrase of a caption.

    Attributes:
        words: the words between the brackets.
        type: Entities type, or notvisual.
        things: what it refers to; empty for a phrase without boxes.
        key: its coreference chain if it refers to no thing, such as "the park"; "" otherwise.
        scene: whether it refers to the whole picture.
    """

    words: str
    type: str
    things: frozenset[Thing] = frozenset()
    key: str = ""
    scene: bool = False


def plain(words: str) -> Mention:
    """A phrase that refers to nothing visible."""
    return Mention(words, "notvisual", key="0")


_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "pattern": {"striped": ("striped",), "spotted": ("spotted",)},
    "size": {"big": ("big", "large"), "small": ("small", "little")},
    "age": {"old": ("old", "elderly")},
    "hair": {"blond": ("blond",), "bald": ("bald",)},
    "beard": {"yes": ("bearded",)},
    "style": {"long": ("long",), "short": ("short",), "curly": ("curly",)},
    "material": {"wooden": ("wooden",), "tiled": ("tiled",)},
    "snowy": {"yes": ("snowy",)},
}
_SKY_WORDS = {
    "blue": ("blue", "clear"),
    "gray": ("gray", "cloudy"),
    "orange": ("orange", "evening"),
    "dark": ("dark", "night"),
}
_CLOTH = {"shirt", "t-shirt", "dress", "skirt", "scarf"}
# Kinds whose colour is mostly omitted, because it is always the same.
_COLOUR_OMITTED = {
    "grass",
    "sea",
    "lake",
    "elephant",
    "bush",
    "pine tree",
    "palm tree",
    "trumpet",
    "violin",
    "bookshelf",
    "barn",
}


def _adjectives(thing: Thing) -> list[tuple[str, str, str]]:
    """(word, attribute, value) of every adjective that is true of a thing."""
    found: list[tuple[str, str, str]] = []
    for attribute, value in thing.attributes.items():
        if attribute == "colour":
            words: tuple[str, ...] = _SKY_WORDS[value] if thing.kind == "sky" else (value,)
        else:
            words = _WORDS.get(attribute, {}).get(value, ())
        if attribute == "pattern" and value == "spotted" and thing.kind in _CLOTH:
            words = ("polka dot", "spotted")
        if attribute == "size" and thing.kind == "box":
            continue
        found += [(word, attribute, value) for word in words]
    return found


def meaning(scene: Scene, noun: str, attributes: Sequence[tuple[str, str]]) -> frozenset[Thing]:
    """All things of the scene, also hardly visible ones, that a noun with these (attribute, value) pairs fits."""
    noun_ = NOUNS[noun]
    wanted = [*noun_.requires.items(), *attributes]
    return frozenset(
        thing
        for thing in scene.things
        if thing.kind in noun_.kinds
        and thing.visible > 0.12
        and all(thing.attributes.get(attribute) == value for attribute, value in wanted)
    )


_ORDER = ("size", "age", "beard", "hair", "snowy", "style", "pattern", "colour", "material")


class Namer:
    """Finds unambiguous noun phrases for the things of one scene."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self.scene, self.rng = scene, rng

    def name(self, thing: Thing, article: str | None = None, ambiguous: bool = False) -> Mention | None:
        """A phrase that fits this thing and nothing else in the scene, or None if there is none.

        Args:
            thing: what to name.
            article: such as "his"; by default a, an or the.
            ambiguous: allow a phrase that also fits others, because the rest of the caption decides.
        """
        if not thing.clear:
            return None
        only = frozenset((thing,))
        for noun in self._nouns(thing):
            adjectives = _adjectives(thing)
            if ambiguous:
                return self._phrase(thing, noun, [], only, article)
            for chosen in self._choices(thing, adjectives):
                if meaning(self.scene, noun, [(a, v) for _, a, v in chosen]) == only:
                    return self._phrase(thing, noun, chosen, only, article)
            placed = self._by_place(thing, noun)
            if placed:
                return placed
        return None

    def _nouns(self, thing: Thing) -> list[str]:
        fitting: list[tuple[str, Noun]] = [
            (word, noun)
            for word, noun in NOUNS.items()
            if thing.kind in noun.kinds
            and self._suits(word, thing)
            and all(thing.attributes.get(a) == v for a, v in noun.requires.items())
        ]
        keys = [float(self.rng.random()) ** (1 / noun.weight) for _, noun in fitting]
        return [word for _, (word, _) in sorted(zip(keys, fitting, strict=True), key=lambda pair: -pair[0])]

    @staticmethod
    def _suits(word: str, thing: Thing) -> bool:
        """False for words that a reader may understand as the thing, but that nobody would choose for it."""
        odd = {
            "hat": ("helmet",), "cap": ("helmet",), "bird": ("duck", "chicken"), "building": ("house", "barn"),
            "shoes": ("boots",), "sneakers": ("boots",), "pants": ("shorts",), "horns": ("tusks",), "road": ("path",),
            "balloon": ("hot air balloon",), "rug": ("carpet",), "carpet": ("rug",), "lamp": ("street lamp",),
            "light": ("lamp",), "tree": (),
        }  # fmt: skip
        return thing.kind not in odd.get(word, ())

    def _choices(self, thing: Thing, adjectives: list[tuple[str, str, str]]) -> list[list[tuple[str, str, str]]]:
        """Sets of adjectives to try in order: mostly a colour first, sometimes none; pairs last."""
        rng = self.rng
        by_attribute: dict[str, tuple[str, str, str]] = {}
        for adjective in adjectives:
            if adjective[1] not in by_attribute or chance(rng, 0.5):
                by_attribute[adjective[1]] = adjective
        if thing.kind in _COLOUR_OMITTED and chance(rng, 0.75):
            by_attribute.pop("colour", None)
        singles = [[adjective] for adjective in by_attribute.values()]
        singles.sort(key=lambda chosen: (chosen[0][1] != "colour" or chance(rng, 0.3), float(rng.random())))
        pairs = [[a[0], b[0]] for i, a in enumerate(singles) for b in singles[i + 1 :]]
        first = chance(rng, 0.42)
        choices: list[list[tuple[str, str, str]]] = [[], *singles, *pairs] if first else [*singles, [], *pairs]
        if thing.kind == "hair":
            choices.remove([])
        if not first and pairs and chance(rng, 0.2):
            choices = [pairs[0], *choices]
        for chosen in choices:
            chosen.sort(key=lambda adjective: _ORDER.index(adjective[1]))
        return choices

    def _by_place(self, thing: Thing, noun: str) -> Mention | None:
        """“the left dog” or “the dog on the right”, for the outermost of two or three of a kind."""
        others = [t for t in meaning(self.scene, noun, []) if t is not thing]
        if (
            not 1 <= len(others) <= 2
            or NOUNS[noun].plural is None
            or KINDS[thing.kind].type in ("clothing", "bodyparts")
        ):
            return None
        gaps = [thing.centre[0] - other.centre[0] for other in others]
        side = "left" if all(gap < -24 for gap in gaps) else "right" if all(gap > 24 for gap in gaps) else None
        if side is None:
            return None
        words = f"the {side} {noun}" if chance(self.rng, 0.5) else f"the {noun} on the {side}"
        return Mention(words, KINDS[thing.kind].type, frozenset((thing,)))

    def _phrase(
        self, thing: Thing, noun: str, chosen: list[tuple[str, str, str]], things: frozenset[Thing], article: str | None
    ) -> Mention:
        words = " ".join([*(word for word, _, _ in chosen), noun])
        kind = KINDS[thing.kind]
        pairs = NOUNS[noun].plural is None and noun.endswith("s") and not noun.endswith(("ss", "grass"))
        mass = noun in ("hair", "grass", "sand", "water", "snow", "food", "ice cream")
        if article is None:
            definite = (
                kind.type == "scene" or thing.kind in ("sun", "moon") or noun in ("grass", "sand", "snow", "water")
            )
            if noun in ("sky", "sun", "moon") or (definite and not chosen):
                article = "the" if not chosen or chance(self.rng, 0.6) or mass else _article(words)
            elif pairs or mass:
                article = "" if not definite or chosen else "the"
            else:
                article = "the" if chance(self.rng, 0.15) else _article(words)
        return Mention(f"{article} {words}".strip(), kind.type, things)

    def group(self, kinds: Sequence[Thing]) -> Mention | None:
        """A plural that fits exactly these things: “two black dogs”, “some people”."""
        things = frozenset(kinds)
        if not 2 <= len(things) <= 6 or not all(thing.clear for thing in things):
            return None
        first = min(things, key=lambda thing: thing.box)
        shared = [a for a in _adjectives(first) if all(t.attributes.get(a[1]) == a[2] for t in things)]
        for noun in self._nouns(first):
            plural = NOUNS[noun].plural
            if plural is None or not all(t.kind in NOUNS[noun].kinds and self._suits(noun, t) for t in things):
                continue
            choices: list[list[tuple[str, str, str]]] = [[], *([a] for a in shared)]
            if shared and chance(self.rng, 0.5):
                choices.reverse()
            for chosen in choices:
                if meaning(self.scene, noun, [(a, v) for _, a, v in chosen]) == things:
                    words = " ".join([*(word for word, _, _ in chosen), plural])
                    return Mention(f"{self._count(len(things), first)} {words}", KINDS[first.kind].type, things)
        return None

    def _count(self, count: int, thing: Thing) -> str:
        options = [_NUMBERS[count]] * 3
        if count == 2:
            options.append("a couple of")
        else:
            options += ["some", "several"]
            if KINDS[thing.kind].type == "people":
                options.append("a group of")
        return pick(self.rng, options)


def _article(words: str) -> str:
    return "an" if words[0] in "aeio" or words.startswith(("umb", "ugl")) else "a"
