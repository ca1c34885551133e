"""Animals, seen from the side and facing right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unboxed.scenes.canvas import Colour, Sketch, shade
from unboxed.scenes.palette import COLOURS, chance, paint_of, pick_colour

__all__ = ["ANIMALS"]

Draw = Callable[[np.random.Generator], Sketch]

_EYE: Colour = (24, 22, 24)


def _coat(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[str, Colour]:
    name = pick_colour(rng, names)
    return name, paint_of(rng, name)


def _four_legs(s: Sketch, xs: tuple[float, ...], top: float, width: float, fill: Colour) -> None:
    for k, x in enumerate(xs):
        s.limb((x, top), (x + (0.015 if k % 2 else -0.01), width * 0.4), width, shade(fill, 0.85 if k % 2 else 1.0))


def _spots(s: Sketch, rng: np.random.Generator, x1: float, x2: float, y: float, r: float, ink: Colour) -> None:
    for k in range(4):
        x = x1 + (x2 - x1) * (k + 0.5) / 4
        s.spot(x, y + float(rng.uniform(-0.5, 0.5)) * r, r * float(rng.uniform(0.5, 0.9)), r * 0.6, ink)


def dog(rng: np.random.Generator) -> Sketch:
    """A dog, with the attributes colour, pattern and size; part: tail; anchor: `neck`."""
    name, fur = _coat(rng, ("brown", "black", "white", "yellow", "gray"))
    spotted = chance(rng, 0.3)
    ink = shade(fur, 0.45) if sum(fur) > 300 else (236, 230, 220)
    big = chance(rng, 0.5)
    k = 1.0 if big else 0.66
    s, whole = Sketch(), Sketch()
    with s.thing("dog", colour=name, pattern="spotted" if spotted else "plain", size="big" if big else "small"):
        with s.thing("tail"):
            s.limb((-0.25, 0.3), (-0.38, 0.47), 0.05, fur)
        _four_legs(s, (-0.2, -0.14, 0.12, 0.19), 0.2, 0.07, fur)
        s.ellipse(0, 0.27, 0.28, 0.125, fur)
        if spotted:
            _spots(s, rng, -0.22, 0.16, 0.29, 0.06, ink)
        s.limb((0.2, 0.3), (0.28, 0.42), 0.13, fur)
        s.ellipse(0.31, 0.46, 0.115, 0.1, fur)
        s.ellipse(0.41, 0.43, 0.075, 0.055, shade(fur, 1.15))
        s.spot(0.47, 0.445, 0.024, 0.02, _EYE)
        s.spot(0.345, 0.49, 0.018, 0.022, _EYE)
        s.polygon([(0.25, 0.54), (0.2, 0.38), (0.27, 0.36), (0.31, 0.5)], shade(fur, 0.62))
    if chance(rng, 0.3):
        s.limb((0.195, 0.385), (0.315, 0.33), 0.035, COLOURS[pick_colour(rng, ("red", "blue", "green", "pink"))])
    s.anchors.update(neck=(0.25, 0.38))
    whole.place(s, 0, 0, k)
    return whole


def cat(rng: np.random.Generator) -> Sketch:
    """A cat, with the attributes colour and pattern; part: tail."""
    name, fur = _coat(rng, ("orange", "black", "white", "gray", "brown"))
    striped = chance(rng, 0.35)
    s = Sketch()
    with s.thing("cat", colour=name, pattern="striped" if striped else "plain"):
        with s.thing("tail"):
            s.line([(-0.12, 0.05), (-0.24, 0.08), (-0.27, 0.2), (-0.21, 0.28)], shade(fur, 0.9), 0.045)
        s.polygon([(-0.15, 0), (0.13, 0), (0.1, 0.2), (0.05, 0.28), (-0.05, 0.28), (-0.13, 0.15)], fur)
        s.limb((0.06, 0.16), (0.08, 0.02), 0.06, fur)
        s.limb((-0.02, 0.16), (0.0, 0.02), 0.06, fur)
        s.polygon([(-0.1, 0.36), (-0.095, 0.47), (-0.01, 0.41)], fur)
        s.polygon([(0.11, 0.36), (0.105, 0.47), (0.02, 0.41)], fur)
        s.ellipse(0.005, 0.34, 0.115, 0.098, fur)
        if striped:
            ink = shade(fur, 0.5) if sum(fur) > 250 else (150, 150, 150)
            for y in (0.08, 0.13, 0.18):
                s.flat([(-0.13, y), (-0.05, y + 0.01), (-0.05, y + 0.03), (-0.12, y + 0.025)], ink)
            for x in (-0.04, 0.0, 0.04):
                s.flat([(x, 0.38), (x + 0.018, 0.38), (x + 0.012, 0.435), (x + 0.004, 0.435)], ink)
        for x in (-0.04, 0.05):
            s.spot(x, 0.355, 0.02, 0.025, (120, 190, 70))
            s.spot(x, 0.355, 0.009, 0.022, _EYE)
        s.spot(0.005, 0.315, 0.016, 0.012, (226, 120, 130))
    return s


def horse(rng: np.random.Generator) -> Sketch:
    """A horse, with the attribute colour; parts: tail, mane; anchor: `back`."""
    name, coat = _coat(rng, ("brown", "black", "white", "gray"))
    hair = (40, 32, 28) if name != "black" else (96, 92, 90)
    s = Sketch()
    with s.thing("horse", colour=name):
        with s.thing("tail"):
            s.polygon([(-0.37, 0.62), (-0.47, 0.54), (-0.49, 0.28), (-0.43, 0.32), (-0.39, 0.48), (-0.35, 0.54)], hair)
        _four_legs(s, (-0.3, -0.22, 0.2, 0.29), 0.42, 0.085, coat)
        for x in (-0.31, -0.205, 0.19, 0.305):
            s.box(x - 0.045, 0, x + 0.045, 0.05, (48, 42, 40))
        s.ellipse(0, 0.52, 0.38, 0.17, coat)
        s.polygon([(0.2, 0.52), (0.36, 0.45), (0.47, 0.84), (0.36, 0.93), (0.28, 0.8)], coat)
        s.polygon([(0.35, 0.93), (0.46, 0.91), (0.64, 0.74), (0.6, 0.66), (0.53, 0.67), (0.42, 0.78)], coat)
        s.polygon([(0.36, 0.92), (0.39, 1.01), (0.43, 0.91)], coat)
        s.spot(0.47, 0.84, 0.016, 0.02, _EYE)
        s.spot(0.6, 0.72, 0.012, 0.012, _EYE)
        if chance(rng, 0.6):
            with s.thing("mane"):
                s.polygon([(0.39, 0.97), (0.3, 0.93), (0.21, 0.74), (0.2, 0.58), (0.28, 0.66), (0.34, 0.84)], hair)
    s.anchors.update(back=(-0.02, 0.66))
    return s


def cow(rng: np.random.Generator) -> Sketch:
    """A cow, with the attributes colour and pattern; parts: tail, horns."""
    name, hide = _coat(rng, ("white", "brown", "black"))
    spotted = name == "white" or chance(rng, 0.3)
    s = Sketch()
    with s.thing("cow", colour=name, pattern="spotted" if spotted else "plain"):
        with s.thing("tail"):
            s.line([(-0.33, 0.5), (-0.4, 0.46), (-0.41, 0.22)], shade(hide, 0.8), 0.03)
            s.spot(-0.41, 0.2, 0.025, 0.045, (60, 46, 40))
        _four_legs(s, (-0.26, -0.19, 0.17, 0.25), 0.26, 0.085, hide)
        s.spot(-0.12, 0.22, 0.07, 0.05, (244, 170, 176))
        s.limb((-0.22, 0.4), (0.2, 0.4), 0.29, hide)
        if spotted:
            _spots(s, rng, -0.3, 0.25, 0.43, 0.09, (60, 50, 48) if name != "black" else (240, 238, 232))
        horned = chance(rng, 0.5)
        if horned:
            with s.thing("horns"):
                s.polygon([(0.31, 0.6), (0.28, 0.72), (0.36, 0.62)], (236, 224, 190))
                s.polygon([(0.44, 0.62), (0.5, 0.73), (0.49, 0.6)], (236, 224, 190))
        s.polygon([(0.3, 0.6), (0.22, 0.57), (0.31, 0.53)], shade(hide, 0.8))
        s.ellipse(0.39, 0.54, 0.1, 0.1, hide)
        s.ellipse(0.43, 0.46, 0.085, 0.06, (240, 176, 172))
        s.spot(0.4, 0.57, 0.017, 0.02, _EYE)
        s.spot(0.46, 0.47, 0.012, 0.012, (130, 70, 70))
    return s


def sheep(rng: np.random.Generator) -> Sketch:
    """A sheep, with the attribute colour."""
    name, wool = _coat(rng, ("white", "white", "black", "gray", "brown"))
    face = (58, 50, 48) if name != "black" else (210, 196, 180)
    s = Sketch()
    with s.thing("sheep", colour=name):
        for x in (-0.14, -0.06, 0.08, 0.16):
            s.limb((x, 0.16), (x, 0.02), 0.045, face)
        for x, y in (
            (-0.2, 0.26),
            (-0.12, 0.35),
            (0.0, 0.38),
            (0.12, 0.35),
            (0.2, 0.27),
            (-0.14, 0.18),
            (0.0, 0.16),
            (0.14, 0.18),
        ):
            s.ellipse(x, y, 0.1, 0.09, wool)
        s.spot(0, 0.27, 0.2, 0.13, wool)
        s.ellipse(0.28, 0.33, 0.075, 0.09, face)
        s.polygon([(0.22, 0.38), (0.13, 0.36), (0.2, 0.33)], face)
        s.spot(0.3, 0.35, 0.016, 0.018, (240, 240, 240) if name != "black" else _EYE)
        s.ellipse(0.27, 0.42, 0.065, 0.045, wool)
    return s


def elephant(rng: np.random.Generator) -> Sketch:
    """An elephant, with the attribute colour; parts: tail, tusks, trunk, ears."""
    skin = paint_of(rng, "gray")
    s = Sketch()
    with s.thing("elephant", colour="gray"):
        with s.thing("tail"):
            s.line([(-0.46, 0.62), (-0.53, 0.52), (-0.54, 0.36)], shade(skin, 0.75), 0.03)
        _four_legs(s, (-0.34, -0.2, 0.1, 0.22), 0.4, 0.15, skin)
        s.ellipse(-0.08, 0.56, 0.42, 0.29, skin)
        s.ellipse(0.36, 0.7, 0.19, 0.19, skin)
        if chance(rng, 0.6):
            with s.thing("tusks"):
                s.polygon([(0.46, 0.6), (0.6, 0.5), (0.66, 0.56), (0.6, 0.55), (0.5, 0.64)], (244, 238, 220))
        with s.thing("trunk"):
            for a, b in (((0.5, 0.68), (0.58, 0.5)), ((0.58, 0.5), (0.57, 0.3)), ((0.57, 0.3), (0.66, 0.2))):
                s.limb(a, b, 0.1, skin)
        with s.thing("ears"):
            s.ellipse(0.22, 0.68, 0.13, 0.19, shade(skin, 0.85))
        s.spot(0.42, 0.74, 0.02, 0.022, _EYE)
    return s


def rabbit(rng: np.random.Generator) -> Sketch:
    """A rabbit, with the attribute colour; part: ears."""
    name, fur = _coat(rng, ("white", "brown", "gray", "black"))
    s = Sketch()
    with s.thing("rabbit", colour=name):
        s.ellipse(-0.14, 0.09, 0.045, 0.045, (250, 250, 250))
        s.ellipse(-0.02, 0.11, 0.13, 0.11, fur)
        s.ellipse(-0.06, 0.035, 0.09, 0.035, shade(fur, 0.9))
        with s.thing("ears"):
            s.limb((0.07, 0.26), (0.03, 0.4), 0.045, fur)
            s.limb((0.11, 0.26), (0.13, 0.41), 0.045, fur)
            s.line([(0.112, 0.28), (0.128, 0.39)], (240, 170, 180), 0.016)
        s.ellipse(0.1, 0.21, 0.075, 0.07, fur)
        s.spot(0.125, 0.225, 0.014, 0.017, _EYE)
        s.spot(0.17, 0.2, 0.014, 0.01, (230, 120, 140))
        s.limb((0.06, 0.1), (0.08, 0.02), 0.035, fur)
    return s


def duck(rng: np.random.Generator) -> Sketch:
    """A duck, with the attribute colour."""
    name, down = _coat(rng, ("white", "yellow", "brown", "gray"))
    s = Sketch()
    with s.thing("duck", colour=name):
        s.polygon([(-0.22, 0.2), (-0.1, 0.19), (-0.12, 0.08)], down)
        s.ellipse(-0.02, 0.11, 0.16, 0.09, down)
        s.limb((0.09, 0.14), (0.11, 0.24), 0.075, down)
        s.ellipse(0.12, 0.27, 0.065, 0.06, down if name != "brown" else (40, 120, 70))
        s.polygon([(0.17, 0.285), (0.26, 0.26), (0.17, 0.24)], (240, 150, 40))
        s.spot(0.135, 0.285, 0.014, 0.016, _EYE)
        s.half_ellipse(-0.03, 0.14, 0.1, 0.07, 180, shade(down, 0.8))
    return s


def chicken(rng: np.random.Generator) -> Sketch:
    """A chicken, with the attribute colour."""
    name, down = _coat(rng, ("white", "brown", "black", "orange"))
    s = Sketch()
    with s.thing("chicken", colour=name):
        for x in (-0.02, 0.05):
            s.line([(x, 0.08), (x, 0.01), (x + 0.04, 0.01)], (236, 160, 40), 0.02)
        s.polygon([(-0.22, 0.33), (-0.2, 0.18), (-0.06, 0.14), (-0.06, 0.24)], shade(down, 0.8))
        s.ellipse(0, 0.16, 0.14, 0.11, down)
        s.limb((0.08, 0.2), (0.12, 0.31), 0.08, down)
        s.ellipse(0.12, 0.34, 0.055, 0.055, down)
        for x in (0.09, 0.125, 0.155):
            s.ellipse(x, 0.4, 0.022, 0.028, (214, 40, 44))
        s.polygon([(0.165, 0.355), (0.23, 0.335), (0.165, 0.315)], (244, 180, 50))
        s.spot(0.135, 0.355, 0.012, 0.014, _EYE)
        s.half_ellipse(-0.02, 0.18, 0.08, 0.06, 180, shade(down, 0.8))
    return s


def bird(rng: np.random.Generator) -> Sketch:
    """A bird, with the attribute colour; part: wings."""
    name, feather = _coat(rng, ("black", "white", "blue", "red", "gray", "yellow"))
    s = Sketch()
    with s.thing("bird", colour=name):
        s.polygon([(-0.18, 0.08), (-0.08, 0.13), (-0.06, 0.06)], feather)
        s.ellipse(0, 0.1, 0.12, 0.06, feather)
        s.ellipse(0.11, 0.13, 0.05, 0.045, feather)
        s.polygon([(0.15, 0.145), (0.21, 0.13), (0.15, 0.115)], (240, 170, 40))
        s.spot(0.12, 0.145, 0.011, 0.012, (250, 250, 250) if name == "black" else _EYE)
        with s.thing("wings"):
            lift = float(rng.uniform(0.2, 0.3))
            s.polygon([(-0.07, 0.12), (0.04, 0.13), (-0.02, lift + 0.03), (-0.14, lift)], shade(feather, 0.78))
    return s


ANIMALS: dict[str, Draw] = {
    "dog": dog,
    "cat": cat,
    "horse": horse,
    "cow": cow,
    "sheep": sheep,
    "elephant": elephant,
    "rabbit": rabbit,
    "duck": duck,
    "chicken": chicken,
    "bird": bird,
}
