"""Corrections of labels by people: accept, reject, move, rename, add and delete boxes, and edit phrases.

The first correction of an image keeps the boxes that it had then. They and the corrections give the boxes of the image
from then on, whatever another call of `label` finds. A correction is one change, so a file of corrections is a history:
replayed from the start, it always gives the same boxes. Corrections train a model only if `fit` is asked to use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from unboxed.errors import ExportError
from unboxed.export.labels import LabelledBox, LabelledImage, Mention, Selection

__all__ = ["ACTIONS", "Action", "CorrectedBox", "CorrectedImage", "Correction", "apply", "corrected", "undo"]

Action = Literal["accept", "reject", "move", "rename", "phrase", "add", "delete", "check", "uncheck"]
ACTIONS: tuple[str, ...] = get_args(Action)
"""What a correction does."""

_LONGEST = 500  # characters of a name or phrase
_SMALLEST = 1.0  # side of a box in pixels
_LARGEST = 1e9  # number in a correction


@dataclass(frozen=True)
class Correction:
    """One change of the boxes of an image.

    Attributes:
        action: `accept` and `reject` judge a box, and a rejected box is not exported; `move` gives it another place or
            size; `rename` another name; `phrase` another phrase; `add` and `delete` make and remove one; `check` and
            `uncheck` mark the whole image as looked at or not.
        box: number of the box; None for `add`, `check` and `uncheck`.
        edges: x1, y1, x2, y2 in pixels for `move` and `add`; cut to the image.
        text: the name for `rename` and `add`, the phrase for `phrase`.
    """

    action: Action
    box: int | None = None
    edges: tuple[float, float, float, float] | None = None
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The correction as JSON, without what is None."""
        values = {"action": self.action, "box": self.box, "edges": self.edges, "text": self.text}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in values.items()
            if value is not None
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Correction:
        """The correction of `to_json`.

        Raises:
            ExportError: the JSON has another form.
        """
        action, box, edges, text = (row.get(key) for key in ("action", "box", "edges", "text"))
        numbers = isinstance(edges, list) and len(edges) == 4 and all(_is_number(edge) for edge in edges)
        if (
            action not in ACTIONS
            or not (box is None or (isinstance(box, int) and not isinstance(box, bool)))
            or not (edges is None or numbers)
            or not (text is None or isinstance(text, str))
        ):
            raise ExportError(f"{str(dict(row))[:200]} is no correction; an action is one of {', '.join(ACTIONS)}.")
        return cls(action, box, tuple(map(float, edges)) if edges is not None else None, text)  # type: ignore[arg-type]


@dataclass(frozen=True)
class CorrectedBox:
    """A box with its history.

    Attributes:
        number: of the box in its image; never used again after the box was deleted.
        label: the box as it is now.
        found: the box as it was labelled; None for one that was added.
        verdict: `accepted`, `rejected`, or "" for a box that was not judged.
    """

    number: int
    label: LabelledBox
    found: LabelledBox | None
    verdict: Literal["", "accepted", "rejected"] = ""


@dataclass(frozen=True)
class CorrectedImage:
    """An image, the boxes that it had when it was first corrected, and its boxes now.

    Attributes:
        labelled: the image with the boxes that were found.
        boxes: its boxes now, rejected ones too.
        checked: whether the whole image was looked at.
        history: the corrections that led from the former to the latter.
        added: number of the next box that is added.
    """

    labelled: LabelledImage
    boxes: tuple[CorrectedBox, ...]
    checked: bool = False
    history: tuple[Correction, ...] = ()
    added: int = 0

    @classmethod
    def start(cls, image: LabelledImage) -> CorrectedImage:
        """An image without corrections; its boxes are numbered from 0."""
        boxes = tuple(CorrectedBox(number, box, box) for number, box in enumerate(image.boxes))
        return cls(image, boxes, added=len(boxes))

    @property
    def image(self) -> LabelledImage:
        """The image as it is exported: without rejected boxes."""
        return replace(self.labelled, boxes=tuple(box.label for box in self.boxes if box.verdict != "rejected"))


