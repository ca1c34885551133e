"""Batches made ahead of time by threads of their own, taken in order, and how long the taker had to wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from unboxed.types import Batch

__all__ = ["Prefetcher"]

_THREADS = 2
_READY = 4


class Prefetcher:
    """An iterator over batches; the first ones are begun when it is made, the next while one is in use.

    What a batch holds does not depend on the threads: each is made from its own number alone.

    Attributes:
        waited: seconds that were spent waiting for a batch so far.
    """

    def __init__(self, make: Callable[[int], Batch], numbers: Iterable[int]) -> None:
        self.waited = 0.0
        self._make = make
        self._numbers = iter(numbers)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="feed")
        self._begun: deque[Future[Batch]] = deque()
        for _ in range(_READY):
            self._begin_next()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Batch:
        if not self._begun:
            self.close()
            raise StopIteration
        self._begin_next()
        started = time.perf_counter()
        batch = self._begun.popleft().result()
        self.waited += time.perf_counter() - started
        return batch

    def close(self) -> None:
        """Make no more of them."""
        self._pool.shutdown(cancel_futures=True)

    def _begin_next(self) -> None:
        number = next(self._numbers, None)
        if number is not None:
            self._begun.append(self._pool.submit(self._make, number))
