"""What the service says, as the OpenAPI description has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from unboxed.inference.results import Grounding
from unboxed.studio.grounding_cache import Seen
from unboxed.types import Array

__all__ = [
    "Box",
    "BrowsePage",
    "BrowsedCaption",
    "BrowsedPhrase",
    "DataFacts",
    "Facts",
    "GroundAnswer",
    "ImageAnswer",
    "ImageList",
    "ImageListed",
    "LimitFacts",
    "PhraseAnswer",
    "RunFacts",
    "TokenGiven",
    "box_rows",
    "ground_answer",
    "image_answer",
    "phrase_answers",
]

Box = tuple[float, float, float, float]


class ImageAnswer(BaseModel):
    """An image: its size in pixels, which boxes count in, and the shape to show it in."""

    id: str
    name: str
    width: int
    height: int
    shape: tuple[int, int]


class PhraseAnswer(BaseModel):
    """A phrase with its boxes, best first, in pixels of the upright image."""

    text: str
    start: int = Field(description="First character in the caption.")
    end: int = Field(description="Character after the last one.")
    boxes: list[Box]
    scores: list[float]
    present: Annotated[bool, Field(description="Is it there, as likely as not? True where nobody knows.")] = True
    confidence: Annotated[float | None, Field(description="That it is there, 0 to 1.")] = None


class GroundAnswer(BaseModel):
    """A grounded caption, and what each word attends to."""

    photo: ImageAnswer
    caption: str
    phrases: list[PhraseAnswer]
    words: list[tuple[int, int]] = Field(description="Character span of each word.")
    regions: list[Box] = Field(description="The candidate regions.")
    attention: list[list[float]] = Field(description="One row a word, one weight a region.")
    seconds: float = Field(description="What the answer took, without waiting.")


class ImageListed(BaseModel):
    """An image that can be picked."""

    id: str
    name: str


class ImageList(BaseModel):
    """Some of the images of the folder, by name."""

    photos: list[ImageListed]
    total: int


class BrowsedPhrase(PhraseAnswer):
    """A phrase of a dataset's caption with its gold boxes, and what became of it."""

    types: list[str]
    gold: list[Box]
    outcome: str | None = Field(description="`ok`, or the kind of failure; null for a phrase without a gold box.")


class BrowsedCaption(BaseModel):
    """A caption of a dataset, grounded."""

    photo: ImageAnswer
    caption: str
    phrases: list[BrowsedPhrase]


class BrowsePage(BaseModel):
    """Captions that pass the filters, from a place in the dataset on."""

    items: list[BrowsedCaption]
    next: int | None = Field(description="Where to go on; null at the end.")
    looked_at: int = Field(description="Captions looked at for this page.")
    total: int = Field(description="Captions of the split.")


class RunFacts(BaseModel):
    """The run that answers."""

    name: str
    recipe: str
    trained_on: str


class LimitFacts(BaseModel):
    """What may be sent."""

    bytes: int
    pixels: int
    caption: int


class DataFacts(BaseModel):
    """The dataset that can be browsed."""

    name: str
    split: str
    photos: int
    captions: int
    types: list[str]
    outcomes: list[str]
    has_gold: bool


class Facts(BaseModel):
    """What this studio has."""

    version: str
    run: RunFacts
    limits: LimitFacts
    photos: int | None = Field(description="Images that can be picked; null without a folder.")
    index: int | None = Field(description="Images that can be searched; null without an index.")
    data: DataFacts | None = None
    formats: dict[str, str] = Field(description="What boxes can be downloaded as: name to label.")
    palette: list[tuple[str, str]] = Field(description="Colour of each phrase, and of writing on it.")
    heat: list[tuple[int, int, int]] = Field(description="Colours of heat, from none to most.")


class TokenGiven(BaseModel):
    """The studio's token."""

    token: str = Field(max_length=1000)


def box_rows(boxes: Array) -> list[Box]:
    """Boxes `[N, 4]` as rows of rounded numbers."""
    return [(row[0], row[1], row[2], row[3]) for row in np.round(boxes.astype(np.float64), 1).tolist()]


def image_answer(seen: Seen) -> ImageAnswer:
    """An image that was looked at."""
    regions = seen.regions
    return ImageAnswer(id=seen.photo_id, name=seen.name, width=regions.width, height=regions.height, shape=seen.shape)


def phrase_answers(grounding: Grounding, top: int) -> list[PhraseAnswer]:
    """The phrases with at most `top` boxes each."""
    return [
        PhraseAnswer(
            text=phrase.text,
            start=phrase.start,
            end=phrase.end,
            boxes=box_rows(phrase.boxes[:top]),
            scores=_rounded(phrase.scores[:top]),
            present=phrase.present,
            confidence=None if phrase.confidence is None else round(phrase.confidence, 4),
        )
        for phrase in grounding.phrases
    ]


def ground_answer(seen: Seen, grounding: Grounding, top: int, seconds: float) -> GroundAnswer:
    """All that the page shows of a grounding."""
    return GroundAnswer(
        photo=image_answer(seen),
        caption=grounding.caption,
        phrases=phrase_answers(grounding, top),
        words=list(grounding.words),
        regions=box_rows(grounding.regions.boxes),
        attention=[_rounded(row) for row in grounding.attention_WR],
        seconds=round(seconds, 4),
    )


def _rounded(values: Array | Sequence[float]) -> list[float]:
    return [float(value) for value in np.round(np.asarray(values, dtype=np.float64), 5).tolist()]
