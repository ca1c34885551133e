"""People: age, hair, clothing and poses; every part is a thing with a box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unboxed.scenes.canvas import Colour, Mark, Point, Sketch, shade
from unboxed.scenes.palette import HAIR_COLOURS, SKIN, chance, paint_of, pick, pick_colour

__all__ = ["Body", "draw_person", "dress_up"]

SIZES = {"man": 1.0, "woman": 0.95, "boy": 0.66, "girl": 0.64}


@dataclass
class Body:
    """The appearance of a person, chosen before it is drawn.

    Attributes:
        kind: man, woman, boy or girl.
        old: whether the hair is gray and the beard lighter.
        upper, lower: kinds of clothing; a dress has no lower.
        colours: kind of clothing or hair -> colour name.
        patterns: kind of clothing -> plain, striped or spotted.
        hair: short, long, curly, ponytail or bald.
        hat: hat, cap, helmet or None.
    """

    kind: str
    old: bool
    skin: Colour
    upper: str
    lower: str | None
    shoes: str
    hair: str
    hat: str | None
    beard: bool
    scarf: bool
    glasses: bool
    colours: dict[str, str]
    patterns: dict[str, str]


def dress_up(rng: np.random.Generator, cold: bool = False) -> Body:
    """A random appearance. Attributes vary independently of each other, so that no word can stand for another."""
    kind = pick(rng, ("man", "man", "woman", "woman", "boy", "girl"))
    female, grown = kind in ("woman", "girl"), kind in ("man", "woman")
    old = grown and chance(rng, 0.22)
    upper = pick(rng, ("shirt", "t-shirt", "jacket", "dress") if female else ("shirt", "t-shirt", "t-shirt", "jacket"))
    if cold:
        upper = pick(rng, ("jacket", "jacket", "shirt"))
    lower = (
        None if upper == "dress" else pick(rng, ("trousers", "shorts", "skirt") if female else ("trousers", "shorts"))
    )
    if cold and lower == "shorts":
        lower = "trousers"
    hair = pick(rng, ("long", "long", "ponytail", "curly") if female else ("short", "short", "curly", "bald"))
    if hair == "bald" and not grown:
        hair = "short"
    hat = pick(rng, ("hat", "cap", "hat")) if chance(rng, 0.3) else None
    colours = {name: pick_colour(rng) for name in ("shirt", "jacket", "dress", "skirt", "hat", "scarf", "shoes")}
    colours["t-shirt"] = colours["shirt"]
    colours["cap"] = colours["helmet"] = colours["hat"]
    colours["trousers"] = colours["shorts"] = pick_colour(
        rng, ("blue", "black", "gray", "brown", "white", "green", "red")
    )
    colours["hair"] = "gray" if old else pick_colour(rng, ("black", "brown", "blond", "red"))
    worn = ("shirt", "t-shirt", "jacket", "dress", "skirt", "scarf")
    patterns = {name: pick(rng, ("plain", "plain", "striped", "spotted")) for name in worn}
    patterns["jacket"] = "plain"
    return Body(
        kind=kind,
        old=old,
        skin=pick(rng, SKIN),
        upper=upper,
        lower=lower,
        shoes="boots" if cold or chance(rng, 0.2) else "shoes",
        hair=hair,
        hat=hat,
        beard=kind == "man" and chance(rng, 0.3),
        scarf=chance(rng, 0.55 if cold else 0.08),
        glasses=grown and chance(rng, 0.2),
        colours=colours,
        patterns=patterns,
    )


def _pattern(sketch: Sketch, name: str, colour: Colour, corners: tuple[Point, Point, Point, Point]) -> None:
    """Stripes or dots on the quadrilateral bottom left, bottom right, top right, top left."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    ink = (250, 250, 246) if sum(colour) < 520 else (70, 70, 90)

    def at(u: float, v: float) -> Point:
        return (
            (1 - v) * ((1 - u) * ax + u * bx) + v * ((1 - u) * dx + u * cx),
            (1 - v) * ((1 - u) * ay + u * by) + v * ((1 - u) * dy + u * cy),
        )

    if name == "striped":
        for k in range(4):
            low, high = 0.08 + k * 0.25, 0.2 + k * 0.25
            sketch.flat([at(0.03, low), at(0.97, low), at(0.97, high), at(0.03, high)], ink)
    elif name == "spotted":
        for row in range(4):
            for column in range(3):
                x, y = at((column + (0.75 if row % 2 else 0.35)) / 3.1, 0.14 + row * 0.24)
                sketch.spot(x, y, 0.02, 0.02, ink)


