"""Captions of a scene: sentences of several forms about different things in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from unboxed.scenes.composition import Scene, Thing
from unboxed.scenes.kinds import KINDS
from unboxed.scenes.naming import Mention, Namer, plain
from unboxed.scenes.palette import chance, pick

__all__ = ["Sentence", "captions_of"]

Sentence = tuple[str | Mention, ...]

_DOING = {
    "holding": ("holding", "carrying", "with", "holds", "is holding"),
    "playing": ("playing", "plays", "is playing", "performs on"),
    "riding": ("riding", "rides", "is riding", "on"),
    "sitting on": ("sitting on", "sits on", "is sitting on", "resting on"),
    "walking": ("walking", "walks", "is out with", "walking with"),
    "flying": ("flying", "flies", "is flying", "playing with"),
    "kicking": ("kicking", "kicks", "plays with", "chases"),
    "throwing": ("throwing", "throws", "tosses", "catches"),
}
_IDLE = {
    "people": ("stands", "is standing", "standing", "waits", "poses", "walks", "is walking"),
    "animals": ("stands", "is standing", "waits", "standing", "rests"),
    "vehicles": ("is parked", "parked", "stands", "waits"),
    "other": ("stands", "is seen", ""),
}
_OUTSIDE: dict[str, tuple[str, ...]] = {
    "meadow": ("the park", "the countryside"),
    "farm": ("the countryside", "a farm"),
    "lake": ("the countryside", "nature"),
    "street": ("the city", "town"),
    "beach": ("the seaside", "the coast"),
    "sea": ("the coast",),
    "snow": ("the cold", "winter"),
    "yard": ("the yard", "town"),
    "hedge": ("the park", "nature"),
    "room": ("the house", "a room"),
}
_GROUNDS = ("grass", "street", "sidewalk", "sand", "snow", "floor", "carpet", "path")
_BEHIND = ("mountains", "forest", "brick wall", "wall", "sea", "lake", "sky")
_ALOFT = ("bird", "plane", "hot air balloon", "kite", "sun", "moon", "cloud", "balloon")
_POSSESSIVE = {"man": "his", "boy": "his", "woman": "her", "girl": "her"}


class _Writer:
    """Writes the captions of one scene; things that were mentioned less are preferred for the next caption."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self.scene, self.rng, self.namer = scene, rng, Namer(scene, rng)
        self.mentioned: Counter[Thing] = Counter()
        self.acts = {
            thing: [(word, other) for s, word, other in scene.relations if s is thing] for thing in scene.things
        }
        self.parts = {thing: [part for part in scene.things if part.whole is thing] for thing in scene.things}

    def next_caption(self) -> Sentence | None:
        shapes: list[Callable[[], list[str | Mention] | None]] = [
            self._about_one, self._about_one, self._about_one, self._about_one, self._about_one,
            self._about_several, self._about_several, self._there_is, self._about_clothing,
            self._about_scenery, self._two_things, self._one_and_other,
        ]  # fmt: skip
        pieces = pick(self.rng, shapes)()
        if pieces is None:
            return None
        mentions = [piece for piece in pieces if isinstance(piece, Mention)]
        boxed = [mention for mention in mentions if mention.things]
        sets = [mention.things for mention in boxed]
        if not boxed or len(set(sets)) != len(sets):
            return None
        for mention in boxed:
            self.mentioned.update(mention.things)
        return (*_capitalised(pieces), ".")

    # Choice of what to mention.

    def _pick(self, fits: Callable[[Thing], bool]) -> Thing | None:
        """A random clear thing that fits; things that were mentioned less are more likely."""
        found = [thing for thing in self.scene.things if thing.clear and fits(thing)]
        if not found:
            return None
        keys = [self.mentioned[thing] + float(self.rng.random()) * 1.4 for thing in found]
        return found[int(np.argmin(keys))]

    def _subject(self) -> Thing | None:
        roll = float(self.rng.random())
        kinds = (
            ("people",) if roll < 0.6 else ("animals",) if roll < 0.78 else ("vehicles",) if roll < 0.9 else ("other",)
        )
        return self._pick(lambda t: KINDS[t.kind].type in kinds and t.whole is None) or self._pick(
            lambda t: KINDS[t.kind].type in ("people", "animals", "vehicles")
        )

    # Pieces of sentences.

    def _person_with(self, person: Thing) -> list[str | Mention] | None:
        """A person, often with clothing, hair or a beard."""
        worn = [p for p in self.parts[person] if KINDS[p.kind].type == "clothing" and p.clear]
        body = [
            p
            for p in self.parts[person]
            if KINDS[p.kind].type == "bodyparts" and p.kind not in ("arm", "legs") and p.clear
        ]
        extra: list[str | Mention] = []
        distinct = False
        if worn and chance(self.rng, 0.5):
            first = self.namer.name(pick(self.rng, worn))
            if first:
                extra, distinct = [pick(self.rng, ("in", "in", "wearing", "dressed in")), first], True
                others = [p for p in worn if p not in first.things]
                if others and chance(self.rng, 0.35):
                    second = self.namer.name(pick(self.rng, others))
                    if second:
                        extra += ["and", second]
        elif body and chance(self.rng, 0.3):
            part = self.namer.name(pick(self.rng, body))
            if part:
                extra, distinct = ["with", part], True
        who = self.namer.name(person, ambiguous=distinct and chance(self.rng, 0.1))
        if who is None and distinct and chance(self.rng, 0.25):
            who = self.namer.name(person, ambiguous=True)
        return [who, *extra] if who else None

    def _whole(self, thing: Thing) -> list[str | Mention] | None:
        if KINDS[thing.kind].type == "people":
            return self._person_with(thing)
        name = self.namer.name(thing)
        if name is None:
            return None
        tails = [
            p
            for p in self.parts[thing]
            if p.kind in ("tail", "horns", "mane", "ears", "tusks", "trunk", "wings") and p.clear
        ]
        if tails and chance(self.rng, 0.25):
            part = self.namer.name(pick(self.rng, tails))
            if part:
                return [name, "with", part]
        return [name]

    def _place(self, thing: Thing) -> list[str | Mention]:
        """Where it is: on the grass, next to a tree, in front of a wall, in the park, on a fine day; or nothing."""
        rng, roll = self.rng, float(self.rng.random())
        if thing.kind in _ALOFT:
            return self._aloft(roll)
        for limit, place in ((0.3, self._on_ground), (0.55, self._next_to), (0.68, self._in_front_of)):
            pieces = place(thing) if roll < limit else None
            if pieces:
                return pieces
        if roll < 0.78 and self.scene.setting in _OUTSIDE:
            word = pick(rng, _OUTSIDE[self.scene.setting])
            at = "in" if word not in ("the seaside", "the coast", "a farm") else "at"
            return [at, Mention(word, "scene", key=word, scene=True)]
        if roll < 0.84:
            return ["for", plain(pick(rng, ("a picture", "the camera", "a photo")))]
        if roll < 0.88 and self.scene.setting not in ("room", "portrait"):
            times = ("a summer evening", "a quiet night") if self.scene.night else ("a fine day", "a quiet day")
            return ["on", plain(pick(rng, times))]
        return []

    def _aloft(self, roll: float) -> list[str | Mention]:
        over = self._pick(lambda t: t.whole is None and KINDS[t.kind].type != "scene" and t.kind not in _ALOFT)
        sky = next((t for t in self.scene.things if t.kind == "sky"), None)
        name = self.namer.name(over) if over and roll < 0.4 else self.namer.name(sky) if sky and roll < 0.8 else None
        if name is None:
            return []
        return [pick(self.rng, ("above", "over")) if name.type != "scene" else "in", name]

    def _on_ground(self, thing: Thing) -> list[str | Mention] | None:
        grounds = [t for t in self.scene.things if t.kind in _GROUNDS and _inside(thing.box, t.box)]
        name = self.namer.name(grounds[-1]) if grounds else None
        if name is None:
            return None
        return [pick(self.rng, ("on", "on", "across")) if name.words.split()[-1] in ("street", "road") else "on", name]

    def _next_to(self, thing: Thing) -> list[str | Mention] | None:
        def fits(t: Thing) -> bool:
            stands = t.clear and t.whole is None and t.kind not in _ALOFT and KINDS[t.kind].type != "scene"
            return stands and t is not thing and _near(thing.box, t.box)

        near = [t for t in self.scene.things if fits(t)]
        other = self.namer.name(pick(self.rng, near)) if near else None
        return [pick(self.rng, ("next to", "near", "beside", "close to")), other] if other else None

    def _in_front_of(self, _: Thing) -> list[str | Mention] | None:
        behind = [t for t in self.scene.things if t.kind in _BEHIND]
        surface = pick(self.rng, behind) if behind else None
        name = self.namer.name(surface) if surface else None
        return ["under" if surface and surface.kind == "sky" else "in front of", name] if name else None

    def _doing(self, thing: Thing) -> list[str | Mention]:
        """What it does, and to which other thing."""
        acts = self.acts[thing]
        if acts and chance(self.rng, 0.85):
            word, other = pick(self.rng, acts)
            name = self.namer.name(other)
            if name:
                return [pick(self.rng, _DOING[word]) if word in _DOING else f"is {word}", name]
            if word == "playing":
                return ["plays", plain("music") if chance(self.rng, 0.5) else Mention("a song", "other", key="song")]
        arms = [p for p in self.parts[thing] if p.kind == "arm"]
        if arms and chance(self.rng, 0.6):
            his = _POSSESSIVE[thing.kind]
            raised = self.namer.group(arms) if len(arms) == 2 else self.namer.name(arms[0], article=his)
            if raised:
                words = f"{his} arms" if len(arms) == 2 else raised.words
                return [pick(self.rng, ("raising", "raises", "lifts")), Mention(words, raised.type, raised.things)]
            return ["waves at", plain("the camera")]
        return [word] if (word := pick(self.rng, _IDLE.get(KINDS[thing.kind].type, ("is seen",)))) else []

    # Sentences.

    def _about_one(self) -> list[str | Mention] | None:
        subject = self._subject()
        who = self._whole(subject) if subject else None
        if subject is None or who is None:
            return None
        doing = self._doing(subject)
        place = self._place(subject)
        return [*who, *doing, *place] if len(doing) + len(place) else None

    def _about_several(self) -> list[str | Mention] | None:
        lead = self._subject()
        if lead is None:
            return None
        type_ = KINDS[lead.kind].type
        same = [t for t in self.scene.things if t.kind == lead.kind and t.visible > 0.12]
        if type_ == "people" and chance(self.rng, 0.5):
            same = [t for t in self.scene.things if KINDS[t.kind].type == "people" and t.visible > 0.12]
        elif "colour" in lead.attributes and len(same) > 2:
            same = [t for t in same if t.attributes.get("colour") == lead.attributes["colour"]]
        them = self.namer.group(same)
        if them is None:
            return None
        verb = pick(self.rng, ("are", "together", "side by side", "are seen") if type_ != "people" else
                    ("are standing", "stand", "pose", "are together", "enjoy themselves"))  # fmt: skip
        clothes: list[str | Mention] = []
        if type_ == "people" and chance(self.rng, 0.4):
            kind = pick(self.rng, ("hat", "cap", "jacket", "dress", "boots", "scarf"))
            worn = [p for t in same for p in self.parts[t] if p.kind == kind]
            if len({p.whole for p in worn}) == len(same):
                group = self.namer.group(worn)
                clothes = (
                    ["in", Mention(group.words.split(" ", 1)[1], group.type, group.things)]
                    if group and group.words.startswith("two ")
                    else []
                )
        return [them, *clothes, verb, *self._place(lead)]

    def _there_is(self) -> list[str | Mention] | None:
        thing = self._pick(lambda t: t.whole is None and KINDS[t.kind].type != "scene")
        what = self._whole(thing) if thing else None
        if thing is None or what is None:
            return None
        opening = pick(self.rng, ("there is", "we see", "here is", "a view of", "one can see"))
        return [opening, *what, *self._place(thing)]

    def _about_clothing(self) -> list[str | Mention] | None:
        person = self._pick(lambda t: KINDS[t.kind].type == "people")
        who = self.namer.name(person) if person else None
        if person is None or who is None:
            return None
        parts = [p for p in self.parts[person] if p.clear and p.kind != "arm"]
        named: list[Mention] = []
        for k in self.rng.permutation(len(parts)).tolist()[:3]:
            if parts[k].kind == "legs":
                name = self.namer.name(parts[k], article="bare")
            else:
                name = self.namer.name(parts[k], article=_POSSESSIVE[person.kind] if chance(self.rng, 0.12) else None)
            if name:
                named.append(name)
        if not named:
            return None
        opening = "wears" if all(m.type == "clothing" for m in named) else "with" if len(named) > 1 else "has"
        if len(named) == 1:
            return [who, opening, named[0], *self._place(person)]
        if len(named) == 2:
            return [who, opening, named[0], "and", named[1]]
        return [who, opening, named[0], ",", named[1], "and", named[2]]

    def _about_scenery(self) -> list[str | Mention] | None:
        surface = self._pick(lambda t: KINDS[t.kind].type == "scene")
        name = self.namer.name(surface) if surface else None
        if surface is None or name is None:
            return None
        aloft = surface.kind != "sky"
        thing = self._pick(
            lambda t: t.whole is None and KINDS[t.kind].type != "scene" and not (aloft and t.kind in _ALOFT)
        )
        other = self.namer.name(thing) if thing else None
        if thing is None or other is None:
            return None
        if surface.kind == "sky":
            if thing.kind in _ALOFT:
                return [other, "in", name]
            return [name, pick(self.rng, ("above", "over")), other] if chance(self.rng, 0.5) else [other, "under", name]
        if surface.kind in _BEHIND:
            return [name, "behind", other] if chance(self.rng, 0.5) else [other, "in front of", name]
        if _inside(thing.box, surface.box):
            return [other, "on", name, *(self._place(thing) if chance(self.rng, 0.3) else [])]
        return [other, "by", name]

    def _two_things(self) -> list[str | Mention] | None:
        first = self._pick(lambda t: t.whole is None and KINDS[t.kind].type != "scene" and t.kind not in _ALOFT)
        if first is None:
            return None
        second = self._pick(lambda t: t.whole is None and KINDS[t.kind].type != "scene" and t is not first)
        a = self._whole(first)
        b = self.namer.name(second) if second else None
        if a is None or b is None or second is None:
            return None
        near = _near(first.box, second.box) and second.kind not in _ALOFT
        if second.kind in _ALOFT:
            return [*a, pick(self.rng, ("under", "below")), b]
        link = pick(self.rng, ("next to", "beside", "near")) if near else pick(self.rng, ("and", "and", "not far from"))
        return [*a, link, b]

    def _one_and_other(self) -> list[str | Mention] | None:
        """“Two men , one in a red shirt and the other in a blue shirt”: pronouns whose meaning the clothing decides."""
        people = [t for t in self.scene.things if KINDS[t.kind].type == "people" and t.visible > 0.12]
        them = self.namer.group(people) if len(people) == 2 and chance(self.rng, 0.4) else None
        if them is None:
            return None
        pieces: list[str | Mention] = [them, ","]
        for word, person in zip(("one", "the other"), people, strict=True):
            worn = [p for p in self.parts[person] if p.kind in ("shirt", "t-shirt", "jacket", "dress") and p.clear]
            name = self.namer.name(worn[0]) if worn else None
            if name is None:
                return None
            pieces += [Mention(word, "people", frozenset((person,))), "in", name, "and"]
        return pieces[:-1]


