"""The formats of box annotations, and the options of labelling a dataset. Loads neither PyTorch nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unboxed.errors import ExportError
from unboxed.export import coco, csv, huggingface, label_studio, yolo
from unboxed.export.label_format import LabelFormat

__all__ = ["FORMATS", "LabelOptions", "Names", "SelectionOptions", "format_of"]

FORMATS: tuple[LabelFormat, ...] = (
    coco.DATASET,
    coco.RESULTS,
    label_studio.FORMAT,
    yolo.FORMAT,
    csv.FORMAT,
    huggingface.FORMAT,
)
"""Every format that `unboxed label` writes."""

if TYPE_CHECKING:
    FormatKey = str
else:
    FormatKey = Literal[tuple(form.key for form in FORMATS)]

Names = Literal["nouns", "types", "phrases"]

_UNCALIBRATED_MIN_SCORE = 0.3


def format_of(key: str) -> LabelFormat:
    """The format of this name.

    Raises:
        ExportError: there is none.
    """
    for form in FORMATS:
        if form.key == key:
            return form
    raise ExportError(f"There is no format {key!r}; there are {', '.join(form.key for form in FORMATS)}.")


@dataclass(frozen=True)
class SelectionOptions:
    """Which boxes are selected, and what they are called.

    Attributes:
        min_score: boxes with a lower score are left out. A score ranks the boxes of one phrase; its scale differs
            between recipes.
        min_confidence: phrases with a lower calibrated probability of being in the image are left out; in [0, 1].
            Without effect for a model that was not calibrated.
        top: boxes a phrase at most.
        names: `nouns` calls a box by the phrase's head noun, in the noun's most frequent form; `types` by the phrase's
            first Entities type where it has one, else by the noun; `phrases` by the whole phrase in lower case. Under
            `nouns`, pronouns, numbers and words such as “background” name nothing, and their boxes are left out.
        merge: boxes of one name in one image that overlap by a larger IoU are merged into the best of them; 1 keeps
            all. Several captions of an image mention the same objects.
        min_boxes: names with fewer boxes are left out.

    Raises:
        ExportError: a value out of range.
    """

    min_score: float = 0.0
    min_confidence: float = 0.5
    top: int = 1
    names: Names = "nouns"
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
class LabelOptions:
    """The options of `unboxed label`.

    Attributes:
        run: folder of the run.
        out: file to write; for yolo a folder.
        format: coco (a dataset to train on), coco-results, label-studio (predictions to correct), yolo, csv, or hf
            (the output of the zero-shot detection pipeline of transformers).
        min_confidence: lowest calibrated probability that a phrase is in the image; other phrases get no box. The
            review page shows what other values keep.
        min_score: lowest score of a box among the boxes of its phrase; by default 0 for a calibrated run, else 0.3.
        top: boxes for each phrase, at most.
        names: the class name of a box: the head noun of its phrase, the type of the phrase where the captions have
            types, or the whole phrase.
        merge: boxes of the same name in an image with a higher IoU are merged; 1 keeps all.
        min_boxes: leave out names with fewer boxes.
        review: also write an HTML page with all boxes in thumbnails, the least certain first.
        review_images: images on that page, at most.
        split: label only the images of this split; by default all images.
        regions: store with regions of the images; by default they are extracted with the settings of the run.
        workers: threads that extract regions; by default one for each core.
        strict: stop at the first image that cannot be read instead of skipping it.
    """

    run: Path
    out: Path
    format: FormatKey = "coco"
    min_confidence: float = 0.5
    min_score: float | None = None
    top: int = 1
    names: Names = "nouns"
    merge: float = 0.6
    min_boxes: int = 1
    review: Path | None = None
    review_images: int = 300
    split: str | None = None
    regions: Path | None = None
    workers: int | None = None
    strict: bool = False

    def selection(self, calibrated: bool) -> SelectionOptions:
        """Which boxes are written.

        Args:
            calibrated: has the run calibrated probabilities that phrases are present? It decides the default of
                `min_score`.

        Raises:
            ExportError: a value out of range, or an unknown format.
        """
        default = 0.0 if calibrated else _UNCALIBRATED_MIN_SCORE
        whole_phrases = format_of(self.format).labels_are_phrases
        return SelectionOptions(
            min_score=default if self.min_score is None else self.min_score,
            min_confidence=self.min_confidence,
            top=self.top,
            names="phrases" if whole_phrases else self.names,
            merge=1.0 if whole_phrases else self.merge,
            min_boxes=self.min_boxes,
        )