def draw_person(
    rng: np.random.Generator, body: Body, pose: str = "standing", arms: str = "down"
) -> tuple[Sketch, Mark]:
    """The sketch of one person and its mark.

    Args:
        rng: decides details such as the position of the arms.
        body: see `dress_up`.
        pose: standing, walking, sitting (seen from the front) or riding (one leg over something).
        arms: down, up (both raised), holding (one hand forward) or both (both hands forward).

    Returns:
        The sketch, with anchors `hand`, `hip`, `mouth`, `chest` and `shoulder`, and the mark of the whole person.
    """
    sketch = Sketch()
    size = SIZES[body.kind]
    head = 0.115 if size > 0.9 else 0.145
    lift = 0.0 if pose in ("standing", "walking") else -0.2
    hip, neck = 0.44 + lift, 0.75 + lift
    face_y = neck + head * 0.95
    attributes = {"age": "old" if body.old else "young" if size < 0.9 else "grown"}
    attributes["hair"] = "bald" if body.hair == "bald" else body.colours["hair"]
    if body.beard:
        attributes["beard"] = "yes"
    with sketch.thing(body.kind, **attributes) as person:
        if body.hair in ("long", "ponytail"):
            _hair_behind(sketch, body, rng, face_y, head)
        _legs(sketch, body, rng, pose, hip)
        _torso(sketch, body, rng, hip, neck)
        hands = _arms(sketch, body, rng, arms, neck)
        _head(sketch, body, rng, face_y, head)
    sketch.anchors.update(
        hand=hands[1], hand2=hands[0], hip=(0.0, hip), mouth=(0.02, face_y - head * 0.45), chest=(0.0, (hip + neck) / 2)
    )
    scaled = Sketch()
    scaled.place(sketch, 0.0, 0.0, size)
    return scaled, person


def _legs(sketch: Sketch, body: Body, rng: np.random.Generator, pose: str, hip: float) -> None:
    spread = {"walking": 0.12, "standing": 0.055, "sitting": 0.075, "riding": 0.05}[pose]
    feet = [(-spread, 0.03), (spread, 0.03)]
    lower = body.lower or "dress"
    cloth = paint_of(rng, body.colours[lower])
    width = 0.1
    if pose == "riding":
        knee = (0.13, hip - 0.1)
        feet = [(0.09, hip - 0.3)]
        tops = [(0.02, hip + 0.02)]
        knees = [knee]
    else:
        tops = [(-0.055, hip), (0.055, hip)]
        knees = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in zip(tops, feet, strict=True)]
    if lower == "trousers":
        with sketch.thing("trousers", colour=body.colours["trousers"]):
            for top, knee, foot in zip(tops, knees, feet, strict=True):
                sketch.limb(top, knee, width, cloth)
                sketch.limb(knee, (foot[0], foot[1] + 0.03), width * 0.9, cloth)
            sketch.box(-0.105, hip - 0.03, 0.105, hip + 0.06, cloth)
    else:
        with sketch.thing("legs"):
            for top, knee, foot in zip(tops, knees, feet, strict=True):
                sketch.limb(((top[0] + 2 * knee[0]) / 3, (top[1] + 2 * knee[1]) / 3), knee, width * 0.72, body.skin)
                sketch.limb(knee, (foot[0], foot[1] + 0.02), width * 0.7, body.skin)
    with sketch.thing(body.shoes, colour=body.colours["shoes"]):
        leather = paint_of(rng, body.colours["shoes"])
        for side, foot in zip((-1, 1), feet, strict=False):
            turn = 1 if pose in ("walking", "riding") else side
            if body.shoes == "boots":
                sketch.box(foot[0] - 0.05, 0.02 + foot[1] - 0.03, foot[0] + 0.05, foot[1] + 0.11, leather)
            sketch.ellipse(foot[0] + 0.02 * turn, foot[1], 0.07, 0.032, leather)
    if lower == "shorts":
        with sketch.thing("shorts", colour=body.colours["shorts"]):
            for top, knee in zip(tops, knees, strict=True):
                sketch.limb(top, ((top[0] + 2 * knee[0]) / 3, (top[1] + 2 * knee[1]) / 3), 0.115, cloth)
            sketch.box(-0.108, hip - 0.05, 0.108, hip + 0.06, cloth)
    elif lower == "skirt":
        low = hip - (0.2 if pose in ("standing", "walking") else 0.1)
        pattern = body.patterns["skirt"]
        with sketch.thing("skirt", colour=body.colours["skirt"], pattern=pattern):
            corners = ((-0.17, low), (0.17, low), (0.1, hip + 0.06), (-0.1, hip + 0.06))
            sketch.polygon(corners, cloth)
            _pattern(sketch, pattern, cloth, corners)


