"""The JSON of the service's requests and responses, and its OpenAPI description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field

from unboxed.export.corrections import Action
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.studio.grounding_cache import ExtractedImage
from unboxed.types import Array

__all__ = [
    "Box",
    "BrowsePage",
    "BrowsedCaption",
    "BrowsedPhrase",
    "DatasetInfo",
    "GroundResponse",
    "ImageEntry",
    "ImageInfo",
    "ImageList",
    "LabelBox",
    "LabelChange",
    "LabelEntry",
    "LabelImage",
    "LabelList",
    "LimitsInfo",
    "PhraseBoxes",
    "RunInfo",
    "SearchHit",
    "SearchProgress",
    "StudioInfo",
    "TokenRequest",
    "box_rows",
    "ground_response",
    "image_info",
    "phrase_boxes",
]

Box = tuple[float, float, float, float]


class ImageInfo(BaseModel):
    """An image: its width and height in pixels, in which boxes are given, and the shape to show it in."""

    id: str
    name: str
    width: int
    height: int
    shape: tuple[int, int]


class PhraseBoxes(BaseModel):
    """A phrase with its boxes, best first, in pixels of the upright image."""

    text: str
    start: int = Field(description="Index of its first character in the caption.")
    end: int = Field(description="Index after its last character.")
    boxes: list[Box]
    scores: list[float]
    set_ranks: Annotated[
        list[int],
        Field(description="Which of the boxes the phrase refers to: the best one, or several for “two people”."),
    ] = [0]
    present: Annotated[
        bool, Field(description="Whether confidence is at least 0.5; true for a run without calibration.")
    ] = True
    confidence: Annotated[
        float | None,
        Field(description="Calibrated probability that the phrase is present; null for a run without calibration."),
    ] = None
    unknown: Annotated[
        list[str], Field(description="Words that neither the vocabulary nor the prior knows, if the phrase is a guess.")
    ] = []


class GroundResponse(BaseModel):
    """A grounded caption with the attention weights of its words."""

    photo: ImageInfo
    caption: str
    phrases: list[PhraseBoxes]
    words: list[tuple[int, int]] = Field(description="Character span of each word.")
    regions: list[Box] = Field(description="Boxes of the image's regions.")
    attention: list[list[float]] = Field(description="Attention weights: one row for each word, one column a region.")
    seconds: float = Field(description="Duration of the work, without the time spent waiting.")


class ImageEntry(BaseModel):
    """An image of the folder."""

    id: str
    name: str


class ImageList(BaseModel):
    """A part of the folder's images, sorted by name."""

    photos: list[ImageEntry]
    total: int


class BrowsedPhrase(PhraseBoxes):
    """A phrase of a dataset's caption with its gold boxes and the outcome of its grounding."""

    types: list[str]
    gold: list[Box]
    outcome: str | None = Field(description="`ok`, or the kind of error; null for a phrase without gold boxes.")


class BrowsedCaption(BaseModel):
    """A grounded caption of a dataset."""

    photo: ImageInfo
    caption: str
    phrases: list[BrowsedPhrase]


class BrowsePage(BaseModel):
    """Captions that pass the filter, from a position in the dataset on."""

    items: list[BrowsedCaption]
    next: int | None = Field(description="Position at which the next page starts; null at the end.")
    looked_at: int = Field(description="Captions examined for this page.")
    total: int = Field(description="Captions of the split.")


class SearchHit(BaseModel):
    """An image that was found, with the boxes that match the phrases of the query."""

    photo: ImageInfo
    score: float
    phrases: list[PhraseBoxes]


class SearchProgress(BaseModel):
    """One line of the response to a search. The last line has the hits or an error."""

    searched: int = Field(description="Images in the index.")
    seconds: float = Field(description="Time since the search began.")
    hits: list[SearchHit] | None = None
    error: str | None = None


class LabelBox(BaseModel):
    """A box of a labelled image, in pixels of the image."""

    number: int
    name: str
    box: Box
    phrase: str
    score: float | None = Field(description="Of the box as it was labelled; null for one that was added.")
    confidence: float | None
    verdict: Literal["", "accepted", "rejected"] = Field(description="A rejected box is not exported.")


