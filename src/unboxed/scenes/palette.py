"""The named colours of the drawn world, and random choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from unboxed.scenes.canvas import Colour

__all__ = ["COLOURS", "HAIR_COLOURS", "SKIN", "chance", "paint_of", "pick", "pick_colour"]

T = TypeVar("T")

COLOURS: dict[str, Colour] = {
    "red": (206, 42, 44),
    "orange": (240, 132, 32),
    "yellow": (245, 210, 50),
    "green": (52, 150, 66),
    "blue": (44, 92, 198),
    "purple": (126, 62, 168),
    "pink": (244, 142, 186),
    "brown": (126, 80, 44),
    "black": (44, 44, 50),
    "white": (242, 242, 240),
    "gray": (142, 146, 152),
}
HAIR_COLOURS: dict[str, Colour] = {
    "black": (38, 32, 32),
    "brown": (98, 60, 32),
    "blond": (232, 196, 98),
    "red": (190, 78, 30),
    "gray": (186, 186, 190),
}
SKIN: tuple[Colour, ...] = ((250, 214, 184), (238, 190, 150), (204, 148, 106), (150, 98, 64), (104, 68, 46))


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of the choices, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability, 0 to 1."""
    return float(rng.random()) < probability


def pick_colour(rng: np.random.Generator, names: Sequence[str] = ()) -> str:
    """The name of a random colour: one of `names`, or of all colours."""
    return pick(rng, names or tuple(COLOURS))


def paint_of(rng: np.random.Generator, name: str, table: dict[str, Colour] | None = None) -> Colour:
    """The named colour with a small random shift of each channel, as RGB."""
    offset = rng.integers(-12, 13, size=3)
    return tuple(int(min(255, max(0, c + d))) for c, d in zip((table or COLOURS)[name], offset, strict=True))