def _torso(sketch: Sketch, body: Body, rng: np.random.Generator, hip: float, neck: float) -> None:
    cloth = paint_of(rng, body.colours[body.upper])
    sketch.limb((0, neck - 0.03), (0, neck + 0.05), 0.07, shade(body.skin, 0.92))
    pattern = body.patterns[body.upper]
    with sketch.thing(body.upper, colour=body.colours[body.upper], pattern=pattern):
        if body.upper == "dress":
            low = min(hip - 0.2, hip * 0.62)
            corners = ((-0.21, low), (0.21, low), (0.09, neck), (-0.09, neck))
            waist = hip + 0.1
            sketch.polygon(
                [(-0.21, low), (0.21, low), (0.1, waist), (0.14, neck - 0.05), (0.08, neck), (-0.08, neck),
                 (-0.14, neck - 0.05), (-0.1, waist)],
                cloth,
            )  # fmt: skip
            inner = ((-0.16, low), (0.16, low), (0.08, neck - 0.06), (-0.08, neck - 0.06))
            _pattern(sketch, pattern, cloth, inner)
            del corners
        else:
            low = hip - (0.07 if body.upper == "jacket" else 0.0)
            corners = ((-0.125, low), (0.125, low), (0.155, neck - 0.04), (-0.155, neck - 0.04))
            sketch.polygon(
                [*corners[:3], (0.08, neck), (-0.08, neck), corners[3]], cloth
            )  # shoulders slope to the neck
            _pattern(sketch, pattern, cloth, ((-0.12, low), (0.12, low), (0.14, neck - 0.03), (-0.14, neck - 0.03)))
            if body.upper == "jacket":
                shirt = (246, 244, 238) if sum(cloth) < 560 else (90, 90, 110)
                sketch.flat([(-0.035, neck), (0.035, neck), (0.015, low + 0.12), (-0.015, low + 0.12)], shirt)
                sketch.line([(0, low), (0, low + 0.14)], shade(cloth, 0.55), 0.012)
            elif body.upper == "shirt":
                sketch.polygon([(-0.06, neck + 0.005), (0, neck - 0.05), (-0.005, neck - 0.07)], shade(cloth, 1.4))
                sketch.polygon([(0.06, neck + 0.005), (0, neck - 0.05), (0.005, neck - 0.07)], shade(cloth, 1.4))
                for k in range(3):
                    sketch.spot(0, neck - 0.1 - 0.07 * k, 0.01, 0.01, shade(cloth, 0.5))
        sketch.flat(
            [(0.09, hip + 0.02), (0.122, hip + 0.02), (0.145, neck - 0.05), (0.11, neck - 0.05)],
            (*shade(cloth, 0.4), 60),
        )
    if body.scarf:
        wool = paint_of(rng, body.colours["scarf"])
        with sketch.thing("scarf", colour=body.colours["scarf"], pattern=body.patterns["scarf"]):
            sketch.limb((-0.085, neck + 0.015), (0.085, neck + 0.015), 0.075, wool)
            corners = ((0.02, neck - 0.24), (0.09, neck - 0.24), (0.09, neck + 0.02), (0.02, neck + 0.02))
            sketch.polygon(corners, wool)
            _pattern(sketch, body.patterns["scarf"], wool, corners)