def _inside(box: tuple[float, ...], ground: tuple[float, ...]) -> bool:
    """Whether a thing stands on the ground: the middle of its base is in the ground's box."""
    x, y = (box[0] + box[2]) / 2, box[3] - 1
    return ground[0] <= x <= ground[2] and ground[1] <= y <= ground[3]


def _near(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    gap_x = max(a[0], b[0]) - min(a[2], b[2])
    gap_y = max(a[1], b[1]) - min(a[3], b[3])
    return gap_x < 22 and gap_y < 4 and abs(a[3] - b[3]) < 40


def _capitalised(pieces: list[str | Mention]) -> list[str | Mention]:
    first = pieces[0]
    if isinstance(first, str):
        return [first[:1].upper() + first[1:], *pieces[1:]]
    words = first.words[:1].upper() + first.words[1:]
    return [Mention(words, first.type, first.things, first.key, first.scene), *pieces[1:]]


def captions_of(scene: Scene, rng: np.random.Generator) -> tuple[Sentence, ...] | None:
    """Five different captions, or None for a scene in which too little can be named unambiguously."""
    writer = _Writer(scene, rng)
    sentences: list[Sentence] = []
    texts: set[str] = set()
    for _ in range(60):
        sentence = writer.next_caption()
        if sentence is not None:
            text = " ".join(piece if isinstance(piece, str) else piece.words for piece in sentence)
            if text not in texts:
                texts.add(text)
                sentences.append(sentence)
        if len(sentences) == 5:
            return tuple(sentences)
    return None
