"""Vehicles, seen from the side and facing right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unboxed.scenes.canvas import Colour, Sketch, shade
from unboxed.scenes.palette import COLOURS, chance, paint_of, pick_colour

__all__ = ["VEHICLES"]

Draw = Callable[[np.random.Generator], Sketch]

_GLASS: Colour = (186, 220, 238)
_TYRE: Colour = (38, 38, 42)
_PAINT = ("red", "blue", "yellow", "green", "white", "black", "gray", "orange", "purple", "pink")


def _wheel(s: Sketch, x: float, r: float) -> None:
    s.ellipse(x, r, r, r, _TYRE)
    s.spot(x, r, r * 0.5, r * 0.5, (196, 198, 204))


def car(rng: np.random.Generator) -> Sketch:
    """A car, with the attribute colour."""
    name = pick_colour(rng, _PAINT)
    body = paint_of(rng, name)
    s = Sketch()
    with s.thing("car", colour=name):
        s.polygon([(-0.5, 0.1), (0.52, 0.1), (0.54, 0.24), (0.46, 0.3), (-0.5, 0.32), (-0.54, 0.22)], body)
        s.polygon([(-0.36, 0.31), (-0.24, 0.47), (0.12, 0.47), (0.28, 0.31)], body)
        s.polygon([(-0.3, 0.32), (-0.21, 0.44), (-0.05, 0.44), (-0.05, 0.32)], _GLASS)
        s.polygon([(-0.01, 0.32), (-0.01, 0.44), (0.1, 0.44), (0.22, 0.32)], _GLASS)
        s.flat([(-0.5, 0.1), (0.52, 0.1), (0.53, 0.15), (-0.52, 0.15)], shade(body, 0.7))
        s.line([(-0.03, 0.3), (-0.03, 0.16)], shade(body, 0.6), 0.012)
        s.spot(0.51, 0.24, 0.03, 0.026, (255, 240, 170))
        s.spot(-0.515, 0.24, 0.02, 0.026, (214, 30, 30))
        _wheel(s, -0.3, 0.105)
        _wheel(s, 0.3, 0.105)
    return s


def truck(rng: np.random.Generator) -> Sketch:
    """A truck, with the attribute colour."""
    name = pick_colour(rng, _PAINT)
    body = paint_of(rng, name)
    s = Sketch()
    with s.thing("truck", colour=name):
        s.box(-0.62, 0.14, 0.22, 0.66, shade(body, 1.25))
        for x in (-0.45, -0.28, -0.11, 0.06):
            s.line([(x, 0.16), (x, 0.64)], shade(body, 0.95), 0.014)
        s.polygon([(0.25, 0.12), (0.62, 0.12), (0.62, 0.33), (0.54, 0.36), (0.48, 0.56), (0.25, 0.56)], body)
        s.polygon([(0.32, 0.36), (0.5, 0.36), (0.45, 0.52), (0.32, 0.52)], _GLASS)
        s.spot(0.6, 0.22, 0.022, 0.03, (255, 240, 170))
        s.box(-0.62, 0.1, 0.62, 0.15, (70, 70, 76))
        for x in (-0.45, -0.22, 0.42):
            _wheel(s, x, 0.11)
    return s


def bus(rng: np.random.Generator) -> Sketch:
    """A bus, with the attribute colour."""
    name = pick_colour(rng, ("red", "yellow", "blue", "green", "white", "orange"))
    body = paint_of(rng, name)
    s = Sketch()
    with s.thing("bus", colour=name):
        s.polygon([(-0.78, 0.1), (0.78, 0.1), (0.78, 0.52), (0.72, 0.64), (-0.72, 0.64), (-0.78, 0.58)], body)
        for k in range(5):
            x = -0.7 + k * 0.23
            s.box(x, 0.36, x + 0.18, 0.56, _GLASS)
        s.box(0.48, 0.13, 0.62, 0.56, shade(_GLASS, 0.85))
        s.polygon([(0.66, 0.34), (0.775, 0.34), (0.775, 0.5), (0.73, 0.58), (0.66, 0.58)], _GLASS)
        s.flat([(-0.77, 0.24), (0.46, 0.24), (0.46, 0.29), (-0.77, 0.29)], shade(body, 1.6))
        s.spot(0.76, 0.2, 0.02, 0.03, (255, 240, 170))
        _wheel(s, -0.48, 0.11)
        _wheel(s, 0.34, 0.11)
    return s


def bicycle(rng: np.random.Generator) -> Sketch:
    """A bicycle, with the attribute colour; anchor: `back`."""
    name = pick_colour(rng, ("red", "blue", "green", "black", "pink", "orange", "yellow"))
    frame = paint_of(rng, name)
    s = Sketch()
    with s.thing("bicycle", colour=name):
        for x in (-0.27, 0.27):
            points = [(x + 0.175 * np.cos(a), 0.19 + 0.175 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 21)]
            s.line([(float(px), float(py)) for px, py in points], _TYRE, 0.032)
            s.line([(x - 0.16, 0.19), (x + 0.16, 0.19)], (150, 150, 156), 0.008)
            s.line([(x, 0.03), (x, 0.35)], (150, 150, 156), 0.008)
        w = 0.036
        for points in (
            [(-0.27, 0.19), (-0.12, 0.42), (0.18, 0.42), (-0.02, 0.17), (-0.27, 0.19)],
            [(-0.02, 0.17), (-0.14, 0.49)],
            [(0.27, 0.19), (0.17, 0.52)],
        ):
            s.line(points, frame, w)
        s.limb((-0.2, 0.5), (-0.08, 0.5), 0.045, (40, 36, 36))
        s.line([(0.1, 0.56), (0.17, 0.53), (0.21, 0.55)], (50, 50, 56), 0.035)
    s.anchors.update(back=(-0.12, 0.5))
    return s


def boat(rng: np.random.Generator) -> Sketch:
    """A boat, with the attribute colour; part: sail."""
    name = pick_colour(rng, ("red", "blue", "white", "green", "yellow", "brown", "black"))
    hull = paint_of(rng, name)
    s = Sketch()
    with s.thing("boat", colour=name):
        if chance(rng, 0.6):
            cloth = pick_colour(rng, ("white", "white", "red", "yellow", "orange"))
            with s.thing("sail", colour=cloth):
                s.polygon([(0.0, 0.24), (0.0, 0.86), (0.36, 0.26)], COLOURS[cloth])
                s.polygon([(-0.05, 0.28), (-0.05, 0.8), (-0.3, 0.3)], shade(COLOURS[cloth], 0.9))
            s.line([(-0.02, 0.16), (-0.02, 0.9)], (110, 80, 50), 0.03)
        s.polygon([(-0.5, 0.2), (0.54, 0.2), (0.36, 0.0), (-0.38, 0.0)], hull)
        s.flat(
            [(-0.49, 0.19), (0.52, 0.19), (0.49, 0.15), (-0.46, 0.15)],
            (250, 250, 250) if name != "white" else (60, 90, 160),
        )
    return s


def plane(rng: np.random.Generator) -> Sketch:
    """A plane, with the attribute colour."""
    name = pick_colour(rng, ("white", "red", "blue", "yellow", "gray"))
    skin = paint_of(rng, name)
    s = Sketch()
    with s.thing("plane", colour=name):
        s.polygon([(-0.42, 0.16), (-0.52, 0.36), (-0.42, 0.36), (-0.28, 0.18)], shade(skin, 0.85))
        s.polygon([(-0.46, 0.12), (-0.4, 0.2), (0.34, 0.22), (0.48, 0.14), (0.38, 0.06), (-0.3, 0.06)], skin)
        s.polygon([(-0.05, 0.12), (0.1, 0.12), (-0.14, -0.12), (-0.24, -0.12)], shade(skin, 0.72))
        for k in range(5):
            s.spot(-0.18 + k * 0.1, 0.155, 0.02, 0.02, (90, 140, 190))
        s.polygon([(0.33, 0.16), (0.42, 0.16), (0.34, 0.2)], _GLASS)
    return s


def hot_air_balloon(rng: np.random.Generator) -> Sketch:
    """A hot air balloon, with the attributes colour and pattern."""
    name = pick_colour(rng, ("red", "orange", "yellow", "blue", "green", "purple"))
    silk = paint_of(rng, name)
    striped = chance(rng, 0.5)
    s = Sketch()
    with s.thing("hot air balloon", colour=name, pattern="striped" if striped else "plain"):
        s.line([(-0.14, 0.22), (-0.05, 0.1)], (90, 70, 50), 0.012)
        s.line([(0.14, 0.22), (0.05, 0.1)], (90, 70, 50), 0.012)
        s.polygon([(-0.2, 0.32), (0.2, 0.32), (0.08, 0.17), (-0.08, 0.17)], silk)
        s.ellipse(0, 0.45, 0.27, 0.27, silk)
        if striped:
            s.spot(0, 0.45, 0.15, 0.26, (250, 246, 230))
            s.spot(0, 0.45, 0.06, 0.26, silk)
        s.box(-0.06, 0.0, 0.06, 0.1, (150, 104, 58))
    return s


def tractor(rng: np.random.Generator) -> Sketch:
    """A tractor, with the attribute colour."""
    name = pick_colour(rng, ("green", "red", "blue", "yellow", "orange"))
    body = paint_of(rng, name)
    s = Sketch()
    with s.thing("tractor", colour=name):
        s.box(-0.3, 0.2, 0.42, 0.4, body)
        s.line([(0.3, 0.4), (0.3, 0.58)], (70, 70, 74), 0.035)
        s.box(-0.3, 0.4, 0.04, 0.68, _GLASS)
        s.polygon([(-0.36, 0.68), (0.09, 0.68), (0.07, 0.74), (-0.34, 0.74)], body)
        for x in (-0.29, 0.03):
            s.line([(x, 0.4), (x, 0.68)], shade(body, 0.7), 0.03)
        s.flat([(0.26, 0.24), (0.4, 0.24), (0.4, 0.28), (0.26, 0.28)], shade(body, 0.55))
        _wheel(s, -0.2, 0.21)
        _wheel(s, 0.32, 0.13)
    return s


def train(rng: np.random.Generator) -> Sketch:
    """A train, with the attribute colour."""
    name = pick_colour(rng, ("red", "blue", "green", "black"))
    body = paint_of(rng, name)
    s = Sketch()
    with s.thing("train", colour=name):
        s.box(-0.5, 0.14, -0.12, 0.6, body)
        s.box(-0.44, 0.36, -0.18, 0.54, _GLASS)
        s.polygon([(-0.54, 0.6), (-0.08, 0.6), (-0.1, 0.66), (-0.52, 0.66)], shade(body, 0.65))
        s.box(-0.12, 0.18, 0.46, 0.44, body)
        s.ellipse(0.46, 0.31, 0.05, 0.13, shade(body, 0.75))
        s.polygon([(0.26, 0.44), (0.36, 0.44), (0.4, 0.64), (0.22, 0.64)], (56, 54, 58))
        s.flat([(-0.1, 0.3), (0.44, 0.3), (0.44, 0.33), (-0.1, 0.33)], (240, 200, 70))
        s.box(-0.52, 0.1, 0.54, 0.16, (60, 60, 66))
        for x in (-0.38, -0.14, 0.1, 0.34):
            _wheel(s, x, 0.09)
    return s


VEHICLES: dict[str, Draw] = {
    "car": car,
    "truck": truck,
    "bus": bus,
    "bicycle": bicycle,
    "boat": boat,
    "plane": plane,
    "hot air balloon": hot_air_balloon,
    "tractor": tractor,
    "train": train,
}
