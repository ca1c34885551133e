"""Work on many things at once, and take the results in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ordered_map"]

T = TypeVar("T")
U = TypeVar("U")


def ordered_map(work: Callable[[T], U], items: Iterable[T], workers: int) -> Iterator[U]:
    """The results of `work`, in the order of `items`, at most four a worker ahead so that memory stays small."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="in-order")
    waiting: deque[Future[U]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
