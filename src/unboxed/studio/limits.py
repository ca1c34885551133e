"""What the service accepts and how much it does at once: sizes, time, and a bounded queue before the work."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["BusyError", "Gate", "Limits", "Recent", "TooSlowError"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and all of them together.

    Attributes:
        megabytes: of an uploaded image.
        megapixels: of an image, read from its header before a pixel is decoded.
        caption: characters of a caption or a query.
        workers: requests worked on at a time; the processor's cores by default.
        waiting: requests that wait for a worker; one more is answered with 429.
        seconds: a request for a grounding may take, waiting included.
        search_seconds: a search or a page of a dataset may take.
        page_seconds: after which a page of a dataset is sent as far as it is; the rest is asked for again.
        upload_seconds: the body of a request may take to arrive.
        remembered: images whose regions are kept, the latest used.
    """

    megabytes: float = 20
    megapixels: float = 40
    caption: int = 500
    workers: int = field(default_factory=_cores)
    waiting: int = 48
    seconds: float = 30
    search_seconds: float = 120
    page_seconds: float = 2
    upload_seconds: float = 60
    remembered: int = 64

    @property
    def bytes(self) -> int:
        """Of an uploaded image."""
        return int(self.megabytes * 1e6)

    @property
    def pixels(self) -> int:
        """Of an image."""
        return int(self.megapixels * 1e6)


class BusyError(Exception):
    """The queue is full; `retry_after` is a guess at the seconds until it is not."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class TooSlowError(Exception):
    """The work took longer than it may."""


class Gate:
    """Threads for work that takes the processor, with a bounded queue before them.

    Work that has begun cannot be stopped: when its request has given up, it still counts until it ends.

    Args:
        workers: pieces of work at a time.
        waiting: pieces that may wait beside them.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._workers, self._most = max(1, workers), max(1, workers) + waiting
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="studio")
        self._lock = Lock()
        self._inside = 0
        self._usual_seconds = 0.3

    def enter(self, work: Callable[[], T]) -> Future[T]:
        """Queue a piece of work.

        Raises:
            BusyError: as many wait already as may.
        """
        with self._lock:
            if self._inside >= self._most:
                raise BusyError(max(1, math.ceil(self._inside * self._usual_seconds / self._workers)))
            self._inside += 1
        future = self._pool.submit(self._timed, work)
        future.add_done_callback(self._leave)
        return future

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """The result of a piece of work.

        Raises:
            BusyError: as many wait already as may.
            TooSlowError: no result within `seconds`, waiting included.
        """
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.enter(work)), seconds)
        except TimeoutError:
            raise TooSlowError from None

    def close(self) -> None:
        """Take no more work, and drop what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return work()
        finally:
            self._usual_seconds += 0.2 * (time.perf_counter() - start - self._usual_seconds)

    def _leave(self, _: object) -> None:
        with self._lock:
            self._inside -= 1


class Recent(Generic[K, T]):
    """The values used last, at most `most` of them; safe from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> T | None:
        """The value, which is now the latest used; None when it is not, or no longer, there."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: K, value: T) -> None:
        """Keep a value; the one used longest ago goes when there are too many."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)
