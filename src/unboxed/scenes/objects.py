"""Toys, food and other small objects. The origin of held things is the hand; the others stand on their base."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unboxed.scenes.canvas import Colour, Sketch, shade
from unboxed.scenes.palette import chance, paint_of, pick, pick_colour

__all__ = ["GROUND_THINGS", "HELD_THINGS", "TABLE_THINGS", "kite"]

Draw = Callable[[np.random.Generator], Sketch]

_BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")


def _dye(rng: np.random.Generator, names: tuple[str, ...] = _BRIGHT) -> tuple[str, Colour]:
    name = pick_colour(rng, names)
    return name, paint_of(rng, name)


def ball(rng: np.random.Generator) -> Sketch:
    """A ball, with the attributes colour, pattern and size."""
    name, rubber = _dye(rng)
    striped = chance(rng, 0.35)
    big = chance(rng, 0.35)
    r = 0.14 if big else 0.09
    s = Sketch()
    with s.thing("ball", colour=name, pattern="striped" if striped else "plain", size="big" if big else "small"):
        s.ellipse(0, r, r, r, rubber)
        if striped:
            ink = (250, 250, 250) if name != "white" else (60, 90, 180)
            s.flat([(-r * 0.9, r * 1.35), (r * 0.9, r * 1.35), (r * 0.98, r * 1.1), (-r * 0.98, r * 1.1)], ink)
            s.flat([(-r * 0.95, r * 0.75), (r * 0.95, r * 0.75), (r * 0.8, r * 0.5), (-r * 0.8, r * 0.5)], ink)
        s.spot(-r * 0.35, r * 1.4, r * 0.22, r * 0.16, (255, 255, 255, 150))
    return s


def umbrella(rng: np.random.Generator) -> Sketch:
    """An umbrella, with the attributes colour and pattern."""
    name, cloth = _dye(rng, ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black"))
    striped = chance(rng, 0.35)
    s = Sketch()
    with s.thing("umbrella", colour=name, pattern="striped" if striped else "plain"):
        s.line([(0, -0.06), (0, 0.62)], (80, 62, 50), 0.022)
        s.half_ellipse(0, 0.36, 0.36, 0.27, 0, cloth)
        ribs = (-0.22, 0.0, 0.22)
        if striped:
            for x in (-0.17, 0.17):
                s.flat(
                    [(x - 0.07, 0.37), (x + 0.07, 0.37), (x * 0.5 + 0.02, 0.6), (x * 0.5 - 0.02, 0.6)], (250, 250, 250)
                )
        for x in ribs:
            s.line([(x, 0.36), (x * 0.4, 0.62)], shade(cloth, 0.7), 0.01)
    return s


def balloon(rng: np.random.Generator) -> Sketch:
    """A balloon, with the attribute colour."""
    name, rubber = _dye(rng, ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white"))
    s = Sketch()
    with s.loose():
        s.line([(0, 0), (0.03, 0.25), (0.0, 0.42)], (90, 90, 96), 0.01)
    with s.thing("balloon", colour=name):
        s.polygon([(-0.025, 0.4), (0.025, 0.4), (0, 0.44)], shade(rubber, 0.8))
        s.ellipse(0, 0.58, 0.13, 0.16, rubber)
        s.spot(-0.045, 0.64, 0.028, 0.04, (255, 255, 255, 150))
    return s


def kite(rng: np.random.Generator) -> Sketch:
    """A kite, with the attribute colour."""
    name, cloth = _dye(rng, ("red", "orange", "yellow", "green", "purple", "pink", "black"))
    s = Sketch()
    with s.thing("kite", colour=name):
        s.line([(0, 0.02), (-0.06, -0.08), (0.02, -0.15), (-0.05, -0.24)], shade(cloth, 0.7), 0.018)
        s.polygon([(0, 0.0), (0.17, 0.22), (0, 0.4), (-0.17, 0.22)], cloth)
        s.flat([(0, 0.0), (0.17, 0.22), (0, 0.22)], shade(cloth, 1.4))
        s.flat([(0, 0.22), (-0.17, 0.22), (0, 0.4)], shade(cloth, 0.75))
    return s


def book(rng: np.random.Generator) -> Sketch:
    """A book, with the attribute colour."""
    name, cover = _dye(rng, ("red", "blue", "green", "brown", "purple", "black"))
    s = Sketch()
    with s.thing("book", colour=name):
        s.polygon([(-0.13, -0.04), (0, -0.08), (0.13, -0.04), (0.13, 0.15), (0, 0.11), (-0.13, 0.15)], cover)
        s.polygon([(-0.115, 0.12), (0, 0.09), (0, 0.13), (-0.11, 0.17)], (250, 248, 236))
        s.polygon([(0.115, 0.12), (0, 0.09), (0, 0.13), (0.11, 0.17)], (250, 248, 236))
        s.line([(0, -0.07), (0, 0.1)], shade(cover, 0.6), 0.014)
    return s


def camera(rng: np.random.Generator) -> Sketch:
    """A camera."""
    s = Sketch()
    shell = pick(rng, ((52, 52, 58), (70, 72, 80)))
    with s.thing("camera"):
        s.box(-0.1, -0.05, 0.1, 0.08, shell)
        s.box(-0.04, 0.08, 0.04, 0.115, shell)
        s.ellipse(0.0, 0.015, 0.055, 0.055, (150, 152, 160))
        s.spot(0.0, 0.015, 0.035, 0.035, (40, 60, 110))
        s.spot(0.075, 0.055, 0.012, 0.012, (230, 60, 60))
    return s


def cup(rng: np.random.Generator) -> Sketch:
    """A cup, with the attribute colour."""
    name, glaze = _dye(rng, ("red", "white", "blue", "yellow", "green"))
    s = Sketch()
    with s.thing("cup", colour=name):
        s.line([(0.06, 0.1), (0.115, 0.085), (0.105, 0.03), (0.055, 0.03)], shade(glaze, 0.8), 0.02)
        s.polygon([(-0.055, 0), (0.055, 0), (0.075, 0.13), (-0.075, 0.13)], glaze)
        s.ellipse(0, 0.13, 0.075, 0.02, (92, 56, 36))
    return s


def bottle(rng: np.random.Generator) -> Sketch:
    """A bottle, with the attribute colour."""
    name, glass = _dye(rng, ("green", "brown", "blue", "red"))
    s = Sketch()
    with s.thing("bottle", colour=name):
        s.polygon(
            [
                (-0.05, 0),
                (0.05, 0),
                (0.05, 0.15),
                (0.02, 0.2),
                (0.02, 0.27),
                (-0.02, 0.27),
                (-0.02, 0.2),
                (-0.05, 0.15),
            ],
            glass,
        )
        s.box(-0.05, 0.05, 0.05, 0.12, (246, 242, 230))
    return s


def bag(rng: np.random.Generator) -> Sketch:
    """A bag, with the attribute colour."""
    name, leather = _dye(rng, ("red", "brown", "black", "blue", "pink", "yellow", "green"))
    s = Sketch()
    with s.thing("bag", colour=name):
        s.line([(-0.06, -0.08), (-0.03, 0.02), (0.03, 0.02), (0.06, -0.08)], shade(leather, 0.65), 0.022)
        s.polygon([(-0.13, -0.26), (0.13, -0.26), (0.105, -0.07), (-0.105, -0.07)], leather)
        s.flat([(-0.11, -0.12), (0.11, -0.12), (0.105, -0.08), (-0.105, -0.08)], shade(leather, 0.75))
        s.spot(0, -0.13, 0.018, 0.018, (240, 206, 100))
    return s


def flowers(rng: np.random.Generator) -> Sketch:
    """A bunch of flowers, with the attribute colour."""
    name, petal = _dye(rng, ("red", "pink", "yellow", "purple", "white", "orange"))
    s = Sketch()
    with s.thing("flowers", colour=name):
        for x, y in ((-0.07, 0.14), (0.0, 0.2), (0.075, 0.15)):
            s.line([(0, -0.06), (x, y)], (50, 130, 60), 0.018)
        for x, y in ((-0.08, 0.15), (0.0, 0.22), (0.085, 0.16), (-0.03, 0.12), (0.04, 0.1)):
            s.ellipse(x, y, 0.046, 0.046, petal)
            s.spot(x, y, 0.018, 0.018, (246, 206, 60) if name not in ("yellow", "orange") else (120, 70, 30))
    return s


def flag(rng: np.random.Generator) -> Sketch:
    """A flag, with the attributes colour and pattern."""
    name, cloth = _dye(rng, ("red", "blue", "green", "yellow", "orange", "purple"))
    striped = chance(rng, 0.35)
    s = Sketch()
    with s.thing("flag", colour=name, pattern="striped" if striped else "plain"):
        s.limb((0, -0.1), (0, 0.44), 0.02, (140, 100, 60))
        s.polygon([(0, 0.22), (0.14, 0.25), (0.28, 0.21), (0.28, 0.4), (0.14, 0.45), (0, 0.42)], cloth)
        if striped:
            s.flat([(0, 0.29), (0.14, 0.32), (0.28, 0.28), (0.28, 0.34), (0.14, 0.38), (0, 0.35)], (250, 250, 250))
    return s


def racket(rng: np.random.Generator) -> Sketch:
    """A racket, with the attribute colour."""
    name, frame = _dye(rng, ("red", "blue", "black", "yellow"))
    s = Sketch()
    with s.thing("racket", colour=name):
        s.limb((0, -0.06), (0.05, 0.1), 0.03, (60, 50, 46))
        s.ellipse(0.11, 0.24, 0.1, 0.13, frame)
        s.spot(0.11, 0.24, 0.075, 0.105, (238, 240, 230))
        for k in (-0.04, 0.0, 0.04):
            s.line([(0.11 + k, 0.14), (0.11 + k, 0.34)], (150, 150, 150), 0.006)
            s.line([(0.04, 0.24 + k * 1.4), (0.18, 0.24 + k * 1.4)], (150, 150, 150), 0.006)
    return s


def ice_cream(rng: np.random.Generator) -> Sketch:
    """An ice cream."""
    s = Sketch()
    scoop = pick(rng, ((250, 190, 206), (250, 240, 210), (150, 96, 60), (180, 226, 180)))
    with s.thing("ice cream"):
        s.polygon([(0, -0.08), (0.06, 0.08), (-0.06, 0.08)], (222, 164, 90))
        s.ellipse(0, 0.12, 0.07, 0.065, scoop)
        s.ellipse(0, 0.2, 0.055, 0.05, shade(scoop, 1.2))
    return s


def teddy(rng: np.random.Generator) -> Sketch:
    """A teddy bear, with the attribute colour."""
    name, fur = _dye(rng, ("brown", "white", "pink", "yellow"))
    s = Sketch()
    with s.thing("teddy bear", colour=name):
        for x in (-0.08, 0.08):
            s.ellipse(x, 0.04, 0.05, 0.04, fur)
            s.ellipse(x * 1.4, 0.14, 0.04, 0.055, fur)
            s.ellipse(x * 0.95, 0.34, 0.035, 0.035, shade(fur, 0.85))
        s.ellipse(0, 0.12, 0.1, 0.1, fur)
        s.spot(0, 0.12, 0.06, 0.065, shade(fur, 1.4))
        s.ellipse(0, 0.27, 0.095, 0.085, fur)
        s.spot(0, 0.245, 0.04, 0.032, shade(fur, 1.5))
        for x in (-0.035, 0.035):
            s.spot(x, 0.295, 0.012, 0.014, (26, 24, 24))
        s.spot(0, 0.255, 0.014, 0.011, (26, 24, 24))
    return s


def cake(rng: np.random.Generator) -> Sketch:
    """A cake, with the attribute colour."""
    name, icing = _dye(rng, ("pink", "white", "brown", "yellow"))
    s = Sketch()
    with s.thing("cake", colour=name):
        s.ellipse(0, 0.02, 0.19, 0.025, (214, 216, 220))
        s.box(-0.14, 0.02, 0.14, 0.15, shade((222, 176, 120), 1.0))
        s.polygon(
            [
                (-0.15, 0.16),
                (0.15, 0.16),
                (0.14, 0.1),
                (0.09, 0.07),
                (0.04, 0.11),
                (-0.02, 0.07),
                (-0.08, 0.11),
                (-0.14, 0.08),
            ],
            icing,
        )
        for x in (-0.07, 0.0, 0.07):
            s.line([(x, 0.16), (x, 0.23)], (90, 140, 220), 0.018)
            s.spot(x, 0.245, 0.014, 0.02, (250, 180, 50))
    return s


def pizza(rng: np.random.Generator) -> Sketch:
    """A pizza."""
    s = Sketch()
    with s.thing("pizza"):
        s.ellipse(0, 0.06, 0.2, 0.06, (206, 146, 78))
        s.spot(0, 0.066, 0.17, 0.045, (246, 204, 90))
        for k in range(5):
            s.spot(-0.11 + 0.055 * k, 0.066 + 0.02 * (k % 2) - 0.01, 0.025, 0.013, (196, 48, 40))
    return s


def apple(rng: np.random.Generator) -> Sketch:
    """An apple, with the attribute colour."""
    name, skin = _dye(rng, ("red", "green", "yellow"))
    s = Sketch()
    with s.thing("apple", colour=name):
        s.ellipse(-0.025, 0.065, 0.055, 0.065, skin)
        s.ellipse(0.025, 0.065, 0.055, 0.065, skin)
        s.spot(0, 0.065, 0.05, 0.055, skin)
        s.line([(0, 0.115), (0.01, 0.155)], (90, 60, 36), 0.016)
        s.flat([(0.01, 0.135), (0.06, 0.165), (0.045, 0.13)], (70, 150, 60))
    return s


def vase(rng: np.random.Generator) -> Sketch:
    """A vase, with the attribute colour."""
    name, glaze = _dye(rng, ("blue", "white", "green", "red", "purple"))
    s = Sketch()
    blossoms = flowers(rng)
    s.place(blossoms, 0, 0.16)
    with s.thing("vase", colour=name):
        s.polygon(
            [
                (-0.05, 0),
                (0.05, 0),
                (0.085, 0.08),
                (0.035, 0.17),
                (0.05, 0.2),
                (-0.05, 0.2),
                (-0.035, 0.17),
                (-0.085, 0.08),
            ],
            glaze,
        )
    s.relate(blossoms.marks[0], "in", s.marks[-1])
    return s


def laptop(rng: np.random.Generator) -> Sketch:
    """A laptop."""
    s = Sketch()
    shell = pick(rng, ((176, 180, 188), (70, 72, 78)))
    with s.thing("laptop"):
        s.polygon([(-0.15, 0.02), (0.15, 0.02), (0.13, 0.2), (-0.13, 0.2)], shell)
        s.polygon([(-0.125, 0.04), (0.125, 0.04), (0.11, 0.185), (-0.11, 0.185)], (110, 180, 230))
        s.polygon([(-0.18, -0.02), (0.18, -0.02), (0.15, 0.03), (-0.15, 0.03)], shade(shell, 0.85))
    return s


def box(rng: np.random.Generator) -> Sketch:
    """A box, with the attribute size."""
    big = chance(rng, 0.4)
    k = 1.5 if big else 1.0
    card = pick(rng, ((198, 152, 98), (184, 138, 86)))
    s = Sketch()
    with s.thing("box", size="big" if big else "small"):
        s.box(-0.15 * k, 0, 0.15 * k, 0.2 * k, card)
        s.polygon(
            [(-0.15 * k, 0.2 * k), (0.15 * k, 0.2 * k), (0.11 * k, 0.26 * k), (-0.11 * k, 0.26 * k)], shade(card, 1.2)
        )
        s.flat([(-0.025 * k, 0), (0.025 * k, 0), (0.025 * k, 0.2 * k), (-0.025 * k, 0.2 * k)], shade(card, 0.8))
    return s


def bucket(rng: np.random.Generator) -> Sketch:
    """A bucket, with the attribute colour."""
    name, tin = _dye(rng, ("red", "blue", "yellow", "green", "gray", "pink"))
    s = Sketch()
    with s.thing("bucket", colour=name):
        s.line([(-0.095, 0.17), (-0.07, 0.26), (0.07, 0.26), (0.095, 0.17)], (100, 100, 106), 0.016)
        s.polygon([(-0.07, 0), (0.07, 0), (0.1, 0.18), (-0.1, 0.18)], tin)
        s.ellipse(0, 0.18, 0.1, 0.025, shade(tin, 0.6))
    return s


def basket(rng: np.random.Generator) -> Sketch:
    """A basket."""
    s = Sketch()
    cane = paint_of(rng, "brown")
    cane = shade(cane, 1.2)
    with s.thing("basket"):
        s.line([(-0.12, 0.14), (-0.08, 0.28), (0.08, 0.28), (0.12, 0.14)], shade(cane, 0.8), 0.022)
        s.polygon([(-0.12, 0), (0.12, 0), (0.16, 0.15), (-0.16, 0.15)], cane)
        for y in (0.05, 0.1):
            s.line([(-0.13, y), (0.13, y)], shade(cane, 0.65), 0.012)
        for x in (-0.08, -0.03, 0.03, 0.08):
            s.line([(x, 0.0), (x * 1.25, 0.15)], shade(cane, 0.65), 0.01)
    return s


GROUND_THINGS: dict[str, Draw] = {
    "ball": ball, "teddy bear": teddy, "box": box, "bucket": bucket, "basket": basket,
}  # fmt: skip
TABLE_THINGS: dict[str, Draw] = {
    "cake": cake, "pizza": pizza, "apple": apple, "vase": vase, "laptop": laptop, "cup": cup, "bottle": bottle,
    "teddy bear": teddy,
}  # fmt: skip
HELD_THINGS: dict[str, Draw] = {
    "umbrella": umbrella, "balloon": balloon, "book": book, "camera": camera, "bag": bag, "flowers": flowers,
    "flag": flag, "racket": racket, "ice cream": ice_cream, "cup": cup, "bottle": bottle,
}  # fmt: skip
