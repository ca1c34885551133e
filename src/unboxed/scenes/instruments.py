"""Musical instruments. The origin of held ones is the hand; the others stand on the ground."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unboxed.scenes.canvas import Sketch, shade
from unboxed.scenes.palette import paint_of, pick_colour

__all__ = ["HELD_INSTRUMENTS", "STANDING_INSTRUMENTS"]

Draw = Callable[[np.random.Generator], Sketch]


def guitar(rng: np.random.Generator) -> Sketch:
    """A guitar, with the attribute colour."""
    name = pick_colour(rng, ("brown", "red", "black", "orange", "blue", "white"))
    wood = paint_of(rng, name)
    s = Sketch()
    with s.thing("guitar", colour=name):
        s.limb((-0.06, 0.0), (0.34, 0.14), 0.04, (92, 62, 40))
        s.polygon([(0.32, 0.11), (0.42, 0.15), (0.4, 0.2), (0.31, 0.16)], (64, 44, 32))
        s.ellipse(-0.17, -0.05, 0.13, 0.12, wood)
        s.ellipse(-0.02, 0.01, 0.1, 0.09, wood)
        s.spot(-0.13, -0.035, 0.09, 0.08, wood)
        s.spot(-0.06, -0.005, 0.042, 0.042, (40, 28, 24))
        s.line([(-0.22, -0.06), (0.36, 0.15)], (236, 228, 200), 0.01)
    return s


def violin(rng: np.random.Generator) -> Sketch:
    """A violin, with the attribute colour."""
    wood = paint_of(rng, "brown")
    wood = shade(wood, 1.12)
    s = Sketch()
    with s.thing("violin", colour="brown"):
        s.limb((0.12, 0.03), (0.3, 0.06), 0.03, (40, 32, 28))
        s.ellipse(-0.03, 0.0, 0.07, 0.065, wood)
        s.ellipse(0.08, 0.015, 0.06, 0.055, wood)
        s.spot(0.03, 0.006, 0.05, 0.045, wood)
        s.line([(-0.07, -0.005), (0.28, 0.055)], (30, 26, 24), 0.012)
        s.line([(0.0, -0.2), (0.16, 0.2)], (236, 220, 190), 0.016)
    return s


def trumpet(rng: np.random.Generator) -> Sketch:
    """A trumpet, with the attribute colour."""
    brass = paint_of(rng, "yellow")
    brass = shade(brass, 0.88)
    s = Sketch()
    with s.thing("trumpet", colour="yellow"):
        s.limb((0.0, 0.0), (0.3, 0.0), 0.028, brass)
        s.polygon([(0.25, 0.016), (0.4, 0.09), (0.4, -0.09), (0.25, -0.016)], brass)
        s.ellipse(0.4, 0.0, 0.022, 0.09, shade(brass, 0.75))
        s.line([(0.08, 0.0), (0.08, -0.08), (0.22, -0.08), (0.22, 0.0)], shade(brass, 0.8), 0.022)
        for x in (0.11, 0.15, 0.19):
            s.limb((x, 0.0), (x, 0.05), 0.024, shade(brass, 0.9))
    return s


def accordion(rng: np.random.Generator) -> Sketch:
    """An accordion, with the attribute colour."""
    name = pick_colour(rng, ("red", "blue", "black", "green"))
    shell = paint_of(rng, name)
    s = Sketch()
    with s.thing("accordion", colour=name):
        for k in range(6):
            x = -0.1 + k * 0.035
            s.box(
                x, -0.12 - 0.012 * (k % 2), x + 0.035, 0.1 + 0.012 * (k % 2), (236, 228, 214) if k % 2 else (96, 88, 88)
            )
        s.box(-0.2, -0.14, -0.1, 0.11, shell)
        s.box(0.11, -0.14, 0.21, 0.11, shell)
        for k in range(5):
            s.box(0.13, -0.12 + k * 0.045, 0.17, -0.09 + k * 0.045, (250, 250, 250))
            s.spot(-0.15, -0.11 + k * 0.05, 0.014, 0.014, (250, 250, 250))
    return s


def drum(rng: np.random.Generator) -> Sketch:
    """A drum, with the attribute colour."""
    name = pick_colour(rng, ("red", "blue", "green", "purple", "orange", "black"))
    shell = paint_of(rng, name)
    s = Sketch()
    with s.thing("drum", colour=name):
        s.polygon([(-0.19, 0.04), (0.19, 0.04), (0.19, 0.3), (-0.19, 0.3)], shell)
        s.ellipse(0, 0.04, 0.19, 0.045, shell)
        for k in range(4):
            x = -0.19 + k * 0.095
            s.line([(x, 0.05), (x + 0.048, 0.27), (x + 0.095, 0.05)], (244, 226, 150), 0.014)
        s.ellipse(0, 0.3, 0.19, 0.05, (244, 238, 224))
    return s


def piano(rng: np.random.Generator) -> Sketch:
    """A piano, with the attribute colour."""
    name = pick_colour(rng, ("black", "brown", "white"))
    wood = paint_of(rng, name)
    s = Sketch()
    with s.thing("piano", colour=name):
        s.box(-0.4, 0.0, 0.4, 0.62, wood)
        s.box(-0.43, 0.62, 0.43, 0.67, shade(wood, 0.85))
        s.box(-0.36, 0.45, 0.36, 0.58, shade(wood, 1.15))
        s.box(-0.44, 0.29, 0.44, 0.34, shade(wood, 0.8))
        s.box(-0.38, 0.33, 0.38, 0.41, (250, 250, 246))
        for k in range(14):
            if k % 7 not in (2, 6):
                x = -0.345 + k * 0.054
                s.flat([(x, 0.365), (x + 0.026, 0.365), (x + 0.026, 0.41), (x, 0.41)], (26, 26, 28))
        s.box(-0.42, 0.0, -0.37, 0.3, shade(wood, 0.75))
        s.box(0.37, 0.0, 0.42, 0.3, shade(wood, 0.75))
    return s


HELD_INSTRUMENTS: dict[str, Draw] = {"guitar": guitar, "violin": violin, "trumpet": trumpet, "accordion": accordion}
STANDING_INSTRUMENTS: dict[str, Draw] = {"drum": drum, "piano": piano}
