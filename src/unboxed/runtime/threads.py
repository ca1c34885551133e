"""Threads: the number of cores, and results that threads compute before they are needed, in the order of the items."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Generic, TypeVar

from unboxed.runtime.memory import array_bytes, prefetch_bytes

__all__ = ["Prefetcher", "available_cores", "ordered_map"]

T = TypeVar("T")
U = TypeVar("U")


def available_cores() -> int:
    """Number of cores that this process may use, at least 1; containers and schedulers may allow fewer than exist."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Prefetcher(Generic[T, U]):
    """An iterator over `work(item)` for each item, computed by threads up to `ahead` items in advance.

    The first items are started when the prefetcher is made. An exception of `work` is raised in place of its result.
    From the second result on, fewer are started in advance where as many as the largest one so far would take more than
    an eighth of the memory budget (`runtime.memory`); at least one is.

    Args:
        work: called with each item, from several threads at once.
        items: taken one by one.
        threads: number of threads.
        ahead: maximum number of results that are finished or in progress at a time.

    Attributes:
        waited: seconds that the caller has waited for results so far.
    """

    def __init__(self, work: Callable[[T], U], items: Iterable[T], threads: int = 2, ahead: int = 4) -> None:
        self.waited = 0.0
        self._work = work
        self._items = iter(items)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
        self._begun: deque[Future[U]] = deque()
        self._ahead, self._largest = ahead, 0
        self._begin(min(threads, ahead))

    def __iter__(self) -> Prefetcher[T, U]:
        return self

    def __next__(self) -> U:
        if not self._begun:
            self.close()
            raise StopIteration
        started = time.perf_counter()
        result = self._begun.popleft().result()
        self.waited += time.perf_counter() - started
        self._largest = max(self._largest, array_bytes(result))
        self._begin(max(1, min(self._ahead, prefetch_bytes() // max(1, self._largest))))
        return result

    def close(self) -> None:
        """Start no further item, and wait for those in progress."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, count: int) -> None:
        """Start items until `count` are finished or in progress."""
        for item in islice(self._items, max(0, count - len(self._begun))):
            self._begun.append(self._pool.submit(self._work, item))


def ordered_map(work: Callable[[T], U], items: Iterable[T], workers: int) -> Generator[U, None, None]:
    """The results of `work` for each item, in the order of `items`, from `workers` threads.

    Nothing is started before the first result is requested. At most four results per thread are computed in advance.
    """
    with closing(Prefetcher(work, items, workers, ahead=4 * workers)) as results:
        yield from results
