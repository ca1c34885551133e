"""A search responds with lines of progress and, in the last line, with hits or an error."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import unboxed.studio.search
from unboxed.errors import CaptionError, SearchError
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.options import Limits
from unboxed.studio.search import SearchHit, progress_lines, search

from .conftest import SmallIndex


def _lines(future: Future[list[SearchHit]], seconds: float = 60) -> list[dict[str, Any]]:
    async def collect() -> list[dict[str, Any]]:
        return [json.loads(line) async for line in progress_lines(future, 40, seconds)]

    return asyncio.run(collect())


def test_hits_are_in_the_order_of_the_index_without_images_that_are_gone(images: Path, tmp_path: Path) -> None:
    library = ImageLibrary(Limits())
    index = SmallIndex([images / "0.png", tmp_path / "gone.png", images / "1.png", images / "2.png"])
    hits = search(index, library, "a box", 3)
    assert [hit.photo.name for hit in hits] == ["0.png", "1.png"]
    assert [hit.score for hit in hits] == [1, round(1 / 3, 5)]
    for hit in hits:
        entry = library.get(hit.photo.id)
        assert entry is not None and entry.path == images / hit.photo.name
        assert (hit.photo.width, hit.photo.height, hit.photo.shape) == (96, 64, (96, 64))
        assert [(phrase.text, phrase.boxes) for phrase in hit.phrases] == [("a box", [(8, 16, 40, 48)])]


def test_progress_comes_before_the_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unboxed.studio.search, "_PROGRESS_SECONDS", 0.01)
    future: Future[list[SearchHit]] = Future()

    async def collect() -> list[dict[str, Any]]:
        lines = []
        async for line in progress_lines(future, 40, 60):
            lines.append(json.loads(line))
            if len(lines) == 2:
                future.set_result([])
        return lines

    *progress, last = asyncio.run(collect())
    assert len(progress) >= 2
    assert all(set(line) == {"searched", "seconds"} and line["searched"] == 40 for line in progress)
    assert last["hits"] == []


def test_a_search_that_takes_too_long_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unboxed.studio.search, "_PROGRESS_SECONDS", 0.01)
    future: Future[list[SearchHit]] = Future()
    lines = _lines(future, seconds=0)
    assert lines[-1]["error"] == "The search took longer than 0 seconds; ask for fewer results."
    assert future.cancelled()


def test_an_error_about_the_text_is_reported() -> None:
    future: Future[list[SearchHit]] = Future()
    future.set_exception(CaptionError("The text has no words."))
    assert [line["error"] for line in _lines(future)] == ["The text has no words."]


@pytest.mark.parametrize("kind", [SearchError, ValueError])
def test_other_errors_are_in_the_log_alone(kind: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    future: Future[list[SearchHit]] = Future()
    future.set_exception(kind("/secret/index is damaged"))
    (line,) = _lines(future)
    assert line["error"] == "The search failed; the log of the studio has the details."
    assert "/secret/index is damaged" in caplog.text
