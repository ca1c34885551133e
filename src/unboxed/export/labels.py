"""Labels as values: boxes with their names in images, and how many were left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from unboxed.data.readers.tables import hold_out
from unboxed.runtime.progress import counted

__all__ = ["LabelledBox", "LabelledImage", "Mention", "Selection", "resized"]


@dataclass(frozen=True)
class Mention:
    """A phrase that refers to a box, and its character span in the caption.

    Of a caption of more than 2,000 characters, `caption` is the part with up to 1,000 on each side of the phrase.
    """

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

    def resized(self, width: int, height: int) -> LabelledImage:
        """The image with its boxes in another size."""
        x, y = width / self.width, height / self.height
        boxes = tuple(
            replace(box, box=(x1 * x, y1 * y, x2 * x, y2 * y)) for box in self.boxes for x1, y1, x2, y2 in (box.box,)
        )
        return replace(self, width=width, height=height, boxes=boxes)


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
            f"{counted(len(self.images), 'image')}, {self.boxes:,} box{'' if self.boxes == 1 else 'es'} of "
            f"{counted(len(self.categories), 'name')}"
            f"{f'; left out: {reasons}' if reasons else ''}"
        )


def resized(selection: Selection, sizes: Mapping[str, tuple[int, int]]) -> Selection:
    """The selection with the boxes of images in another (width, height), such as that before they were stored."""
    return replace(
        selection,
        images=tuple(image.resized(*sizes[image.name]) if image.name in sizes else image for image in selection.images),
    )
