"""Search in an index. While it runs, the response gets one JSON object a line with its progress."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from unboxed.data.images import image_size
from unboxed.errors import CaptionError, ImageError
from unboxed.inference.results import GroundedPhrase
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.schemas import ImageInfo, SearchHit, phrase_boxes

__all__ = ["Hit", "SearchIndex", "progress_lines", "search"]

_PROGRESS_SECONDS = 0.25
_log = logging.getLogger("unboxed.studio")


class Hit(Protocol):
    """An image that was found."""

    @property
    def image(self) -> Path:
        """The image file."""

    @property
    def score(self) -> float:
        """Score of any sign; higher is better."""

    @property
    def phrases(self) -> Sequence[GroundedPhrase]:
        """The phrases of the query with the boxes that match them."""


class SearchIndex(Protocol):
    """An index of images, such as `unboxed.search.Index`."""

    def __len__(self) -> int:
        """Number of images in the index."""

    def search(self, text: str, k: int) -> Sequence[Hit]:
        """The k images that match a text best, best first."""


def search(index: SearchIndex, library: ImageLibrary, text: str, k: int) -> list[SearchHit]:
    """The k images that match a text best, without those whose file is gone. Each is added to the library.

    Raises:
        CaptionError: the text has no words.
    """
    hits = []
    for hit in index.search(text, k):
        path = Path(hit.image)
        try:
            width, height = image_size(path)
        except ImageError:  # moved since it was indexed
            continue
        entry = library.add(path, path.name)
        info = ImageInfo(id=entry.image_id, name=entry.name, width=width, height=height, shape=(width, height))
        phrases = [phrase_boxes(phrase, 1 if phrase.present else 0) for phrase in hit.phrases]
        hits.append(SearchHit(photo=info, score=round(float(hit.score), 5), phrases=phrases))
    return hits


async def progress_lines(future: Future[list[SearchHit]], searched: int, seconds: float) -> AsyncIterator[bytes]:
    """Lines of JSON about a running search: one every quarter of a second, and the last with the hits or an error.

    Args:
        future: the search.
        searched: number of images in the index.
        seconds: time limit, after which the last line is an error.
    """
    began = time.monotonic()
    running = asyncio.wrap_future(future)
    while True:
        done, _ = await asyncio.wait([running], timeout=_PROGRESS_SECONDS)
        elapsed = round(time.monotonic() - began, 3)
        progress: dict[str, Any] = {"searched": searched, "seconds": elapsed}
        if done:
            yield _line(progress | _outcome(running))
            return
        if elapsed > seconds:
            running.cancel()
            message = f"The search took longer than {seconds:g} seconds; ask for fewer results."
            yield _line(progress | {"error": message})
            return
        yield _line(progress)


def _outcome(done: asyncio.Future[list[SearchHit]]) -> dict[str, Any]:
    try:
        return {"hits": [hit.model_dump() for hit in done.result()]}
    except CaptionError as error:  # about the text of the request
        return {"error": str(error)}
    except Exception:  # also of this package: many errors name files of this machine
        _log.exception("A search failed")
        return {"error": "The search failed; the log of the studio has the details."}


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
