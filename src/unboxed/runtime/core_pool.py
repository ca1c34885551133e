"""Pieces of work on the CPU's cores, each piece on one core from its beginning to its end.

PyTorch shares every single operation among the cores and waits for the last of them each time. Where there are many
independent pieces of many small operations, it is quicker to give each core pieces of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from threading import Barrier, Condition, Lock, Thread
from typing import TypeVar

import torch

__all__ = ["run_on_cores"]

T = TypeVar("T")


def run_on_cores(work: Callable[[T], None], items: Iterable[T], workers: int) -> None:
    """Call `work` with every item, on `workers` threads whose operations take one core each, without gradients.

    Args:
        work: what it writes must not depend on the order of the items.
        items: taken one by one, by whichever thread is free.
        workers: 1 does everything in this thread.

    Raises:
        Exception: the first one of `work`, after all threads have ended.
    """
    if workers == 1:
        for item in items:
            work(item)
        return
    waiting, lock, ready = iter(items), Lock(), Barrier(workers + 1)
    failed: list[BaseException] = []
    ended: list[bool] = []
    one_more = Condition()
    inference, threads_before = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def take() -> list[T]:
        with lock:
            return [] if failed else list(islice(waiting, 1))

    def run() -> None:
        torch.get_num_threads()  # a thread's first operation would set the number anew, were it not asked for before
        torch.set_num_threads(1)
        try:
            ready.wait()
            with torch.inference_mode() if inference else torch.no_grad():
                while item := take():
                    work(item[0])
        except BaseException as error:
            failed.append(error)
        finally:
            with one_more:
                ended.append(True)
                one_more.notify()

    def wait() -> None:
        # Not by joining the threads: Python up to 3.12 takes them for ended once a signal has interrupted that.
        with one_more:
            one_more.wait_for(lambda: len(ended) == workers)

    threads = [Thread(target=run, name=f"core-{number}", daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    try:
        ready.wait()
    finally:
        torch.set_num_threads(threads_before)  # for threads that others start meanwhile: the number is theirs, too
    try:
        wait()
    except BaseException as interruption:
        failed.append(interruption)
        wait()
        raise
    if failed:
        raise failed[0]
