"""Which boxes of groundings are taken, what each is called, and how many were left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unboxed.boxes import iou
from unboxed.errors import ExportError
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.text import lexicon
from unboxed.text.inflection import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import words

__all__ = ["BoxChoice", "Chosen", "LabelledBox", "LabelledImage", "Mention", "choose"]

# Heads of phrases that mean no thing with an outline: a place in the picture, a time, the picture itself.
_NO_THING = frozenset(
    word.text
    for word in words(
        """
        air area background bottom camera center centre close closeup corner day distance edge end evening foreground
        front image landscape left lot middle morning night image image picture place portrait position right
        scene setting shot side sight something space time top view way
        """
    )
)


@dataclass(frozen=True)
class BoxChoice:
    """Which boxes are taken.

    Attributes:
        min_score: boxes that score less are left out. A score ranks the boxes of one phrase; what is a high one differs
            between recipes.
        min_confidence: phrases that are in the image with less confidence are left out, where the model was
            calibrated; in [0, 1], and of one meaning for all recipes.
        top: boxes a phrase at most.
        names: what a box is called: the phrase's head noun in the form that is most usual among them (`nouns`), its
            first Entities type where it has one (`types`), or the phrase itself in lower case (`phrases`). Under
            `nouns`, pronouns, numbers and words such as “background” name nothing, and their boxes are left out.
        merge: boxes of one name in one image that overlap more (IoU) become one, the best; several captions of a
            image speak of the same things. 1 keeps all.
        min_boxes: names with fewer boxes are left out.

    Raises:
        ExportError: a value that is out of range.
    """

    min_score: float = 0.0
    min_confidence: float = 0.5
    top: int = 1
    names: Literal["nouns", "types", "phrases"] = "nouns"
    merge: float = 0.6
    min_boxes: int = 1

    def __post_init__(self) -> None:
        if self.top < 1 or self.min_boxes < 1:
            raise ExportError(f"top is {self.top} and min_boxes {self.min_boxes}; expected at least 1 of each.")
        if not 0 <= self.min_confidence <= 1:
            raise ExportError(f"min_confidence is {self.min_confidence}; expected a probability in 0..1, 0 for all.")
        if not 0 <= self.merge <= 1:
            raise ExportError(f"merge is {self.merge}; expected an overlap (IoU) in 0..1, 1 to keep every box.")


@dataclass(frozen=True)
class Mention:
    """Where a text speaks of a box: a phrase and its character span in the caption."""

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
        score: higher is surer.
        mention: the phrase that it was found for, of several the one that is surest.
        also: the others.
        confidence: that the phrase is in the image, of several phrases the surest; None where nothing is known.
    """

    category: str
    box: tuple[float, float, float, float]
    score: float
    mention: Mention
    also: tuple[Mention, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True)
class LabelledImage:
    """An image with the boxes taken, best first."""

    name: str
    width: int
    height: int
    boxes: tuple[LabelledBox, ...]


@dataclass(frozen=True)
class Chosen:
    """What is taken, by image, and how much is not.

    Attributes:
        photos: one of each name, in order of first appearance; also those without boxes.
        categories: the names, by alphabet.
        doubtful: boxes below the lowest score.
        absent: phrases that are in their image with less than the lowest confidence.
        nameless: boxes of phrases that name no thing.
        merged: boxes that another one stands for.
        rare: boxes of names with too few boxes.
    """

    images: tuple[LabelledImage, ...]
    categories: tuple[str, ...]
    doubtful: int = 0
    absent: int = 0
    nameless: int = 0
    merged: int = 0
    rare: int = 0

    @property
    def boxes(self) -> int:
        """How many boxes are taken."""
        return sum(len(image.boxes) for image in self.images)

    def describe(self) -> str:
        """One line for people: what there is, and what was left out."""
        left_out = {
            "below the score": self.doubtful,
            "not in the picture": self.absent,
            "of phrases that name no thing": self.nameless,
            "merged with another": self.merged,
            "of rare names": self.rare,
        }
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
        return (
            f"{len(self.images):,} images, {self.boxes:,} boxes of {len(self.categories):,} names"
            f"{f'; left out: {reasons}' if reasons else ''}"
        )


