"""The formats of box annotations, and the options of labelling a dataset. Loads neither PyTorch nor NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unboxed.errors import ExportError
from unboxed.export import coco, csv, huggingface, label_studio, yolo
from unboxed.export.label_format import LabelFormat
from unboxed.runtime.counts import require_count, require_workers
from unboxed.runtime.paths import accept_strings

__all__ = ["FORMATS", "LabelOptions", "SelectionOptions", "format_of"]

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

_UNCALIBRATED_MIN_SCORE = 0.3
_LISTED_MIN_CONFIDENCE = 0.9
"""Chosen on 80 images of COCO and 59 of its classes; guide “Annotations for other tools”."""


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
    """Which boxes are written as labels, and what they are called.

    Attributes:
        min_score: lowest score of a box among the boxes of its phrase; by default 0 for a calibrated run, else 0.3. The
            scale of scores differs between recipes.
        min_confidence: lowest calibrated probability that a phrase is in the image; other phrases get no box. By
            default 0.5, and 0.9 for phrases that were listed: the probability is that of a phrase of a caption, half of
            which are right, and most images show nothing of a list. The review page shows what other values keep.
        top: boxes for each phrase, at most.
        plurals: a phrase that names several things, such as "two people", gets a box for each that is found.
        names: the class name of a box: the head noun of its phrase in the noun's most frequent form, the type of the
            phrase where the captions have types, or the whole phrase. Under nouns, pronouns, numbers and words such as
            “background” name nothing, and their boxes are left out.
        synonyms: under nouns, synonyms such as “plane” and “jet” have one name, the most frequent one.
        classes: text file with the only names that boxes may have, a class a line, such as `airplane: plane, jet`;
            phrases are mapped to them by head noun, synonyms and kinds of things, and other phrases get no box. The
            classes keep their order. `names` is not used then.
        merge: boxes of the same name in an image with a higher IoU are merged; 1 keeps all.
        min_boxes: leave out names with fewer boxes.

    Raises:
        ExportError: a value out of range.
    """

    min_score: float | None = None
    min_confidence: float | None = None
    top: int = 1
    plurals: bool = True
    names: Literal["nouns", "types", "phrases"] = "nouns"
    synonyms: bool = True
    classes: Path | None = None
    merge: float = 0.6
    min_boxes: int = 1

    def __post_init__(self) -> None:
        accept_strings(self)
        require_count("top", self.top, error=ExportError)
        require_count("min_boxes", self.min_boxes, error=ExportError)
        if math.isnan(self.lowest_score):
            raise ExportError(f"min_score is {self.min_score}; expected a number, 0 for all of a calibrated run.")
        if not 0 <= self.lowest_confidence <= 1:
            raise ExportError(f"min_confidence is {self.min_confidence}; expected a probability in 0..1, 0 for all.")
        if not 0 <= self.merge <= 1:
            raise ExportError(f"merge is {self.merge}; expected an overlap (IoU) in 0..1, 1 to keep every box.")

    @property
    def lowest_score(self) -> float:
        """`min_score`, or 0 where it is None."""
        return self.min_score or 0.0

    @property
    def lowest_confidence(self) -> float:
        """`min_confidence`, or 0.5 where it is None."""
        return 0.5 if self.min_confidence is None else self.min_confidence

    def adapted(self, form: LabelFormat, calibrated: bool, listed: bool = False) -> SelectionOptions:
        """The options for a format and a run.

        Args:
            form: it may determine names and merging.
            calibrated: whether the run has calibrated probabilities; it decides the default of `min_score`.
            listed: whether the phrases were listed by the user; boxes are then called as the phrases are, and the
                default of `min_confidence` is higher.

        With `classes`, boxes are called as the classes are in every format.
        """
        default = 0.0 if calibrated else _UNCALIBRATED_MIN_SCORE
        options = replace(self, min_score=default if self.min_score is None else self.min_score)
        if listed and options.min_confidence is None:
            options = replace(options, min_confidence=_LISTED_MIN_CONFIDENCE)
        if options.classes is not None:
            return options
        if listed and options.names == "nouns":
            options = replace(options, names="phrases")
        return replace(options, names="phrases", merge=1.0) if form.labels_are_phrases else options


@dataclass(frozen=True)
class LabelOptions:
    """How a dataset is labelled, and in which format.

    Attributes:
        format: coco (a dataset to train on), coco-results, label-studio (predictions to correct), yolo, csv, or hf
            (JSON lines for `datasets.load_dataset`, with the boxes as the zero-shot detection pipeline of transformers
            gives them).
        find: phrases to find in every image, separated by commas, such as "laptop, red car, person with hat", instead
            of those of captions; the images then need none. Boxes are called as the phrases are.
        split: label only the images of this split; by default all images.
        regions: store with regions of the images; by default they are extracted with the settings of the run.
        workers: threads that extract regions, or workers of Ray; by default one for each core.
        engine: threads of this process (`local`), or workers of Ray find the regions (the extra `ray`).
        ray_address: of a running Ray cluster, `auto` or HOST:PORT; by default a local Ray is started.
        strict: stop at the first image that cannot be read instead of skipping it.
        image_files: the images of a yolo folder are relative links, or copies: take copies to move or upload the folder
            without the images.
        label_studio_prefix: precedes an image's name in its address in Label Studio; by default local storage of which
            the folder of images is the root. `s3://bucket/folder/` and `https://host/folder/` name other storage.
        part: K/N: ground only the images of part K of N, into NAME.groundings.jsonl beside the output. `unboxed merge`
            makes one such file of all parts, and the same call without a part writes the labels from it.
        resume_corrections: write images that were corrected, in the studio or on the review page, as they were
            corrected, and label the others anew. Their corrections are in NAME.corrections.jsonl beside the output,
            which stays as it is; `--no-resume-corrections` writes all images as they are labelled now.
        wait: wait while another process writes these labels, instead of ending with an error.

    Raises:
        ExportError: a number of workers out of range, or Ray beside a store.
    """

    format: FormatKey = "coco"
    find: str | None = None
    split: str | None = None
    regions: Path | None = None
    workers: int | None = None
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    strict: bool = False
    image_files: Literal["links", "copies"] = "links"
    label_studio_prefix: str = label_studio.LOCAL_STORAGE
    part: str | None = None
    resume_corrections: bool = True
    wait: bool = False

    def __post_init__(self) -> None:
        accept_strings(self)
        require_workers(self.workers, ExportError)
        if self.engine == "ray" and self.regions is not None:
            raise ExportError("--engine ray finds regions, and --regions has them already; leave out one of the two.")
