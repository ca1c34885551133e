"""A page to look labels over: every image with its boxes, the doubtful first, and what another cut would keep.

One file with nothing to load from anywhere. Captions and names are data: everything is escaped, and the page's own
policy forbids any request.
"""

from __future__ import annotations

import base64
import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
from PIL import Image

from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.export.selection import BoxChoice, LabelledBox, LabelledImage, choose
from unboxed.visualization.draw import PALETTE, ink

if TYPE_CHECKING:
    from unboxed.export.labelling import Labelled

__all__ = ["write_review"]

_LONG_SIDE, _JPEG_QUALITY = 420, 78  # 300 images take about 8 MB
_BINS = 40
_NAMES = 14  # offered as filters


@dataclass(frozen=True)
class _Row:
    """A box as the page shows it: its name, its place in thousandths of the image, and the words it came from."""

    number: int
    colour: int
    name: str
    score: float
    sure: float | None
    x: float
    y: float
    width: float
    height: float
    before: str
    phrase: str
    after: str
    others: int


@dataclass(frozen=True)
class _Card:
    """An image as the page shows it, the doubtful boxes first."""

    name: str
    image: str
    shape: float
    rows: list[_Row]


def write_review(
    path: Path, labelled: Labelled, choice: BoxChoice, *, facts: Mapping[str, str], limit: int = 300
) -> int:
    """Write the page in one step, and return how many images it shows.

    Args:
        path: the HTML file.
        labelled: what was found.
        choice: the rule that was written by; its cuts are where the page's sliders start.
        facts: names and values for the top of the page.
        limit: images at most: those whose surest doubts are nearest to the cut.
    """
    every = choose(
        labelled.groundings, labelled.names, replace(choice, min_score=float("-inf"), min_confidence=0, min_boxes=1)
    )
    photos = sorted(every.images, key=lambda photo: _doubt(photo, choice))[:limit]
    cards = []
    for photo in photos:
        try:
            cards.append(_card(photo, labelled.paths[photo.name]))
        except ImageError:  # gone since it was labelled
            continue
    boxes = sorted((box for photo in every.images for box in photo.boxes), key=lambda box: box.score)
    scores = np.array([box.score for box in boxes])
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 1.0)
    low, high = min(low, 0.0), max(high, 1.0)
    counts = np.histogram(scores, bins=_BINS, range=(low, high))[0]
    names = Counter(box.category for photo in photos for box in photo.boxes)
    page = _template().render(
        title="Boxes to look over",
        facts={**facts, "In the file": labelled.chosen.describe()},
        cards=cards,
        left_out=len(every.images) - len(cards),
        cut=choice.min_score,
        rare=choice.min_boxes,
        low=low,
        high=high,
        scores=[round(box.score, 4) for box in boxes],
        sure=choice.min_confidence,
        confidences=[_sure(box) for box in boxes],
        calibrated=any(box.confidence is not None for box in boxes),
        bars=[round(float(count / max(counts.max(), 1)), 3) for count in counts],
        names=[name for name, _ in names.most_common(_NAMES)],
        palette=[(colour, ink(colour)) for colour in PALETTE],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return len(cards)


def _sure(box: LabelledBox) -> float:
    """In [0, 1]; 1 where nobody knows, so that no cut on it leaves the box out."""
    return 1.0 if box.confidence is None else round(box.confidence, 4)


def _doubt(photo: LabelledImage, choice: BoxChoice) -> tuple[bool, float]:
    """Images in order: the lowest score that was taken first; those of which nothing was taken last.

    Without a cut on scores the lowest confidence decides, which is what was cut by.
    """
    sure = choice.min_confidence
    taken = [
        box.score if choice.min_score > 0 else _sure(box)
        for box in photo.boxes
        if box.score >= choice.min_score and _sure(box) >= sure
    ]
    return not taken, min(taken, default=-max((box.score for box in photo.boxes), default=0.0))


def _card(photo: LabelledImage, path: Path) -> _Card:
    picture = open_image(path)
    picture.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return _Card(
        name=photo.name,
        image="data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii"),
        shape=photo.width / photo.height,
        rows=[_row(box, number, photo) for number, box in enumerate(reversed(photo.boxes))],
    )


def _row(box: LabelledBox, number: int, photo: LabelledImage) -> _Row:
    x1, y1, x2, y2 = box.box
    caption, start, end = box.mention.caption, box.mention.start, box.mention.end
    return _Row(
        number=number,
        colour=number % len(PALETTE),
        name=box.category,
        score=round(box.score, 4),
        sure=None if box.confidence is None else _sure(box),
        x=round(1000 * x1 / photo.width, 1),
        y=round(1000 * y1 / photo.height, 1),
        width=round(1000 * (x2 - x1) / photo.width, 1),
        height=round(1000 * (y2 - y1) / photo.height, 1),
        before=caption[:start],
        phrase=caption[start:end],
        after=caption[end:],
        others=len(box.also),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("unboxed.export").joinpath("review.html").read_text(encoding="utf-8"))
