"""Furniture of rooms and streets, and what hangs on walls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unboxed.scenes.canvas import Colour, Sketch, shade
from unboxed.scenes.palette import paint_of, pick, pick_colour

__all__ = ["FURNITURE", "STREET_FURNITURE", "WALL_THINGS", "door"]

Draw = Callable[[np.random.Generator], Sketch]

_WOOD: Colour = (156, 106, 62)


def bench(rng: np.random.Generator) -> Sketch:
    """A bench, with the attribute colour; anchor: `seat`."""
    name = pick_colour(rng, ("brown", "green", "red", "white", "blue"))
    plank = paint_of(rng, name)
    s = Sketch()
    with s.thing("bench", colour=name):
        for x in (-0.36, 0.36):
            s.box(x - 0.03, 0, x + 0.03, 0.5, (74, 74, 80))
        for y in (0.34, 0.43):
            s.box(-0.44, y, 0.44, y + 0.06, plank)
        s.box(-0.46, 0.2, 0.46, 0.27, plank)
        s.flat([(-0.46, 0.2), (0.46, 0.2), (0.46, 0.225), (-0.46, 0.225)], shade(plank, 0.75))
    s.anchors.update(seat=(0.0, 0.27))
    return s


def chair(rng: np.random.Generator) -> Sketch:
    """A chair, with the attribute colour; anchor: `seat`."""
    name = pick_colour(rng, ("brown", "red", "blue", "green", "white", "yellow", "black"))
    paint = paint_of(rng, name)
    s = Sketch()
    with s.thing("chair", colour=name):
        for x in (-0.15, 0.15):
            s.limb((x, 0.02), (x, 0.6), 0.04, shade(paint, 0.85))
        s.box(-0.15, 0.36, 0.15, 0.58, paint)
        s.line([(-0.12, 0.47), (0.12, 0.47)], shade(paint, 0.75), 0.02)
        s.box(-0.19, 0.24, 0.19, 0.3, paint)
    s.anchors.update(seat=(0.0, 0.29))
    return s


def table(rng: np.random.Generator) -> Sketch:
    """A table, with the attribute colour; anchor: `top`."""
    name = pick_colour(rng, ("brown", "white", "black", "green", "blue", "red"))
    top = paint_of(rng, name)
    s = Sketch()
    with s.thing("table", colour=name):
        for x in (-0.34, 0.34):
            s.box(x - 0.03, 0, x + 0.03, 0.36, shade(top, 0.8))
        s.polygon([(-0.44, 0.36), (0.44, 0.36), (0.38, 0.44), (-0.38, 0.44)], top)
        s.box(-0.44, 0.32, 0.44, 0.37, shade(top, 0.85))
    s.anchors.update(top=(0.0, 0.4))
    return s


def sofa(rng: np.random.Generator) -> Sketch:
    """A sofa, with the attribute colour; anchor: `seat`."""
    name = pick_colour(rng, ("red", "blue", "green", "gray", "brown", "purple", "orange", "pink"))
    cloth = paint_of(rng, name)
    s = Sketch()
    with s.thing("sofa", colour=name):
        s.box(-0.48, 0.06, 0.48, 0.52, cloth)
        s.line([(0, 0.26), (0, 0.5)], shade(cloth, 0.75), 0.016)
        s.box(-0.42, 0.16, 0.0, 0.28, shade(cloth, 1.15))
        s.box(0.0, 0.16, 0.42, 0.28, shade(cloth, 1.15))
        for x in (-0.5, 0.5):
            s.limb((x, 0.1), (x, 0.33), 0.13, shade(cloth, 0.92))
        for x in (-0.46, 0.46):
            s.box(x - 0.03, 0.0, x + 0.03, 0.06, _WOOD)
    s.anchors.update(seat=(0.0, 0.27))
    return s


def bed(rng: np.random.Generator) -> Sketch:
    """A bed, with the attribute colour; anchor: `seat`."""
    name = pick_colour(rng, ("blue", "red", "green", "pink", "purple", "yellow", "white"))
    quilt = paint_of(rng, name)
    s = Sketch()
    with s.thing("bed", colour=name):
        s.box(-0.66, 0.0, -0.58, 0.56, _WOOD)
        s.box(0.58, 0.0, 0.65, 0.36, _WOOD)
        s.box(-0.6, 0.1, 0.6, 0.2, shade(_WOOD, 0.8))
        s.box(-0.58, 0.2, 0.58, 0.3, (244, 242, 238))
        s.ellipse(-0.44, 0.34, 0.13, 0.065, (250, 250, 252))
        s.polygon([(-0.28, 0.16), (0.58, 0.16), (0.58, 0.33), (-0.24, 0.33)], quilt)
        s.flat([(-0.28, 0.16), (-0.2, 0.16), (-0.16, 0.33), (-0.24, 0.33)], shade(quilt, 1.4))
    s.anchors.update(seat=(0.15, 0.33))
    return s


def lamp(rng: np.random.Generator) -> Sketch:
    """A lamp, with the attribute colour."""
    name = pick_colour(rng, ("yellow", "red", "white", "green", "blue", "orange"))
    cloth = paint_of(rng, name)
    s = Sketch()
    with s.thing("lamp", colour=name):
        s.ellipse(0, 0.02, 0.12, 0.025, (80, 76, 76))
        s.limb((0, 0.03), (0, 0.72), 0.03, (90, 86, 86))
        s.polygon([(-0.17, 0.68), (0.17, 0.68), (0.1, 0.92), (-0.1, 0.92)], cloth)
        s.spot(0, 0.67, 0.06, 0.02, (255, 248, 200))
    return s


def shelf(rng: np.random.Generator) -> Sketch:
    """A bookshelf, with the attribute colour."""
    s = Sketch()
    wood = paint_of(rng, "brown")
    inks = ((196, 60, 56), (60, 110, 190), (70, 150, 90), (232, 190, 70), (130, 80, 160), (230, 230, 224))
    with s.thing("bookshelf", colour="brown"):
        s.box(-0.3, 0.0, 0.3, 0.98, wood)
        for row in range(3):
            y = 0.07 + row * 0.3
            s.box(-0.26, y, 0.26, y + 0.25, shade(wood, 0.6))
            x = -0.24
            while x < 0.2:
                width = float(rng.uniform(0.04, 0.07))
                s.box(x, y, x + width, y + float(rng.uniform(0.15, 0.23)), pick(rng, inks))
                x += width
    return s


def street_lamp(rng: np.random.Generator) -> Sketch:
    """A street lamp."""
    s = Sketch()
    iron = (62, 70, 74)
    with s.thing("street lamp"):
        s.box(-0.05, 0.0, 0.05, 0.1, iron)
        s.limb((0, 0.05), (0, 1.4), 0.04, iron)
        s.line([(0, 1.38), (0.04, 1.46), (0.16, 1.46)], iron, 0.035)
        s.polygon([(0.09, 1.36), (0.25, 1.36), (0.2, 1.46), (0.13, 1.46)], (255, 236, 150))
    return s


def sign(rng: np.random.Generator) -> Sketch:
    """A sign, with the attribute colour."""
    name = pick_colour(rng, ("red", "blue", "yellow", "green"))
    s = Sketch()
    with s.thing("sign", colour=name):
        s.limb((0, 0.02), (0, 0.7), 0.04, (130, 132, 138))
        fill = paint_of(rng, name)
        if name == "red":
            points = [(0.17 * np.cos(a), 0.78 + 0.17 * np.sin(a)) for a in np.arange(8) * np.pi / 4 + np.pi / 8]
            s.polygon([(float(x), float(y)) for x, y in points], fill)
        elif name == "yellow":
            s.polygon([(0, 0.58), (0.2, 0.78), (0, 0.98), (-0.2, 0.78)], fill)
        else:
            s.box(-0.2, 0.64, 0.2, 0.92, fill)
        s.box(-0.1, 0.755, 0.1, 0.805, (250, 250, 250) if name != "yellow" else (30, 30, 30))
    return s


def picture(rng: np.random.Generator) -> Sketch:
    """A picture."""
    s = Sketch()
    with s.thing("picture"):
        w, h = pick(rng, ((0.2, 0.15), (0.14, 0.18), (0.26, 0.17)))
        s.box(-w, 0, w, 2 * h, pick(rng, ((150, 100, 50), (40, 38, 40), (212, 172, 80))))
        s.box(-w + 0.03, 0.03, w - 0.03, 2 * h - 0.03, pick(rng, ((190, 220, 240), (250, 226, 190), (220, 210, 236))))
        s.flat([(-w + 0.03, 0.03), (w - 0.03, 0.03), (w - 0.03, h * 0.7), (0, h), (-w + 0.03, h * 0.6)], (96, 150, 96))
        s.spot(w * 0.4, h * 1.4, 0.035, 0.035, (244, 180, 60))
    return s


def window(rng: np.random.Generator) -> Sketch:
    """A window."""
    s = Sketch()
    with s.thing("window"):
        s.box(-0.22, 0, 0.22, 0.52, (246, 244, 240), (150, 140, 130))
        glass = pick(rng, ((164, 212, 242), (186, 226, 246), (40, 54, 100)))
        for x in (-0.19, 0.015):
            for y in (0.03, 0.275):
                s.box(x, y, x + 0.175, y + 0.215, glass)
        s.box(-0.26, -0.04, 0.26, 0.01, (236, 232, 226), (150, 140, 130))
    return s


def door(rng: np.random.Generator) -> Sketch:
    """A door, with the attribute colour."""
    name = pick_colour(rng, ("brown", "white", "red", "green", "blue"))
    wood = paint_of(rng, name)
    s = Sketch()
    with s.thing("door", colour=name):
        s.box(-0.22, 0.0, 0.22, 1.08, shade(wood, 0.75))
        s.box(-0.18, 0.0, 0.18, 1.04, wood)
        for y in (0.1, 0.58):
            s.box(-0.12, y, 0.12, y + 0.36, shade(wood, 0.9))
        s.spot(0.14, 0.52, 0.022, 0.022, (236, 200, 90))
    return s


def clock(rng: np.random.Generator) -> Sketch:
    """A clock."""
    s = Sketch()
    with s.thing("clock"):
        s.ellipse(0, 0.13, 0.13, 0.13, pick(rng, ((190, 50, 50), (50, 50, 56), (140, 96, 56))))
        s.spot(0, 0.13, 0.105, 0.105, (250, 250, 246))
        s.line([(0, 0.2), (0, 0.13), (0.055, 0.11)], (30, 30, 34), 0.018)
    return s


FURNITURE: dict[str, Draw] = {
    "bench": bench, "chair": chair, "table": table, "sofa": sofa, "bed": bed, "lamp": lamp, "bookshelf": shelf,
}  # fmt: skip
STREET_FURNITURE: dict[str, Draw] = {"street lamp": street_lamp, "sign": sign, "bench": bench}
WALL_THINGS: dict[str, Draw] = {"picture": picture, "window": window, "clock": clock}
