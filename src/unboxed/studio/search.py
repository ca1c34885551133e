"""An index of images, asked from the page; news come while it works, as one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from unboxed.data.images import image_size
from unboxed.errors import ImageError, UnboxedError
from unboxed.inference.results import GroundedPhrase
from unboxed.studio.image_store import ImageLibrary
from unboxed.studio.schemas import ImageAnswer, PhraseAnswer, box_rows

__all__ = ["Hit", "SearchAnswer", "SearchHit", "SearchIndex", "as_lines", "search"]

_NEWS_SECONDS = 0.25


class Hit(Protocol):
    """An image that was found."""

    @property
    def image(self) -> Path:
        """Its file."""

    @property
    def score(self) -> float:
        """Higher is better, any sign."""

    @property
    def phrases(self) -> Sequence[GroundedPhrase]:
        """The query's phrases with the boxes that matched."""


class SearchIndex(Protocol):
    """What can be searched."""

    def __len__(self) -> int:
        """Images in it."""

    def search(self, text: str, k: int) -> Sequence[Hit]:
        """The k images that fit the text best, best first."""


class SearchHit(BaseModel):
    """An image that was found, with the boxes that matched the query's phrases."""

    photo: ImageAnswer
    score: float
    phrases: list[PhraseAnswer]


class SearchAnswer(BaseModel):
    """A line of the answer to a search; the last one has the hits or an error."""

    searched: int
    seconds: float
    hits: list[SearchHit] | None = None
    error: str | None = None


def search(index: SearchIndex, shelf: ImageLibrary, text: str, k: int) -> list[SearchHit]:
    """The best images that are still there.

    Raises:
        CaptionError: no words.
    """
    hits = []
    for hit in index.search(text, k):
        path = Path(hit.image)
        try:
            width, height = image_size(path)
        except ImageError:  # moved since it was indexed
            continue
        photo = shelf.add(path, path.name)
        hits.append(
            SearchHit(
                photo=ImageAnswer(
                    id=photo.photo_id, name=photo.name, width=width, height=height, shape=(width, height)
                ),
                score=round(float(hit.score), 5),
                phrases=[_phrase(phrase) for phrase in hit.phrases],
            )
        )
    return hits


def _phrase(phrase: GroundedPhrase) -> PhraseAnswer:
    shown = slice(0, 1 if phrase.present else 0)
    return PhraseAnswer(
        text=phrase.text,
        start=phrase.start,
        end=phrase.end,
        boxes=box_rows(phrase.boxes[shown]),
        scores=[round(float(score), 5) for score in phrase.scores[shown]],
        present=phrase.present,
        confidence=phrase.confidence,
    )


async def as_lines(future: Future[list[SearchHit]], searched: int, seconds: float) -> AsyncIterator[bytes]:
    """What becomes of a search: a line every quarter of a second, and one with the outcome."""
    begun = time.monotonic()
    waiting = asyncio.wrap_future(future)
    while True:
        done, _ = await asyncio.wait([waiting], timeout=_NEWS_SECONDS)
        taken = round(time.monotonic() - begun, 3)
        news: dict[str, Any] = {"searched": searched, "seconds": taken}
        if done:
            yield _line(news | _outcome(waiting))
            return
        if taken > seconds:
            waiting.cancel()
            yield _line(news | {"error": f"The search took longer than {seconds:g} seconds; ask for fewer results."})
            return
        yield _line(news)


def _outcome(done: asyncio.Future[list[SearchHit]]) -> dict[str, Any]:
    try:
        return {"hits": [hit.model_dump() for hit in done.result()]}
    except UnboxedError as error:
        return {"error": str(error)}
    except Exception:
        return {"error": "The search failed; the service's own log says more."}


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
