"""Boxes that people corrected, as supervision of a fit that is asked to use them; otherwise boxes never train."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from unboxed.boxes import iou
from unboxed.data.image_search import name_in
from unboxed.errors import RunError
from unboxed.runtime.progress import counted
from unboxed.types import Array, Caption, Example, ImageBatch, Phrase, float32_array

__all__ = ["CorrectedExamples", "Corrections", "PhraseBox", "all_corrections"]

_RIGHT = 0.5  # IoU of a region with a corrected box of its phrase


class PhraseBox(NamedTuple):
    """A box that a person accepted, drew or moved, and the phrase that it belongs to.

    Attributes:
        caption: the text that the phrase is in.
        start, end: characters of the phrase.
        edges: x1, y1, x2, y2 as shares in [0, 1] of the image's width and height.
    """

    caption: str
    start: int
    end: int
    edges: tuple[float, float, float, float]


Corrections = Mapping[str, Sequence[PhraseBox]]
"""Corrected boxes by the name of their image."""


@dataclass(frozen=True, eq=False)
class CorrectedExamples:
    """Training images with the phrases that have corrected boxes.

    Attributes:
        examples: the images; captions have the phrases of corrected boxes too.
        boxes: by image id, number of the caption and number of the phrase, corrected boxes `[N, 4]` as shares of the
            image's size.
        unused: boxes whose image is no training image, or whose phrase is in none of its captions.
        digest: of the corrections, to distinguish them from others when a run is resumed.
    """

    examples: tuple[Example, ...]
    boxes: Mapping[str, Mapping[tuple[int, int], Array]]
    unused: int
    digest: str

    @classmethod
    def of(cls, examples: Sequence[Example], images: Path | None, given: Corrections) -> CorrectedExamples:
        """The examples with their corrected boxes.

        Args:
            examples: training images.
            images: the folder that names of images are relative to; None: each image's own folder.
            given: corrected boxes by the name of their image.

        Raises:
            RunError: none of them is of a phrase of these captions.
        """
        changed, boxes, used = [], {}, 0
        for example in examples:
            own = given.get(name_in(images or example.path.parent, example.path), ())
            used += sum(any(_is_in(box, caption) for caption in example.captions) for box in own)
            captions, found = _with_boxes(example.captions, own)
            changed.append(replace(example, captions=captions) if found else example)
            if found:
                boxes[example.image_id] = found
        content = json.dumps(sorted((name, list(rows)) for name, rows in given.items()))
        if not used:
            raise RunError(
                f"None of the {sum(map(len, given.values())):,} corrected boxes is of a phrase of a training caption; "
                "correct the labels of this dataset's captions."
            )
        digest = hashlib.sha256(content.encode()).hexdigest()
        return cls(tuple(changed), boxes, sum(map(len, given.values())) - used, digest)

    @property
    def facts(self) -> dict[str, Any]:
        """The boxes that trained a run, as its config states them."""
        return {"boxes": self._count, "photos": len(self.boxes), "digest": self.digest}

    @property
    def _count(self) -> int:
        return sum(len(rows) for found in self.boxes.values() for rows in found.values())

    def __str__(self) -> str:
        used = f"{self._count:,} corrected box{'es' * (self._count != 1)} of {counted(len(self.boxes), 'image')}"
        unused = f"; {self.unused:,} are of no phrase of a training caption" if self.unused else ""
        return f"Corrections: {used} train the attention{unused}. The results are not those of captions alone"

    def right_regions(
        self, batch: Sequence[tuple[str, Sequence[int]]], images: ImageBatch, phrases: int
    ) -> torch.Tensor:
        """The regions of a batch that corrected boxes name, `[C, P, R]`: those with an IoU of at least one half.

        Args:
            batch: the id of each image, and the numbers of its captions that are in the batch.
            images: their regions.
            phrases: P.
        """
        edges_BR4, mask_BR = images.edges_BR4.numpy(), images.mask_BR.numpy()
        right_CPR = np.zeros((sum(len(numbers) for _, numbers in batch), phrases, mask_BR.shape[1]), dtype=bool)
        row = 0
        for position, (image_id, numbers) in enumerate(batch):
            own = self.boxes.get(image_id, {})
            for number in numbers:
                for (caption, phrase), boxes in own.items():
                    if caption == number:
                        overlap_R = iou(boxes, edges_BR4[position]).max(axis=0)
                        right_CPR[row, phrase] = (overlap_R >= _RIGHT) & mask_BR[position]
                row += 1
        return torch.from_numpy(right_CPR)


def all_corrections(of_teacher: Mapping[str, Any], own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The facts about the boxes that trained a run or its teacher; those of different files are counted together."""
    if own is None or own.get("digest") == of_teacher.get("digest"):
        return of_teacher
    digest = hashlib.sha256(f"{of_teacher.get('digest')} {own.get('digest')}".encode()).hexdigest()
    return {**{name: of_teacher.get(name, 0) + own.get(name, 0) for name in ("boxes", "photos")}, "digest": digest}


def _with_boxes(
    captions: tuple[Caption, ...], given: Sequence[PhraseBox]
) -> tuple[tuple[Caption, ...], dict[tuple[int, int], Array]]:
    """The captions with a phrase for each box, and the boxes by the numbers of caption and phrase."""
    changed: list[Caption] = []
    boxes: dict[tuple[int, int], Array] = {}
    for number, caption in enumerate(captions):
        own = [box for box in given if _is_in(box, caption)]
        spans = {(box.start, box.end) for box in own} - {(phrase.start, phrase.end) for phrase in caption.phrases}
        more = tuple(Phrase(caption.text[start:end], start, end) for start, end in spans)
        phrases = tuple(sorted((*caption.phrases, *more), key=lambda phrase: (phrase.start, phrase.end)))
        changed.append(replace(caption, phrases=phrases) if more else caption)
        for place, phrase in enumerate(phrases):
            edges = [box.edges for box in own if (box.start, box.end) == (phrase.start, phrase.end)]
            if edges:
                boxes[number, place] = float32_array(edges)
    return tuple(changed), boxes


def _is_in(box: PhraseBox, caption: Caption) -> bool:
    return box.caption == caption.text and 0 <= box.start < box.end <= len(caption.text)
