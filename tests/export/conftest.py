"""Hand-made groundings: an image with two captions, and one of which no object is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unboxed.export.labels import Selection
from unboxed.export.selection import select_boxes
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Regions

Ground = Callable[..., Grounding]
MAN, DOG = [10, 20, 60, 90], [100, 50, 150, 100]


def _ground(caption: str, *phrases: tuple[str, list[float], float], confidence: float | None = 0.9) -> Grounding:
    grounded = []
    for text, box, score in phrases:
        start = caption.index(text)
        boxes, scores = [box, [0, 0, 200, 100]], [score, score / 10]
        grounded.append(GroundedPhrase(text, start, start + len(text), boxes, scores, confidence=confidence))
    regions = Regions(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)), (), (), 200, 100)
    return Grounding(caption, tuple(grounded), (), regions, np.zeros((0, 0)), 200, 100)


@pytest.fixture(scope="session")
def ground() -> Ground:
    """Makes the grounding of an image of 200 x 100 pixels: each phrase with a box and a worse one."""
    return _ground


@pytest.fixture(scope="session")
def groundings() -> list[Grounding]:
    """Two captions of one image and one of another."""
    return [
        _ground("Two men walk a dog.", ("Two men", MAN, 0.9), ("a dog", DOG, 0.4)),
        _ground(
            "A man with his dog in the background.", ("A man", [11, 20, 60, 90], 0.8), ("the background", MAN, 0.7)
        ),
        _ground("It sleeps.", ("It", DOG, 0.9)),
    ]


@pytest.fixture(scope="session")
def names() -> list[str]:
    """The names of their images."""
    return ["7.jpg", "7.jpg", "sub/12.jpg"]


@pytest.fixture(scope="session")
def selection(groundings: list[Grounding], names: list[str]) -> Selection:
    """Their boxes by the default options."""
    return select_boxes(groundings, names)
