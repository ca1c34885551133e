"""The review page of labels: images with boxes, the least certain first, and the boxes that other thresholds keep.

The page is one file that loads nothing. Captions and names are escaped, and its content security policy forbids every
request.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.export.corrections import CorrectedImage, corrected
from unboxed.export.labelling import Labelled
from unboxed.export.labels import LabelledBox, LabelledImage
from unboxed.export.labels_file import companion, image_to_json
from unboxed.export.options import SelectionOptions
from unboxed.export.selection import select_boxes
from unboxed.runtime.locks import write_locked
from unboxed.visualization.draw import PALETTE, ink
from unboxed.visualization.html import html_template, inline_text, thumbnail_data_uri

__all__ = ["write_review"]

_SCRIPTS = ("correct/elements.js", "correct/box_editor.js", "correct/correct.js", "replay.js", "review.js")
_BINS = 40
_FILTERS = 14  # names to filter by
_LONG_SIDE = 640  # of an image on the page, in pixels; boxes are drawn on it


@dataclass(frozen=True)
class _Row:
    """A box on the page: its name, its position in thousandths of the image, and its phrase within the caption.

    `label` is its number among the boxes that were written, by which corrections name it; None for one left out.
    """

    number: int
    label: int | None
    colour: int
    name: str
    score: float
    confidence: float | None
    x: float
    y: float
    width: float
    height: float
    before: str
    phrase: str
    after: str
    others: int
    guess: str


@dataclass(frozen=True)
class _Card:
    """An image on the page, its boxes with the lowest scores first."""

    name: str
    image: str
    shape: float
    rows: list[_Row]


def write_review(
    path: Path, labelled: Labelled, *, facts: Mapping[str, str], limit: int = 300, out: Path | None = None
) -> int:
    """Write the page atomically, and return how many images it shows.

    Args:
        path: the HTML file.
        labelled: the groundings and the boxes that were written. The page also has the boxes that were left out.
        facts: names and values for the top of the page.
        limit: images at most; those with the lowest scores are shown.
        out: the labels that were written; the page names the file of their corrections, which it offers for download.
    """
    options = labelled.options
    no_cuts = replace(options, min_score=float("-inf"), min_confidence=0, min_boxes=1)
    everything = corrected(select_boxes(labelled.groundings, labelled.names, no_cuts), labelled.corrections.values())
    images = sorted(everything.images, key=lambda image: _doubt(image, options))[:limit]
    started = {image.name: CorrectedImage.start(image) for image in labelled.selection.images}
    written = {**started, **labelled.corrections}
    cards = []
    for image in images:
        try:
            cards.append(_card(image, labelled.files[image.name], written[image.name]))
        except ImageError:  # the file is gone since it was labelled
            continue
    names = Counter(box.category for image in images for box in image.boxes)
    page = html_template("unboxed.export", "review.html").render(
        title="Boxes to review",
        facts={**facts, "In the file": labelled.selection.describe()},
        cards=cards,
        left_out=len(everything.images) - len(cards),
        options=options,
        notes=labelled.notes,
        mapping=_mapping(labelled.selection.mapping),
        calls_classes=options.classes is not None,
        names=[name for name, _ in names.most_common(_FILTERS)],
        palette=[(colour, ink(colour)) for colour in PALETTE],
        styles=inline_text("unboxed.export", "correct/correct.css"),
        scripts=inline_text("unboxed.export", *_SCRIPTS),
        corrections=None if out is None else _corrections(out, labelled, [written[card.name] for card in cards]),
        **_histogram(sorted((box for image in everything.images for box in image.boxes), key=lambda box: box.score)),
    )
    write_locked(path, page)
    return len(cards)


def _mapping(mapping: Iterable[tuple[str, str, int]]) -> dict[str, str]:
    """For each name the nouns that it stands for, most frequent first; the nouns without a name come last, under ""."""
    nouns: dict[str, list[str]] = defaultdict(list)
    for noun, name, count in mapping:
        nouns[name].append(f"{noun} {count:,}")
    return {
        name: ", ".join(nouns[name]) for name in sorted(nouns, key=lambda name: (not name, -len(nouns[name]), name))
    }


def _histogram(boxes: Sequence[LabelledBox]) -> dict[str, Any]:
    """What the sliders need: the scores and confidences of all boxes, the range of the scores, and its bars."""
    scores = np.array([box.score for box in boxes])
    low, high = min(scores.min(initial=0.0), 0.0), max(scores.max(initial=1.0), 1.0)
    counts = np.histogram(scores, bins=_BINS, range=(low, high))[0]
    return {
        "bars": [round(float(count / max(counts.max(), 1)), 3) for count in counts],
        "sliders": {
            "scores": [round(box.score, 4) for box in boxes],
            "confidences": [_confidence(box) for box in boxes],
            "low": float(low),
            "high": float(high),
        },
        "calibrated": any(box.confidence is not None for box in boxes),
    }


def _confidence(box: LabelledBox) -> float:
    """The probability that the phrase is in the image; 1 if it is not known, so that no threshold removes the box."""
    return 1.0 if box.confidence is None else round(box.confidence, 4)


def _doubt(image: LabelledImage, options: SelectionOptions) -> tuple[bool, float]:
    """The order of the images: by the lowest score that was selected; images without a selected box come last.

    Without a threshold on scores, confidences are used instead.
    """
    selected = [
        box.score if options.lowest_score > 0 else _confidence(box)
        for box in image.boxes
        if box.score >= options.lowest_score and _confidence(box) >= options.lowest_confidence
    ]
    return not selected, min(selected, default=-max((box.score for box in image.boxes), default=0.0))


def _corrections(out: Path, labelled: Labelled, shown: Sequence[CorrectedImage]) -> dict[str, Any]:
    """The name of the file of corrections and its lines: `labels` and `history` of each image shown, `others`."""
    names = {state.labelled.name for state in shown}
    rest = [state for state in labelled.corrections.values() if state.labelled.name not in names]
    return {
        "file": companion(out, "corrections").name,
        "names": list(labelled.selection.categories),
        "labels": [image_to_json(state.labelled) for state in shown],
        "history": [_lines(state) for state in shown],
        "others": [line for state in rest for line in (image_to_json(state.labelled), *_lines(state))],
    }


def _lines(state: CorrectedImage) -> list[dict[str, Any]]:
    return [{"image": state.labelled.name, **correction.to_json()} for correction in state.history]


def _card(image: LabelledImage, path: Path, written: CorrectedImage) -> _Card:
    numbers = {(box.label.category, box.label.box): box.number for box in written.boxes if box.verdict != "rejected"}
    return _Card(
        name=image.name,
        image=thumbnail_data_uri(open_image(path), _LONG_SIDE),
        shape=image.width / image.height,
        rows=[
            _row(box, number, image, numbers.get((box.category, box.box)))
            for number, box in enumerate(reversed(image.boxes))
        ],
    )


def _row(box: LabelledBox, number: int, image: LabelledImage, label: int | None) -> _Row:
    x1, y1, x2, y2 = box.box
    caption, start, end = box.mention.caption, box.mention.start, box.mention.end
    return _Row(
        number=number,
        label=label,
        colour=(number if label is None else label) % len(PALETTE),
        name=box.category,
        score=round(box.score, 4),
        confidence=None if box.confidence is None else _confidence(box),
        x=round(1000 * x1 / image.width, 1),
        y=round(1000 * y1 / image.height, 1),
        width=round(1000 * (x2 - x1) / image.width, 1),
        height=round(1000 * (y2 - y1) / image.height, 1),
        before=caption[:start],
        phrase=caption[start:end],
        after=caption[end:],
        others=len(box.also),
        guess=box.guess,
    )