def apply(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    """The image after one more correction.

    Raises:
        ExportError: no such box, no text or edges where they are needed, or a box that is smaller than a pixel.
    """
    return replace(_CHANGES[correction.action](state, correction), history=(*state.history, correction))


def undo(state: CorrectedImage) -> CorrectedImage:
    """The image without its last correction; itself if there is none."""
    before = CorrectedImage.start(state.labelled)
    for correction in state.history[:-1]:
        before = apply(before, correction)
    return before


def corrected(selection: Selection, states: Iterable[CorrectedImage]) -> Selection:
    """The selection with the corrected boxes of the images that were corrected.

    Images that are not in the selection any more are left out. New names follow those of the selection, whose numbers
    stay.

    Args:
        selection: the labels.
        states: corrected images, one a name.
    """
    by_name = {state.labelled.name: state for state in states if state.history}
    images = tuple(
        replace(image, boxes=by_name[image.name].image.resized(image.width, image.height).boxes)
        if image.name in by_name
        else image
        for image in selection.images
    )
    used = {box.category for image in images for box in image.boxes}
    new = sorted(used.difference(selection.categories))
    return replace(selection, images=images, categories=(*selection.categories, *new))


def _judge(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    verdict: Literal["accepted", "rejected"] = "accepted" if correction.action == "accept" else "rejected"
    return _with(state, replace(_box(state, correction), verdict=verdict))


def _move(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    box = _box(state, correction)
    return _with(state, _touched(box, replace(box.label, box=_edges(state, correction))))


def _rename(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    box = _box(state, correction)
    name, label = _text(correction), box.label
    if box.found is None and label.mention.phrase == label.category:  # a box that was added, with a name alone
        label = replace(label, mention=_mention(name, _caption_with(name, state)))
    return _with(state, _touched(box, replace(label, category=name)))


def _phrase(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    box = _box(state, correction)
    mention = _mention(_text(correction), box.label.mention.caption)
    return _with(state, _touched(box, replace(box.label, mention=mention, also=())))


def _add(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    name = _text(correction)
    label = LabelledBox(name, _edges(state, correction), 1.0, _mention(name, _caption_with(name, state)))
    box = CorrectedBox(state.added, label, None, "accepted")
    return replace(state, boxes=(*state.boxes, box), added=state.added + 1)


def _delete(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    gone = _box(state, correction)
    return replace(state, boxes=tuple(box for box in state.boxes if box is not gone))


def _check(state: CorrectedImage, correction: Correction) -> CorrectedImage:
    return replace(state, checked=correction.action == "check")


_CHANGES: dict[str, Callable[[CorrectedImage, Correction], CorrectedImage]] = {
    "accept": _judge,
    "reject": _judge,
    "move": _move,
    "rename": _rename,
    "phrase": _phrase,
    "add": _add,
    "delete": _delete,
    "check": _check,
    "uncheck": _check,
}


def _box(state: CorrectedImage, correction: Correction) -> CorrectedBox:
    for box in state.boxes:
        if box.number == correction.box:
            return box
    raise ExportError(f"{state.labelled.name} has no box {correction.box}; it may have been deleted.")


def _touched(box: CorrectedBox, label: LabelledBox) -> CorrectedBox:
    """The box with another label; whoever corrects a box accepts it."""
    return replace(box, label=label, verdict="accepted")


def _with(state: CorrectedImage, changed: CorrectedBox) -> CorrectedImage:
    return replace(state, boxes=tuple(changed if box.number == changed.number else box for box in state.boxes))


def _edges(state: CorrectedImage, correction: Correction) -> tuple[float, float, float, float]:
    if correction.edges is None or not all(map(math.isfinite, correction.edges)):
        raise ExportError(f"The correction {correction.action!r} needs four edges in pixels.")
    width, height = state.labelled.width, state.labelled.height
    x1, y1, x2, y2 = (
        round(min(max(edge, 0.0), float(limit)), 2)
        for edge, limit in zip(correction.edges, (width, height, width, height), strict=True)
    )
    if x2 - x1 < _SMALLEST or y2 - y1 < _SMALLEST:
        raise ExportError("A box needs at least one pixel in width and height inside the image.")
    return x1, y1, x2, y2


def _text(correction: Correction) -> str:
    text = " ".join((correction.text or "").split())
    if not text or len(text) > _LONGEST or not text.isprintable():
        raise ExportError(f"The correction {correction.action!r} needs a text of 1 to {_LONGEST} printable characters.")
    return text


def _caption_with(name: str, state: CorrectedImage) -> str:
    return next((caption for caption in state.labelled.captions if name in caption), name)


def _mention(phrase: str, caption: str) -> Mention:
    """A phrase with its place in the caption; a phrase that is not in it is a caption of its own."""
    start = caption.find(phrase)
    return (
        Mention(phrase, start, start + len(phrase), caption) if start >= 0 else Mention(phrase, 0, len(phrase), phrase)
    )


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _LARGEST  # false for NaN
