"""Correction of the labels that `unboxed label` wrote: the images to look at, and the changes of their boxes."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unboxed.errors import ExportError, StudioError
from unboxed.export import coco, csv
from unboxed.export.corrections import CorrectedBox, CorrectedImage, Correction, corrected
from unboxed.export.corrections_file import CorrectionsFile
from unboxed.export.label_precision import precision
from unboxed.export.labels import LabelledImage, Selection
from unboxed.export.labels_file import companion, read_labels
from unboxed.export.review_order import order_for_review
from unboxed.studio.image_library import ImageLibrary, LibraryImage
from unboxed.studio.schemas import ImageInfo, LabelBox, LabelChange, LabelEntry, LabelImage, LabelList

__all__ = ["Corrector", "StaleChangeError"]

_NAMES = 500  # offered for the name of a box


class StaleChangeError(StudioError):
    """Someone else has changed the image in the meantime."""


@dataclass(frozen=True)
class _Shown:
    """An image with its entry in the library, which has its id."""

    image: LabelledImage
    entry: LibraryImage


class Corrector:
    """Labelled images and their corrections. Methods may be called by several threads.

    Args:
        library: the images are added to it, so that their pictures can be shown.
        labels: the output of `unboxed label`, or its `NAME.labels.jsonl`.

    Raises:
        StudioError: there are no labels, or their corrections are damaged.
    """

    def __init__(self, library: ImageLibrary, labels: Path) -> None:
        try:
            known = read_labels(companion(labels, "labels"))
            self._file = CorrectionsFile(companion(labels, "corrections"))
        except ExportError as error:
            raise StudioError(str(error)) from None
        shown = [
            _Shown(image, library.add(known.files[image.name], image.name))
            for image in map(known.images.__getitem__, order_for_review(known.images))
        ]
        self._images = {one.entry.image_id: one for one in shown}
        self._names = known.names
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    def page(self, start: int, count: int, which: Literal["all", "open", "checked"]) -> LabelList:
        """A page of the images, those that are most useful to check first.

        Args:
            start: position of the first one among those that are wanted.
            count: their number, at most.
            which: images that are not checked, those that are, or all.
        """
        with self._lock:
            states = dict(self._file.states)
        checked = {image_id for image_id, one in self._images.items() if _is_checked(states, one.image)}
        wanted = [
            image_id for image_id in self._images if which == "all" or (image_id in checked) == (which == "checked")
        ]
        estimate = precision([one.image for one in self._images.values()], states)
        used = {box.label.category for state in states.values() for box in state.boxes}
        return LabelList(
            photos=[self._entry(image_id, states) for image_id in wanted[start : start + count]],
            total=len(wanted),
            checked=len(checked),
            all=len(self),
            names=[*self._names, *sorted(used.difference(self._names))][:_NAMES],
            precision=None if estimate is None else str(estimate),
        )

    def image(self, image_id: str) -> LabelImage | None:
        """An image with its boxes; None for an id that no labelled image has."""
        shown = self._images.get(image_id)
        if shown is None:
            return None
        with self._lock:
            return _description(shown, self._file.state(shown.image))

    def correct(self, image_id: str, change: LabelChange) -> LabelImage | None:
        """Make a change, on the disk, and return the image; None for an id that no labelled image has.

        Raises:
            StaleChangeError: the image has other corrections than the sender saw.
            StudioError: the change is not possible, or cannot be written.
        """
        shown = self._images.get(image_id)
        if shown is None:
            return None
        correction = None
        if change.action != "undo":
            correction = Correction(change.action, change.box, change.edges, change.text)
        with self._lock:
            if len(self._file.state(shown.image).history) != change.changes:
                raise StaleChangeError("Someone else has changed this image; it is shown as it is now.")
            try:
                return _description(shown, self._file.correct(shown.image, correction))
            except ExportError as error:
                raise StudioError(str(error)) from None
            except OSError as error:
                raise StudioError(f"The correction cannot be written ({error.strerror}).") from None

    def export(self, form: Literal["coco", "csv"]) -> str:
        """All images with their corrected boxes."""
        images = tuple(one.image for one in self._images.values())
        with self._lock:
            selection = corrected(Selection(images, self._names), list(self._file.states.values()))
        if form == "csv":
            return csv.text(selection)
        return json.dumps(coco.dataset(selection), ensure_ascii=False) + "\n"

    def _entry(self, image_id: str, states: Mapping[str, CorrectedImage]) -> LabelEntry:
        shown = self._images[image_id]
        state = states.get(shown.image.name)
        kept = state.image if state and state.history else shown.image
        checked = _is_checked(states, shown.image)
        return LabelEntry(id=image_id, name=shown.entry.name, boxes=len(kept.boxes), checked=checked)


def _is_checked(states: Mapping[str, CorrectedImage], image: LabelledImage) -> bool:
    return image.name in states and states[image.name].checked


def _description(shown: _Shown, state: CorrectedImage) -> LabelImage:
    labelled, entry = state.labelled, shown.entry
    size = (labelled.width, labelled.height)
    return LabelImage(
        photo=ImageInfo(id=entry.image_id, name=entry.name, width=size[0], height=size[1], shape=size),
        captions=list(labelled.captions),
        boxes=_boxes(state.boxes),
        checked=state.checked,
        changes=len(state.history),
    )


def _boxes(boxes: Sequence[CorrectedBox]) -> list[LabelBox]:
    return [
        LabelBox(
            number=box.number,
            name=box.label.category,
            box=box.label.box,
            phrase=box.label.mention.phrase,
            score=None if box.found is None else round(box.found.score, 4),
            confidence=None if box.found is None else box.found.confidence,
            verdict=box.verdict,
        )
        for box in boxes
    ]