def _arms(sketch: Sketch, body: Body, rng: np.random.Generator, arms: str, neck: float) -> list[Point]:
    """Draws both arms and returns where the hands are, left first."""
    cloth = paint_of(rng, body.colours[body.upper])
    shoulders = [(-0.135, neck - 0.055), (0.135, neck - 0.055)]
    sway = float(rng.uniform(-0.02, 0.03))
    down = [(-0.19 - sway, neck - 0.3), (0.19 + sway, neck - 0.3)]
    hands = {
        "down": down,
        "up": [(-0.25, neck + 0.26), (0.25, neck + 0.26)],
        "holding": [down[0], (0.27, neck - 0.13)],
        "both": [(-0.02, neck - 0.2), (0.27, neck - 0.16)],
        "waving": [down[0], (0.26, neck + 0.24)],
    }[arms]
    bare = body.upper in ("t-shirt", "dress")

    def arm(shoulder: Point, hand: Point) -> None:
        elbow = ((shoulder[0] + hand[0]) / 2 + math.copysign(0.03, shoulder[0]), (shoulder[1] + hand[1]) / 2)
        if bare:
            sketch.limb(shoulder, elbow, 0.062, body.skin)
            sketch.limb(elbow, hand, 0.058, body.skin)
            sleeve = (shoulder[0] * 0.55 + elbow[0] * 0.45, shoulder[1] * 0.55 + elbow[1] * 0.45)
            sketch.limb(shoulder, sleeve, 0.085, cloth)
        else:
            sketch.limb(shoulder, elbow, 0.08, cloth)
            sketch.limb(elbow, hand, 0.075, cloth)
        sketch.ellipse(hand[0], hand[1], 0.036, 0.036, body.skin)

    for shoulder, hand in zip(shoulders, hands, strict=True):
        if hand[1] > neck:
            with sketch.thing("arm"):
                arm(shoulder, hand)
        else:
            arm(shoulder, hand)
    return list(hands)


def _hair_behind(sketch: Sketch, body: Body, rng: np.random.Generator, y: float, r: float) -> None:
    colour = paint_of(rng, body.colours["hair"], HAIR_COLOURS)
    if body.hair == "long":
        sketch.polygon(
            [(-r * 1.1, y + r * 0.4), (-r * 1.25, y - r * 1.75), (r * 1.25, y - r * 1.75), (r * 1.1, y + r * 0.4)],
            shade(colour, 0.88),
        )
    else:
        sketch.polygon(
            [(-r * 0.7, y + r * 0.5), (-r * 1.9, y + r * 0.3), (-r * 1.7, y - r * 1.3), (-r * 1.2, y - r * 0.6)], colour
        )


def _head(sketch: Sketch, body: Body, rng: np.random.Generator, y: float, r: float) -> None:
    colour = paint_of(rng, body.colours["hair"], HAIR_COLOURS)
    sketch.ellipse(-r * 0.98, y - r * 0.1, r * 0.18, r * 0.22, body.skin)
    sketch.ellipse(r * 0.98, y - r * 0.1, r * 0.18, r * 0.22, body.skin)
    sketch.ellipse(0, y, r * 0.97, r * 1.05, body.skin)
    if body.beard:
        with sketch.thing("beard", colour=body.colours["hair"]):
            sketch.polygon(
                [(-r * 0.95, y - r * 0.15), (-r * 0.6, y - r * 0.3), (0, y - r * 0.22), (r * 0.6, y - r * 0.3),
                 (r * 0.95, y - r * 0.15), (r * 0.75, y - r * 0.95), (0, y - r * 1.45), (-r * 0.75, y - r * 0.95)],
                colour,
            )  # fmt: skip
    for side in (-1, 1):
        sketch.spot(side * r * 0.36, y + r * 0.12, r * 0.11, r * 0.14, (40, 34, 34))
    sketch.spot(0, y - r * 0.14, r * 0.1, r * 0.12, shade(body.skin, 0.82))
    smile = (176, 66, 66) if not body.beard else (150, 60, 60)
    sketch.line([(-r * 0.3, y - r * 0.42), (0, y - r * 0.54), (r * 0.3, y - r * 0.42)], smile, r * 0.12)
    if body.glasses:
        with sketch.thing("glasses"):
            dark = (26, 26, 34)
            sketch.ellipse(-r * 0.4, y + r * 0.12, r * 0.36, r * 0.28, dark)
            sketch.ellipse(r * 0.4, y + r * 0.12, r * 0.36, r * 0.28, dark)
            sketch.line([(-r * 0.95, y + r * 0.2), (r * 0.95, y + r * 0.2)], dark, r * 0.1)
    if body.hair != "bald":
        attributes = {"colour": body.colours["hair"], "style": body.hair}
        with sketch.thing("hair", **attributes) as mark:
            _hair_on_top(sketch, body, colour, y, r)
            if body.hair == "long":
                mark.cover(-r * 1.25, y - r * 1.75, r * 1.25, y + r)
            elif body.hair == "ponytail":
                mark.cover(-r * 1.9, y - r * 1.3, r, y + r)
    if body.hat:
        _hat(sketch, body, rng, y, r)


