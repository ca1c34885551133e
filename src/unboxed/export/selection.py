"""Selects the boxes of groundings that are written as labels: their names, and how many were left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unboxed.boxes import iou
from unboxed.data.readers.tables import hold_out
from unboxed.errors import ExportError
from unboxed.export.names import BoxNames
from unboxed.export.options import SelectionOptions
from unboxed.inference.results import Grounding
from unboxed.runtime.progress import counted

__all__ = ["LabelledBox", "LabelledImage", "Mention", "Selection", "resized", "select_boxes"]

_SAME_BOX = 0.9  # IoU


@dataclass(frozen=True)
class Mention:
    """A phrase that refers to a box, and its character span in the caption."""

    phrase: str
    start: int
    end: int
    caption: str


@dataclass(frozen=True)
class LabelledBox:
    """A box with its name.

    Attributes:
        category: its name.
        box: x1, y1, x2, y2 in pixels of the upright image.
        score: of the box among the boxes of its phrase; higher is better.
        mention: the phrase that it was found for; of several, the one with the best score.
        also: the other phrases.
        confidence: the calibrated probability in [0, 1] that the phrase is in the image, of several phrases the
            highest; None where the model was not calibrated.
        guess: what tells people that box and probability are a guess (`GroundedPhrase.guess`).
    """

    category: str
    box: tuple[float, float, float, float]
    score: float
    mention: Mention
    also: tuple[Mention, ...] = ()
    confidence: float | None = None
    guess: str = ""


@dataclass(frozen=True)
class LabelledImage:
    """An image with its captions and its selected boxes, best first."""

    name: str
    width: int
    height: int
    captions: tuple[str, ...]
    boxes: tuple[LabelledBox, ...]


@dataclass(frozen=True)
class Selection:
    """The selected boxes of every image, and counts of what was left out.

    Attributes:
        images: one for each name, in order of first appearance, also those without boxes.
        categories: the names of the boxes in alphabetical order; classes that were given, in their order.
        below_score: boxes left out for their score.
        absent: phrases left out for their probability of being in the image.
        unnamed: boxes left out because their phrase names no object.
        merged: boxes that were merged into another one.
        rare: boxes left out because too few have their name.
        unclassed: boxes left out because their phrase belongs to none of the classes that were given.
        mapping: (head noun, name, boxes) of every head noun, the most frequent first; the name is "" where it gives no
            box a name. Empty where boxes are called by whole phrases or types.
    """

    images: tuple[LabelledImage, ...]
    categories: tuple[str, ...]
    below_score: int = 0
    absent: int = 0
    unnamed: int = 0
    merged: int = 0
    rare: int = 0
    unclassed: int = 0
    mapping: tuple[tuple[str, str, int], ...] = ()

    @property
    def boxes(self) -> int:
        """The number of selected boxes."""
        return sum(len(image.boxes) for image in self.images)

    @property
    def held_out(self) -> frozenset[str]:
        """The names of about a tenth of the images with boxes, to validate a detector on; by a hash of the name."""
        split = hold_out(image.name for image in self.images if image.boxes)
        return frozenset(name for name, part in split.items() if part == "val")

    def describe(self) -> str:
        """One line: what was selected, and what was left out."""
        left_out = {
            "below the score": self.below_score,
            "not in the image": self.absent,
            "of phrases that name no object": self.unnamed,
            "of no class": self.unclassed,
            "merged with another": self.merged,
            "of rare names": self.rare,
        }
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
        return (
            f"{counted(len(self.images), 'image')}, {self.boxes:,} boxes of {len(self.categories):,} names"
            f"{f'; left out: {reasons}' if reasons else ''}"
        )


def resized(selection: Selection, sizes: Mapping[str, tuple[int, int]]) -> Selection:
    """The selection with the boxes of images in another (width, height), such as that before they were stored."""
    return replace(
        selection,
        images=tuple(
            _resized(image, *sizes[image.name]) if image.name in sizes else image for image in selection.images
        ),
    )


def _resized(image: LabelledImage, width: int, height: int) -> LabelledImage:
    x, y = width / image.width, height / image.height
    scaled = (((x1 * x, y1 * y, x2 * x, y2 * y), box) for box in image.boxes for x1, y1, x2, y2 in (box.box,))
    boxes = tuple(replace(box, box=edges) for edges, box in scaled)
    return replace(image, width=width, height=height, boxes=boxes)


def select_boxes(
    groundings: Sequence[Grounding], images: Sequence[str], options: SelectionOptions | None = None
) -> Selection:
    """The boxes of groundings, by image, that are written as labels.

    Args:
        groundings: of any number of captions of any number of images.
        images: the name of the image of each grounding, such as its path; formats write it as the file name.
        options: which boxes; None selects the best box of every phrase that is present and names an object.

    Raises:
        ExportError: one name for images of different sizes; classes that cannot be used.
    """
    options = options or SelectionOptions()
    found: dict[str, _Found] = {}
    counts: Counter[str] = Counter()
    naming = BoxNames(options)
    for grounding, image in zip(groundings, images, strict=True):
        size = (grounding.width, grounding.height)
        known = found.setdefault(image, _Found(size))
        if known.size != size:
            raise ExportError(f"{image!r} has {known.size} pixels once and {size} once; give each image its own name.")
        known.captions.append(grounding.caption)
        known.boxes += _named_boxes(grounding, options, naming, counts)
    merged = {image: _merged(known.boxes, options.merge, options.classes is not None) for image, known in found.items()}
    counts["merged"] = sum(len(known.boxes) - len(merged[image]) for image, known in found.items())
    by_name = Counter(box.category for boxes in merged.values() for box in boxes)
    kept = {name for name, count in by_name.items() if count >= options.min_boxes}
    counts["rare"] = sum(count for name, count in by_name.items() if name not in kept)
    shown = naming.shown(kept, (box for known in found.values() for box in known.boxes))
    return Selection(
        tuple(
            LabelledImage(
                image,
                *known.size,
                tuple(known.captions),
                tuple(replace(box, category=shown[box.category]) for box in merged[image] if box.category in kept),
            )
            for image, known in found.items()
        ),
        tuple(sorted(set(shown.values()))) if naming.classes is None else naming.classes.names,
        mapping=naming.mapping(shown),
        **counts,
    )


@dataclass
class _Found:
    """The size, the captions and the named boxes of one image."""

    size: tuple[int, int]
    captions: list[str] = field(default_factory=list)
    boxes: list[LabelledBox] = field(default_factory=list)


def _named_boxes(
    grounding: Grounding, options: SelectionOptions, naming: BoxNames, counts: Counter[str]
) -> Iterator[LabelledBox]:
    """The boxes of a grounding with a good enough score and a name; `counts` counts the others."""
    for phrase in grounding.phrases:
        if phrase.confidence is not None and phrase.confidence < options.lowest_confidence:
            counts["absent"] += 1
            continue
        mention = Mention(phrase.text, phrase.start, phrase.end, grounding.caption)
        best = phrase.chosen(options.top) if options.plurals else list(range(min(options.top, len(phrase.boxes))))
        found = list(zip(phrase.boxes[best].tolist(), phrase.scores[best].tolist(), strict=True))
        good = [(box, score) for box, score in found if score >= options.lowest_score]
        counts["below_score"] += len(found) - len(good)
        name = naming.of(phrase, len(good))
        for box, score in good:
            if not name:
                counts["unnamed" if naming.classes is None else "unclassed"] += 1
            else:
                yield LabelledBox(name, tuple(box), score, mention, (), phrase.confidence, phrase.guess)


def _merged(boxes: Iterable[LabelledBox], threshold: float, one_name: bool) -> list[LabelledBox]:
    """The boxes, best first; a box whose IoU with a better one of its name exceeds the threshold is merged into it.

    Args:
        boxes: of one image.
        threshold: IoU.
        one_name: a box that a better one of another name nearly covers is merged into that one, too.
    """
    kept: list[LabelledBox] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        others = np.array([other.box for other in kept], np.float32).reshape(-1, 4)
        same = np.array([other.category == box.category for other in kept], bool)
        overlap = iou(np.array([box.box], np.float32), others)[0]
        excess = np.where(same, overlap - threshold, overlap - _SAME_BOX if one_name else -1.0)
        if kept and float(excess.max()) > 0:
            place = int(excess.argmax())
            confidence = max((b.confidence for b in (kept[place], box) if b.confidence is not None), default=None)
            kept[place] = replace(kept[place], also=(*kept[place].also, box.mention), confidence=confidence)
        else:
            kept.append(box)
    return kept
