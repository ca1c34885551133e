"""Data-parallel work on the CPU: each thread processes whole items, and its PyTorch operations use one core.

By default PyTorch splits every operation over all cores and waits for the slowest. For many independent items of many
small operations, one core per item is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from threading import Barrier, Condition, Lock, Thread
from typing import Generic, TypeVar

import torch

__all__ = ["run_on_cores"]

T = TypeVar("T")


def run_on_cores(work: Callable[[T], None], items: Iterable[T], workers: int) -> None:
    """Call `work` with every item, on `workers` threads whose operations take one core each, without gradients.

    Args:
        work: its result must not depend on the order of the items.
        items: each is taken by the next thread that is free.
        workers: number of threads; 1 does everything in the calling thread.

    Raises:
        Exception: the first one that `work` raises, after all threads have ended.
    """
    if workers == 1:
        for item in items:
            work(item)
    else:
        _CorePool(work, items, workers).run()


class _CorePool(Generic[T]):
    """The threads of one call of `run_on_cores`, and what they share."""

    def __init__(self, work: Callable[[T], None], items: Iterable[T], workers: int) -> None:
        self._work, self._workers = work, workers
        self._waiting, self._lock, self._ready = iter(items), Lock(), Barrier(workers + 1)
        self._errors: list[BaseException] = []
        self._ended, self._one_ended = 0, Condition()
        self._inference_mode = torch.is_inference_mode_enabled()

    def run(self) -> None:
        threads_before = torch.get_num_threads()
        for number in range(self._workers):
            Thread(target=self._thread, name=f"core-{number}", daemon=True).start()
        try:
            self._ready.wait()
        finally:
            # Each thread has set PyTorch's number of threads to 1, for itself and for threads that start later.
            torch.set_num_threads(threads_before)
        try:
            self._wait()
        except BaseException as interruption:
            self._errors.append(interruption)
            self._wait()
            raise
        if self._errors:
            raise self._errors[0]

    def _wait(self) -> None:
        # Thread.join would not do: in Python up to 3.12, a join that a signal interrupts marks the thread as ended.
        with self._one_ended:
            self._one_ended.wait_for(lambda: self._ended == self._workers)

    def _thread(self) -> None:
        torch.get_num_threads()  # without this call, the first operation of the thread would reset the number
        torch.set_num_threads(1)
        try:
            self._ready.wait()
            with torch.inference_mode() if self._inference_mode else torch.no_grad():
                while item := self._next():
                    self._work(item[0])
        except BaseException as error:
            self._errors.append(error)
        finally:
            with self._one_ended:
                self._ended += 1
                self._one_ended.notify()

    def _next(self) -> list[T]:
        """The next item in a list; an empty list when there is none, or when a thread has failed."""
        with self._lock:
            return [] if self._errors else list(islice(self._waiting, 1))