def _hair_on_top(sketch: Sketch, body: Body, colour: Colour, y: float, r: float) -> None:
    if body.hair == "curly":
        for k in range(9):
            angle = math.radians(-10 + k * 25)
            sketch.ellipse(
                r * 1.02 * math.cos(angle), y + r * (0.25 + 0.85 * math.sin(angle)), r * 0.36, r * 0.36, colour
            )
        return
    fringe = [(r * 0.7, y + r * 0.5), (r * 0.2, y + r * 0.62), (-r * 0.2, y + r * 0.42), (-r * 0.75, y + r * 0.5)]
    arc = [
        (r * 1.08 * math.cos(math.radians(k * 18 - 8)), y + r * 1.16 * math.sin(math.radians(k * 18 - 8)))
        for k in range(12)
    ]
    sketch.polygon(arc + list(reversed(fringe)), colour)
    if body.hair == "long":
        for side in (-1, 1):
            sketch.polygon(
                [(side * r * 0.85, y + r * 0.6), (side * r * 1.15, y + r * 0.3), (side * r * 1.25, y - r * 1.7),
                 (side * r * 0.85, y - r * 1.5), (side * r * 0.95, y)],
                colour,
            )  # fmt: skip


def _hat(sketch: Sketch, body: Body, rng: np.random.Generator, y: float, r: float) -> None:
    assert body.hat is not None
    felt = paint_of(rng, body.colours["hat"])
    with sketch.thing(body.hat, colour=body.colours["hat"]):
        if body.hat == "hat":
            sketch.polygon(
                [(-r * 0.8, y + r * 0.6), (r * 0.8, y + r * 0.6), (r * 0.65, y + r * 1.7), (-r * 0.65, y + r * 1.7)],
                felt,
            )
            sketch.flat(
                [(-r * 0.8, y + r * 0.62), (r * 0.8, y + r * 0.62), (r * 0.76, y + r * 0.9), (-r * 0.76, y + r * 0.9)],
                shade(felt, 0.6),
            )
            sketch.ellipse(0, y + r * 0.6, r * 1.6, r * 0.24, felt)
        elif body.hat == "cap":
            sketch.half_ellipse(0, y + r * 0.45, r * 1.05, r * 0.95, 0, felt)
            sketch.polygon(
                [(r * 0.3, y + r * 0.4), (r * 1.75, y + r * 0.36), (r * 1.6, y + r * 0.6), (r * 0.3, y + r * 0.72)],
                felt,
            )
        else:
            sketch.half_ellipse(0, y + r * 0.3, r * 1.2, r * 1.15, 0, felt)
            sketch.line([(-r * 0.9, y + r * 0.3), (0, y - r * 1.1), (r * 0.9, y + r * 0.3)], (50, 50, 56), r * 0.1)
            sketch.flat(
                [
                    (-r * 0.2, y + r * 0.35),
                    (r * 0.2, y + r * 0.35),
                    (r * 0.12, y + r * 1.35),
                    (-r * 0.12, y + r * 1.35),
                ],
                shade(felt, 1.5),
            )