def choose(groundings: Sequence[Grounding], images: Sequence[str], choice: BoxChoice | None = None) -> Chosen:
    """The boxes of groundings by image.

    Args:
        groundings: of any number of captions of any number of images.
        photos: the photograph's name of each grounding.
        choice: the rule; the default takes the best box of every phrase.

    Raises:
        ExportError: one name of images of different sizes.
    """
    choice = choice or BoxChoice()
    taken: dict[str, list[LabelledBox]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    count: Counter[str] = Counter()
    for grounding, image in zip(groundings, images, strict=True):
        size = (grounding.width, grounding.height)
        if sizes.setdefault(image, size) != size:
            raise ExportError(
                f"{image!r} has {sizes[image]} pixels once and {size} once; give each image its own name."
            )
        boxes = taken.setdefault(image, [])
        for phrase in grounding.phrases:
            if phrase.confidence is not None and phrase.confidence < choice.min_confidence:
                count["absent"] += 1
                continue
            name = _name(phrase, choice)
            best = slice(0, choice.top)
            for box, score in zip(phrase.boxes[best].tolist(), phrase.scores[best].tolist(), strict=True):
                if score < choice.min_score:
                    count["doubtful"] += 1
                elif not name:
                    count["nameless"] += 1
                else:
                    mention = Mention(phrase.text, phrase.start, phrase.end, grounding.caption)
                    boxes.append(LabelledBox(name, tuple(box), score, mention, confidence=phrase.confidence))
    merged = {image: _merged(boxes, choice.merge) for image, boxes in taken.items()}
    count["merged"] = sum(len(taken[image]) - len(merged[image]) for image in taken)
    by_name = Counter(box.category for boxes in merged.values() for box in boxes)
    kept = {name for name, boxes in by_name.items() if boxes >= choice.min_boxes}
    count["rare"] = sum(boxes for name, boxes in by_name.items() if name not in kept)
    shown = _shown(choice, kept, (box for boxes in taken.values() for box in boxes))
    return Chosen(
        tuple(
            LabelledImage(
                image, *sizes[image], tuple(replace(b, category=shown[b.category]) for b in boxes if b.category in kept)
            )
            for image, boxes in merged.items()
        ),
        tuple(sorted(set(shown.values()))),
        **{name: count[name] for name in ("doubtful", "absent", "nameless", "merged", "rare")},
    )


def _name(phrase: GroundedPhrase, choice: BoxChoice) -> str:
    """What makes boxes equal in name; "" for a phrase that names no thing."""
    if choice.names == "phrases":
        return " ".join(phrase.text.lower().split())
    if choice.names == "types" and phrase.types:
        return phrase.types[0]
    head = head_noun(phrase.text)
    nothing = head in _NO_THING or head in lexicon.PRONOUNS or head in lexicon.DETERMINERS
    return "" if not head or nothing or lexicon.is_numeral(head) else noun_key(head)


def _merged(boxes: Iterable[LabelledBox], threshold: float) -> list[LabelledBox]:
    """Best first, each box of a name standing for those that it overlaps by more than the threshold."""
    kept: list[LabelledBox] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        same = [i for i, other in enumerate(kept) if other.category == box.category]
        overlap = iou(np.array([box.box], np.float32), np.array([kept[i].box for i in same], np.float32).reshape(-1, 4))
        if same and float(overlap.max()) > threshold:
            place = same[int(overlap.argmax())]
            sure = max((b.confidence for b in (kept[place], box) if b.confidence is not None), default=None)
            kept[place] = replace(kept[place], also=(*kept[place].also, box.mention), confidence=sure)
        else:
            kept.append(box)
    return kept


def _shown(choice: BoxChoice, kept: set[str], boxes: Iterable[LabelledBox]) -> dict[str, str]:
    """The name that people read of each name kept: of a noun its most usual form, a singular before a plural."""
    if choice.names == "phrases":
        return {name: name for name in kept}
    forms: dict[str, Counter[str]] = {name: Counter() for name in kept}
    for box in boxes:
        head = head_noun(box.mention.phrase)
        if box.category in kept:
            forms[box.category][head if noun_key(head) == box.category else box.category] += 1
    return {
        name: min(counts, key=lambda form: (lexicon.is_plural(form), -counts[form], form))
        for name, counts in forms.items()
    }
