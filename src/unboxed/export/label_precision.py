"""The precision of all labelled boxes, estimated from the images that were checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unboxed.boxes import iou
from unboxed.export.corrections import CorrectedImage
from unboxed.export.labels import LabelledBox, LabelledImage
from unboxed.runtime.progress import counted
from unboxed.types import Array

__all__ = ["CHECKED_IMAGES", "Precision", "precision"]

CHECKED_IMAGES = 50
"""Images that are checked before the precision is estimated, unless there are fewer."""

_STRATA = 5
_DRAWS = 4000


@dataclass(frozen=True)
class Precision:
    """An estimate of the share of boxes that are right.

    Attributes:
        value: the estimate, in [0, 1].
        low, high: the 95 % interval.
        boxes: boxes that were judged.
        images: checked images.
    """

    value: float
    low: float
    high: float
    boxes: int
    images: int

    def __str__(self) -> str:
        value, low, high = (f"{100 * share:.0f}" for share in (self.value, self.low, self.high))
        return (
            f"precision {value} % ({low} to {high} %) of all boxes, from {self.boxes:,} boxes of "
            f"{counted(self.images, 'image')}"
        )


def precision(images: Sequence[LabelledImage], states: Mapping[str, CorrectedImage]) -> Precision | None:
    """The precision of the boxes of all images, estimated from the checked ones; None before enough were checked.

    A box is right if it was not rejected or deleted, kept its name, and overlaps its corrected place with an IoU of at
    least 0.5. Images are not checked at random, but the uncertain ones first; therefore boxes are compared within
    fifths of the same certainty: the precision of each fifth has the posterior Beta(right + 1/2, wrong + 1/2), and the
    fifths are weighted by the numbers of all their boxes.

    Args:
        images: all labelled images.
        states: the corrected images by name.
    """
    checked = [state for image in images if (state := states.get(image.name)) and state.checked]
    if not checked or len(checked) < min(CHECKED_IMAGES, len(images)):
        return None
    everything = np.array([_certainty(box) for image in images for box in image.boxes])
    judged = [pair for state in checked for pair in _judged(state)]
    if not judged or not len(everything):
        return None
    edges = np.quantile(everything, np.linspace(0, 1, _STRATA + 1)[1:-1])
    weight = np.bincount(np.searchsorted(edges, everything, "right"), minlength=_STRATA) / len(everything)
    stratum = np.searchsorted(edges, np.array([certainty for certainty, _ in judged]), "right")
    right = np.bincount(stratum, [good for _, good in judged], minlength=_STRATA)
    count = np.bincount(stratum, minlength=_STRATA)
    draws = np.random.default_rng(0).beta(right + 0.5, count - right + 0.5, (_DRAWS, _STRATA)) @ weight
    low, value, high = np.quantile(draws, (0.025, 0.5, 0.975))
    return Precision(float(value), float(low), float(high), len(judged), len(checked))


def _judged(state: CorrectedImage) -> Iterable[tuple[float, bool]]:
    """The certainty of each box that was found, and whether it is right."""
    now = {box.number: box for box in state.boxes}
    for number, found in enumerate(state.labelled.boxes):
        box = now.get(number)
        good = box is not None and box.verdict != "rejected" and box.label.category == found.category
        if good and box is not None and box.label.box != found.box:
            good = bool(iou(_array(box.label), _array(found))[0, 0] >= 0.5)
        yield _certainty(found), good


def _array(box: LabelledBox) -> Array:
    return np.array([box.box], np.float32)


def _certainty(box: LabelledBox) -> float:
    return box.score if box.confidence is None else box.confidence