class LabelImage(BaseModel):
    """A labelled image with its boxes as they were corrected."""

    photo: ImageInfo
    captions: list[str]
    boxes: list[LabelBox]
    checked: bool
    changes: int = Field(description="Number of its corrections; a change must name it.")


class LabelEntry(BaseModel):
    """A labelled image in the list."""

    id: str
    name: str
    boxes: int
    checked: bool


class LabelList(BaseModel):
    """A part of the labelled images."""

    photos: list[LabelEntry]
    total: int = Field(description="Images of the kind that was wanted.")
    checked: int
    all: int
    names: list[str] = Field(description="Names of boxes, to choose from.")
    precision: str | None = Field(
        description="Share of right boxes among all, with an interval, once 50 images are checked."
    )


class LabelChange(BaseModel):
    """A change of a box, or `undo` of the last one."""

    action: Action | Literal["undo"]
    changes: int = Field(description="`changes` of the image as the sender saw it.")
    box: int | None = None
    edges: Box | None = None
    text: str | None = Field(default=None, max_length=500)


class RunInfo(BaseModel):
    """The run whose model is used."""

    name: str
    recipe: str
    trained_on: str


class LimitsInfo(BaseModel):
    """Limits of an upload and of a caption."""

    bytes: int
    pixels: int
    caption: int


class DatasetInfo(BaseModel):
    """The dataset that can be browsed."""

    name: str
    split: str
    photos: int
    captions: int
    types: list[str]
    outcomes: list[str]
    has_gold: bool


class StudioInfo(BaseModel):
    """The run, the data and the limits of this studio."""

    version: str
    run: RunInfo
    limits: LimitsInfo
    photos: int | None = Field(description="Images of the folder; null without a folder.")
    index: int | None = Field(description="Images of the index; null without an index.")
    labels: int | None = Field(default=None, description="Labelled images to correct; null without labels.")
    data: DatasetInfo | None = None
    formats: dict[str, str] = Field(description="Formats of downloads: name to label.")
    palette: list[tuple[str, str]] = Field(description="Colours of the phrases, each with its text colour.")
    heat: list[tuple[int, int, int]] = Field(description="RGB colours of heat maps, from low to high.")


class TokenRequest(BaseModel):
    """The token of the studio."""

    token: str = Field(max_length=1000)


def box_rows(boxes: Array) -> list[Box]:
    """Boxes `[N, 4]` as rows of numbers with one decimal."""
    return [(row[0], row[1], row[2], row[3]) for row in np.round(boxes.astype(np.float64), 1).tolist()]


def image_info(image: ExtractedImage) -> ImageInfo:
    """The description of an image whose regions are known."""
    regions = image.regions
    return ImageInfo(id=image.image_id, name=image.name, width=regions.width, height=regions.height, shape=image.shape)


def phrase_boxes(phrase: GroundedPhrase, top: int) -> PhraseBoxes:
    """A grounded phrase with its `top` best boxes and those that it refers to; none with `top` 0."""
    kept = phrase.with_set(top) if top else []
    return PhraseBoxes(
        text=phrase.text,
        start=phrase.start,
        end=phrase.end,
        boxes=box_rows(phrase.boxes[kept]),
        scores=_rounded(phrase.scores[kept]),
        set_ranks=[kept.index(rank) for rank in phrase.set_ranks if rank in kept],
        present=phrase.present,
        confidence=None if phrase.confidence is None else round(phrase.confidence, 4),
        unknown=list(phrase.unknown),
    )


def ground_response(image: ExtractedImage, grounding: Grounding, top: int, seconds: float) -> GroundResponse:
    """The response to a grounding request, with the `top` best boxes of each phrase and those that it refers to."""
    return GroundResponse(
        photo=image_info(image),
        caption=grounding.caption,
        phrases=[phrase_boxes(phrase, top) for phrase in grounding.phrases],
        words=list(grounding.words),
        regions=box_rows(grounding.regions.boxes),
        attention=[_rounded(row) for row in grounding.attention_WR],
        seconds=round(seconds, 4),
    )


def _rounded(values: Array | Sequence[float]) -> list[float]:
    return [float(value) for value in np.round(np.asarray(values, dtype=np.float64), 5).tolist()]
