"""Phrases of the drawn world are true of the things that they refer to, and of nothing else in the picture."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from unboxed.scenes.canvas import Sketch
from unboxed.scenes.captions import Sentence
from unboxed.scenes.composition import Scene, Thing
from unboxed.scenes.kinds import KINDS
from unboxed.scenes.naming import Mention, Namer
from unboxed.scenes.nouns import NOUNS
from unboxed.scenes.writing import scene_and_captions

# Every adjective of the captions with its attribute, written a second time independently of the package.
CLAIMS = {
    **{c: ("colour", c) for c in ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black")},
    **{c: ("colour", c) for c in ("white", "gray", "blond", "dark")},
    "clear": ("colour", "blue"), "cloudy": ("colour", "gray"), "evening": ("colour", "orange"),
    "night": ("colour", "dark"), "striped": ("pattern", "striped"), "spotted": ("pattern", "spotted"),
    "polka": ("pattern", "spotted"), "big": ("size", "big"), "large": ("size", "big"), "small": ("size", "small"),
    "little": ("size", "small"), "old": ("age", "old"), "elderly": ("age", "old"), "bald": ("hair", "bald"),
    "bearded": ("beard", "yes"), "long": ("style", "long"), "short": ("style", "short"), "curly": ("style", "curly"),
    "wooden": ("material", "wooden"), "tiled": ("material", "tiled"), "snowy": ("snowy", "yes"),
}  # fmt: skip
SINGULAR = {noun.plural: word for word, noun in NOUNS.items() if noun.plural}


def parsed(words: str) -> tuple[str, list[str]] | None:
    """The noun (as in NOUNS) and the adjectives of a phrase; None for one with a place or a pronoun."""
    text = re.sub(
        r"^(a couple of|a group of|a|an|the|his|her|bare|two|three|four|five|six|some|several)\s", "", words.lower()
    )
    if re.search(r"\b(left|right)\b", text) or text in ("one", "the other", "other", "his arms", "her arms"):
        return None
    for noun in sorted((*NOUNS, *SINGULAR), key=len, reverse=True):
        if text == noun or text.endswith(" " + noun):
            return noun if noun in NOUNS else SINGULAR[noun], text[: len(text) - len(noun)].split()
    raise AssertionError(f"no noun in {words!r}")


def fits(thing: Thing, noun: str, adjectives: list[str]) -> bool:
    """Whether the noun and the adjectives are true of the thing."""
    claims = [CLAIMS[word] for word in adjectives if word != "dot"]
    claims += list(NOUNS[noun].requires.items())
    if KINDS[thing.kind].type == "people":
        claims = [
            ("hair", value) if (attribute, value) == ("colour", "blond") else (attribute, value)
            for attribute, value in claims
        ]
    return thing.kind in NOUNS[noun].kinds and all(thing.attributes.get(a) == v for a, v in claims)


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Scene, tuple[Sentence, ...]]]:
    return [scene_and_captions(0, 11, image) for image in range(120)]


def test_a_phrase_refers_to_all_things_that_it_fits(
    drawn: list[tuple[Scene, tuple[Sentence, ...]]],
) -> None:
    outcome: Counter[str] = Counter()
    for scene, sentences in drawn:
        for mention in (piece for sentence in sentences for piece in sentence if isinstance(piece, Mention)):
            if not mention.things:
                continue
            read = parsed(mention.words)
            if read is None:
                outcome["by place or pronoun"] += 1
                continue
            assert all(fits(thing, *read) for thing in mention.things), f"{mention.words!r} is not true"
            others = [t for t in scene.things if t not in mention.things and t.visible > 0.12 and fits(t, *read)]
            outcome["ambiguous" if others else "alone"] += 1
            if others:
                # Only phrases for people may be ambiguous; the rest of the caption, such as clothing, decides.
                assert mention.type == "people", f"{mention.words!r} fits {len(others)} more"
    assert outcome["ambiguous"] <= 0.03 * sum(outcome.values()), outcome


def test_what_is_mentioned_can_be_seen(drawn: list[tuple[Scene, tuple[Sentence, ...]]]) -> None:
    for _, sentences in drawn:
        for mention in (piece for sentence in sentences for piece in sentence if isinstance(piece, Mention)):
            assert all(thing.clear or thing.kind == "arm" for thing in mention.things)


def test_of_two_dogs_each_is_named_by_an_attribute_that_the_other_lacks() -> None:
    def dog(colour: str, x: float) -> Thing:
        return Thing("dog", {"colour": colour, "size": "big"}, (x, 50, x + 40, 90))

    scene = Scene(picture=None, setting="meadow", night=False)  # type: ignore[arg-type]
    scene.things = [dog("black", 10), dog("white", 120)]
    for seed in range(30):
        namer = Namer(scene, np.random.default_rng(seed))
        name = namer.name(scene.things[0])
        assert name is not None
        assert {"black", "left"} & set(name.words.split()), name.words
        both = namer.group(scene.things)
        assert both is not None
        assert both.things == frozenset(scene.things)


def test_equal_things_in_one_place_cannot_be_named() -> None:
    scene = Scene(picture=None, setting="meadow", night=False)  # type: ignore[arg-type]
    scene.things = [
        Thing("cat", {"colour": "gray"}, (50, 50, 90, 90)),
        Thing("cat", {"colour": "gray"}, (60, 90, 95, 130)),
    ]
    assert Namer(scene, np.random.default_rng(0)).name(scene.things[0]) is None


def test_the_parts_of_a_sketch_have_extents_after_it_is_placed_mirrored() -> None:
    inner, outer = Sketch(), Sketch()
    with inner.thing("house"):
        inner.box(0, 0, 2, 1, (200, 200, 200))
        with inner.thing("roof"):
            inner.box(1, 1, 2, 2, (120, 60, 60))
    outer.place(inner, 10, 0, scale=2, flip=True)
    house, roof = outer.marks
    assert house.extent == (6, 0, 10, 4)  # the roof is part of the house
    assert roof.extent == (6, 2, 8, 4)
    assert roof.parent is house
