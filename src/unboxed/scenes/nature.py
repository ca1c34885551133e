"""Plants, buildings, and the sun, the moon and clouds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unboxed.scenes.canvas import Colour, Sketch, shade
from unboxed.scenes.palette import chance, paint_of, pick, pick_colour

__all__ = ["BUILDINGS", "PLANTS", "SKY_THINGS"]

Draw = Callable[[np.random.Generator], Sketch]

_BARK: Colour = (112, 76, 48)


def tree(rng: np.random.Generator) -> Sketch:
    """A tree, with the attributes colour and size."""
    name = pick(rng, ("green", "green", "green", "orange", "yellow"))
    leaf = paint_of(rng, name)
    leaf = shade(leaf, 0.9)
    big = chance(rng, 0.5)
    k = 1.0 if big else 0.68
    inner, s = Sketch(), Sketch()
    with inner.thing("tree", colour=name, size="big" if big else "small"):
        inner.polygon([(-0.08, 0), (0.08, 0), (0.05, 0.55), (-0.05, 0.55)], _BARK)
        for x, y, r in ((-0.22, 0.66, 0.2), (0.22, 0.66, 0.2), (-0.12, 0.9, 0.2), (0.14, 0.9, 0.19), (0.0, 0.72, 0.26)):
            inner.ellipse(x, y, r, r * 0.95, leaf)
        inner.spot(0, 0.76, 0.25, 0.2, leaf)
        for x, y in ((-0.15, 0.92), (0.06, 0.98), (-0.25, 0.72), (0.16, 0.76)):
            inner.spot(x, y, 0.07, 0.05, shade(leaf, 1.2))
    s.place(inner, 0, 0, k * float(rng.uniform(0.95, 1.1)))
    return s


def pine(rng: np.random.Generator) -> Sketch:
    """A pine tree, with the attribute colour."""
    leaf = paint_of(rng, "green")
    leaf = shade(leaf, 0.72)
    snowy = chance(rng, 0.3)
    s = Sketch()
    with s.thing("pine tree", colour="green"):
        s.box(-0.06, 0, 0.06, 0.2, _BARK)
        for k in range(3):
            y = 0.14 + k * 0.3
            w = 0.34 - k * 0.075
            s.polygon([(-w, y), (w, y), (0, y + 0.5)], shade(leaf, 1 + 0.08 * k))
            if snowy:
                s.flat([(-w * 0.4, y + 0.3), (w * 0.4, y + 0.3), (0, y + 0.5)], (250, 252, 255))
    return s


def palm(rng: np.random.Generator) -> Sketch:
    """A palm tree, with the attribute colour."""
    leaf = paint_of(rng, "green")
    s = Sketch()
    with s.thing("palm tree", colour="green"):
        s.line([(0, 0), (0.05, 0.4), (0.02, 0.85)], (166, 122, 76), 0.08)
        for dx, dy in ((-0.36, -0.12), (-0.28, 0.16), (0.0, 0.26), (0.3, 0.16), (0.4, -0.12)):
            s.polygon(
                [
                    (0.02, 0.83),
                    (0.02 + dx * 0.5, 0.92 + dy * 0.7),
                    (0.02 + dx, 0.83 + dy),
                    (0.02 + dx * 0.55, 0.82 + dy * 0.55),
                ],
                leaf,
            )
        s.ellipse(-0.02, 0.8, 0.035, 0.035, (120, 80, 50))
        s.ellipse(0.06, 0.8, 0.035, 0.035, (120, 80, 50))
    return s


def bush(rng: np.random.Generator) -> Sketch:
    """A bush, with the attribute colour."""
    leaf = paint_of(rng, "green")
    s = Sketch()
    with s.thing("bush", colour="green"):
        for x, y, r in (
            (-0.18, 0.12, 0.14),
            (0.18, 0.12, 0.14),
            (0.0, 0.2, 0.17),
            (-0.08, 0.1, 0.13),
            (0.1, 0.1, 0.13),
        ):
            s.ellipse(x, y, r, r * 0.85, leaf)
        s.spot(0, 0.12, 0.2, 0.1, leaf)
        if chance(rng, 0.5):
            berry = pick(rng, ((214, 50, 60), (250, 250, 250), (246, 190, 60)))
            for x, y in ((-0.17, 0.14), (0.0, 0.24), (0.15, 0.15), (0.03, 0.1), (-0.07, 0.2)):
                s.spot(x, y, 0.025, 0.025, berry)
    return s


def flower_bed(rng: np.random.Generator) -> Sketch:
    """A bed of flowers, with the attribute colour."""
    name = pick_colour(rng, ("red", "pink", "yellow", "purple", "white", "orange"))
    petal = paint_of(rng, name)
    s = Sketch()
    with s.thing("flowers", colour=name):
        for k in range(6):
            x, y = -0.2 + 0.08 * k, 0.12 + 0.07 * ((k * 7) % 3) / 2
            s.line([(x, 0), (x, y)], (56, 136, 62), 0.018)
            s.ellipse(x, y, 0.045, 0.045, petal)
            s.spot(x, y, 0.018, 0.018, (246, 206, 60) if name not in ("yellow", "orange") else (120, 70, 30))
    return s


def rock(rng: np.random.Generator) -> Sketch:
    """A rock, with the attribute size."""
    stone = pick(rng, ((136, 132, 130), (120, 122, 128), (148, 138, 124)))
    big = chance(rng, 0.4)
    k = 1.6 if big else 1.0
    s = Sketch()
    with s.thing("rock", size="big" if big else "small"):
        s.polygon(
            [(-0.17 * k, 0), (0.18 * k, 0), (0.14 * k, 0.11 * k), (0.04 * k, 0.18 * k), (-0.1 * k, 0.15 * k)], stone
        )
        s.flat(
            [(-0.1 * k, 0.15 * k), (0.04 * k, 0.18 * k), (0.02 * k, 0.09 * k), (-0.07 * k, 0.08 * k)],
            shade(stone, 1.25),
        )
    return s


def fence(rng: np.random.Generator) -> Sketch:
    """A fence, with the attribute colour."""
    name = pick_colour(rng, ("white", "brown", "green"))
    wood = paint_of(rng, name)
    s = Sketch()
    half = pick(rng, (0.45, 0.6, 0.75))
    with s.thing("fence", colour=name):
        for y in (0.12, 0.27):
            s.box(-half, y, half, y + 0.05, shade(wood, 0.88))
        count = round(half * 12)
        for k in range(count):
            x = -half + 0.03 + k * (2 * half - 0.1) / (count - 1)
            s.polygon([(x, 0), (x + 0.055, 0), (x + 0.055, 0.34), (x + 0.027, 0.4), (x, 0.34)], wood)
    return s


def house(rng: np.random.Generator) -> Sketch:
    """A house, with the attribute colour; part: roof."""
    name = pick_colour(rng, ("white", "yellow", "red", "blue", "pink", "gray", "brown"))
    wall = paint_of(rng, name)
    roof = pick(rng, ((152, 64, 48), (92, 66, 58), (78, 88, 106)))
    s = Sketch()
    with s.thing("house", colour=name):
        s.box(0.22, 0.72, 0.32, 1.0, shade(roof, 0.8))
        s.box(-0.45, 0, 0.45, 0.6, wall)
        with s.thing("roof"):
            s.polygon([(-0.53, 0.58), (0.53, 0.58), (0.3, 0.92), (-0.3, 0.92)], roof)
        s.box(-0.09, 0, 0.09, 0.34, shade(roof, 0.9))
        for x in (-0.36, 0.19):
            s.box(x, 0.24, x + 0.18, 0.44, (250, 250, 246))
            s.box(x + 0.02, 0.26, x + 0.16, 0.42, (150, 200, 230))
        s.flat([(0.3, 0), (0.45, 0), (0.45, 0.58), (0.3, 0.58)], (0, 0, 0, 26))
    return s


def tower(rng: np.random.Generator) -> Sketch:
    """A building, with the attribute colour."""
    name = pick_colour(rng, ("gray", "brown", "white", "yellow", "red", "blue"))
    wall = paint_of(rng, name)
    w, floors = pick(rng, ((0.3, 4), (0.36, 5), (0.26, 6)))
    s = Sketch()
    with s.thing("building", colour=name):
        height = floors * 0.24 + 0.14
        s.box(-w, 0, w, height, wall)
        s.box(-w - 0.03, height, w + 0.03, height + 0.05, shade(wall, 0.75))
        lit = chance(rng, 0.3)
        for row in range(1, floors):
            for column in range(3):
                x = -w + w * 2 * (column + 0.5) / 3
                glass = (250, 232, 150) if lit and (row * 3 + column) % 3 else (160, 200, 226)
                s.box(x - 0.055, row * 0.24 + 0.05, x + 0.055, row * 0.24 + 0.2, glass)
        s.box(-0.07, 0, 0.07, 0.2, shade(wall, 0.5))
        s.flat([(w * 0.55, 0), (w, 0), (w, height), (w * 0.55, height)], (0, 0, 0, 24))
    return s


def barn(rng: np.random.Generator) -> Sketch:
    """A barn, with the attribute colour."""
    s = Sketch()
    wall = paint_of(rng, "red")
    with s.thing("barn", colour="red"):
        wall = shade(wall, 0.85)
        s.polygon([(-0.5, 0), (0.5, 0), (0.5, 0.5), (0.3, 0.8), (0, 0.94), (-0.3, 0.8), (-0.5, 0.5)], wall)
        s.line([(-0.54, 0.48), (-0.31, 0.82), (0, 0.97), (0.31, 0.82), (0.54, 0.48)], (90, 84, 84), 0.05)
        s.box(-0.17, 0, 0.17, 0.4, (246, 242, 236))
        s.box(-0.145, 0, 0.145, 0.375, shade(wall, 0.8))
        s.line([(-0.145, 0), (0.145, 0.375)], (246, 242, 236), 0.025)
        s.line([(0.145, 0), (-0.145, 0.375)], (246, 242, 236), 0.025)
        s.box(-0.08, 0.56, 0.08, 0.7, (250, 246, 236))
    return s


def sun(rng: np.random.Generator) -> Sketch:
    """The sun."""
    s = Sketch()
    with s.thing("sun"):
        s.spot(0, 0.15, 0.15, 0.15, (255, 226, 90))
        s.spot(0, 0.15, 0.125, 0.125, (255, 240, 150))
    return s


def moon(rng: np.random.Generator) -> Sketch:
    """The moon."""
    s = Sketch()
    with s.thing("moon"):
        s.spot(0, 0.13, 0.13, 0.13, (246, 244, 222))
        s.spot(0.04, 0.16, 0.03, 0.03, (222, 218, 190))
        s.spot(-0.05, 0.1, 0.022, 0.022, (222, 218, 190))
    return s


def cloud(rng: np.random.Generator) -> Sketch:
    """A cloud, with the attribute colour."""
    dark = chance(rng, 0.25)
    white = (150, 156, 168) if dark else (252, 253, 255)
    k = float(rng.uniform(0.8, 1.3))
    s = Sketch()
    with s.thing("cloud", colour="gray" if dark else "white"):
        for x, y, r in ((-0.22, 0.1, 0.1), (-0.08, 0.15, 0.14), (0.1, 0.14, 0.13), (0.23, 0.09, 0.09)):
            s.spot(x * k, y * k, r * 1.15 * k, r * k, shade(white, 0.94))
            s.spot(x * k, (y + 0.015) * k, r * 1.05 * k, r * 0.9 * k, white)
        s.spot(0, 0.07 * k, 0.3 * k, 0.065 * k, white)
    return s


PLANTS: dict[str, Draw] = {
    "tree": tree,
    "pine tree": pine,
    "palm tree": palm,
    "bush": bush,
    "flowers": flower_bed,
    "rock": rock,
    "fence": fence,
}
BUILDINGS: dict[str, Draw] = {"house": house, "building": tower, "barn": barn}
SKY_THINGS: dict[str, Draw] = {"sun": sun, "moon": moon, "cloud": cloud}
