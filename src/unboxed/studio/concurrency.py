"""A bounded queue of work for threads, and a cache that several threads may use."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["LRUCache", "QueueFullError", "WorkQueue", "WorkTimeoutError"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class QueueFullError(Exception):
    """The queue is full. `retry_after` estimates the seconds until it has room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class WorkTimeoutError(Exception):
    """The work was not finished within its time limit."""


class WorkQueue:
    """Worker threads behind a queue of bounded length.

    Running work cannot be interrupted: after its request has timed out, it occupies its place until it ends.

    Args:
        workers: pieces of work that run at the same time, at least 1.
        waiting: pieces of work that may wait for a worker.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._workers = max(1, workers)
        self._capacity = self._workers + waiting
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="studio")
        self._lock = Lock()
        self._size = 0
        self._mean_seconds = 0.3

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue a piece of work and return its future.

        Raises:
            QueueFullError: all workers are busy and no further work may wait.
        """
        with self._lock:
            if self._size >= self._capacity:
                raise QueueFullError(max(1, math.ceil(self._size * self._mean_seconds / self._workers)))
            self._size += 1
        future = self._pool.submit(self._timed, work)
        future.add_done_callback(self._release)
        return future

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """Queue a piece of work and return its result.

        Raises:
            QueueFullError: all workers are busy and no further work may wait.
            WorkTimeoutError: no result within `seconds`, including the time spent waiting.
        """
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.submit(work)), seconds)
        except TimeoutError:
            raise WorkTimeoutError from None

    def close(self) -> None:
        """Refuse new work and drop the work that waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return work()
        finally:
            self._mean_seconds += 0.2 * (time.perf_counter() - start - self._mean_seconds)

    def _release(self, _: object) -> None:
        with self._lock:
            self._size -= 1


class LRUCache(Generic[K, T]):
    """At most `capacity` values; the least recently used one is dropped first. Several threads may use it."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[K, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> T | None:
        """The value of a key, which becomes the most recently used; None when the cache does not hold it."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: K, value: T) -> None:
        """Store a value as the most recently used one."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)
