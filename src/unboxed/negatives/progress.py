"""A progress bar for the long steps of making negatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["track"]

T = TypeVar("T")


def track(items: Iterable[T], label: str, total: int, progress: bool) -> Iterator[T]:
    """Go through `items`; with `progress`, a bar on standard error shows how many of `total` and the time left."""
    if not progress:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, label, total, console=Console(stderr=True))
