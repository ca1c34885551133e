"""People in action: sketches of a person with the things involved and their relations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unboxed.scenes.animals import ANIMALS
from unboxed.scenes.canvas import Sketch
from unboxed.scenes.furniture import FURNITURE
from unboxed.scenes.instruments import HELD_INSTRUMENTS, STANDING_INSTRUMENTS
from unboxed.scenes.objects import HELD_THINGS, TABLE_THINGS, ball, kite
from unboxed.scenes.palette import COLOURS, chance, pick, pick_colour
from unboxed.scenes.people import SIZES, Body, draw_person, dress_up
from unboxed.scenes.vehicles import VEHICLES

__all__ = ["laid_table", "person_doing"]

Activity = Callable[[np.random.Generator, Body], Sketch]


def _idle(rng: np.random.Generator, body: Body) -> Sketch:
    pose = pick(rng, ("standing", "walking"))
    return draw_person(rng, body, pose, pick(rng, ("down", "down", "down", "up", "waving")))[0]


def _holding(rng: np.random.Generator, body: Body) -> Sketch:
    s, person = draw_person(rng, body, pick(rng, ("standing", "walking")), "holding")
    item = HELD_THINGS[pick(rng, tuple(HELD_THINGS))](rng)
    s.place(item, *s.anchors["hand"], 0.85 if SIZES[body.kind] < 0.9 else 1.0)
    s.relate(person, "holding", item.marks[0])
    return s


def _playing_held(rng: np.random.Generator, body: Body) -> Sketch:
    name = pick(rng, tuple(HELD_INSTRUMENTS))
    s, person = draw_person(rng, body, "standing", "both")
    size = SIZES[body.kind]
    chest, mouth = s.anchors["chest"], s.anchors["mouth"]
    x, y = {"trumpet": mouth, "violin": (0.06 * size, mouth[1] - 0.1 * size)}.get(name, (chest[0], chest[1] - 0.02))
    s.place(HELD_INSTRUMENTS[name](rng), x, y, size)
    s.relate(person, "playing", next(m for m in s.marks if m.kind == name))
    return s


def _playing_standing(rng: np.random.Generator, body: Body, name: str) -> Sketch:
    s, person = draw_person(rng, body, "standing", "holding")
    thing = STANDING_INSTRUMENTS[name](rng)
    s.place(thing, s.anchors["hand"][0] + (0.08 if name == "drum" else 0.42), 0, 1.0)
    s.relate(person, "playing", thing.marks[0])
    return s


def _drumming(rng: np.random.Generator, body: Body) -> Sketch:
    return _playing_standing(rng, body, "drum")


def _at_piano(rng: np.random.Generator, body: Body) -> Sketch:
    return _playing_standing(rng, body, "piano")


def _riding(rng: np.random.Generator, body: Body, mount: Sketch) -> Sketch:
    s = mount
    rider, person = draw_person(rng, body, "riding", "holding")
    back = s.anchors["back"]
    s.place(rider, back[0], back[1] - rider.anchors["hip"][1], 0.94)
    s.relate(person, "riding", s.marks[0])
    return s


def _cycling(rng: np.random.Generator, body: Body) -> Sketch:
    if chance(rng, 0.5):
        body.hat = "helmet"
    return _riding(rng, body, VEHICLES["bicycle"](rng))


def _on_horse(rng: np.random.Generator, body: Body) -> Sketch:
    return _riding(rng, body, ANIMALS["horse"](rng))


def _sitting(rng: np.random.Generator, body: Body, name: str) -> Sketch:
    s = FURNITURE[name](rng)
    spot = s.anchors["seat"]
    reading = chance(rng, 0.35)
    who, person = draw_person(rng, body, "sitting", "holding" if reading else "down")
    x = spot[0] + (float(rng.choice((-0.2, 0.2))) if name in ("bench", "sofa", "bed") else 0.0)
    s.place(who, x, spot[1] - who.anchors["hip"][1] + 0.02)
    s.relate(person, "sitting on", s.marks[0])
    if reading:
        item = HELD_THINGS[pick(rng, ("book", "cup", "camera", "flowers"))](rng)
        s.place(item, *s.anchors["hand"])
        s.relate(person, "holding", item.marks[0])
    return s


def _on_bench(rng: np.random.Generator, body: Body) -> Sketch:
    return _sitting(rng, body, "bench")


def _indoor_seat(rng: np.random.Generator, body: Body) -> Sketch:
    return _sitting(rng, body, pick(rng, ("chair", "sofa", "bed", "chair")))


def _walking_dog(rng: np.random.Generator, body: Body) -> Sketch:
    s, person = draw_person(rng, body, "walking", "holding")
    dog = ANIMALS["dog"](rng)
    hand = s.anchors["hand"]
    s.place(dog, 0.78, 0)
    with s.loose():
        s.line([hand, s.anchors["neck"]], COLOURS[pick_colour(rng, ("red", "blue", "black"))], 0.014)
    s.relate(person, "walking", dog.marks[0])
    return s


def _flying_kite(rng: np.random.Generator, body: Body) -> Sketch:
    s, person = draw_person(rng, body, "standing", "waving")
    hand = s.anchors["hand"]
    x, y = hand[0] + float(rng.uniform(0.4, 0.7)), hand[1] + float(rng.uniform(0.25, 0.45))
    with s.loose():
        s.line([hand, (x, y)], (90, 90, 96), 0.01)
    toy = kite(rng)
    s.place(toy, x, y)
    s.relate(person, "flying", toy.marks[0])
    return s


def _with_ball(rng: np.random.Generator, body: Body) -> Sketch:
    kicking = chance(rng, 0.6)
    s, person = draw_person(rng, body, "walking", "down" if kicking else "up")
    toy = ball(rng)
    top = s.extent[3]
    s.place(toy, 0.33 if kicking else 0.05, 0.02 if kicking else top + 0.03)
    s.relate(person, "kicking" if kicking else "throwing", toy.marks[0])
    return s


_PLACES: dict[str, tuple[Activity, ...]] = {
    "meadow": (
        _idle,
        _idle,
        _holding,
        _holding,
        _playing_held,
        _drumming,
        _cycling,
        _on_horse,
        _on_bench,
        _walking_dog,
        _flying_kite,
        _with_ball,
    ),
    "farm": (_idle, _idle, _holding, _on_horse, _on_horse, _walking_dog, _playing_held),
    "lake": (_idle, _holding, _holding, _walking_dog, _on_bench, _flying_kite, _playing_held),
    "street": (_idle, _idle, _holding, _holding, _playing_held, _drumming, _cycling, _on_bench, _walking_dog),
    "beach": (_idle, _holding, _holding, _with_ball, _flying_kite, _on_horse, _playing_held, _walking_dog),
    "snow": (_idle, _idle, _holding, _walking_dog),
    "yard": (_idle, _holding, _playing_held, _drumming, _on_bench, _with_ball, _cycling),
    "hedge": (_idle, _holding, _on_bench, _with_ball, _walking_dog, _cycling, _playing_held),
    "room": (_idle, _holding, _playing_held, _at_piano, _indoor_seat, _indoor_seat, _indoor_seat, _drumming),
    "portrait": (_idle, _holding, _holding, _playing_held),
}


def person_doing(rng: np.random.Generator, setting: str) -> Sketch:
    """A random person in a random activity of the setting, with the things involved."""
    return pick(rng, _PLACES[setting])(rng, dress_up(rng, cold=setting == "snow"))


def laid_table(rng: np.random.Generator) -> Sketch:
    """A table, usually with one or two things on it."""
    s = FURNITURE["table"](rng)
    x, y = s.anchors["top"]
    table = s.marks[0]
    for offset in (-0.2, 0.2) if chance(rng, 0.5) else (float(rng.uniform(-0.15, 0.15)),):
        if chance(rng, 0.85):
            item = TABLE_THINGS[pick(rng, tuple(TABLE_THINGS))](rng)
            s.place(item, x + offset, y)
            s.relate(item.marks[-1] if item.marks[-1].kind == "vase" else item.marks[0], "on", table)
    return s
