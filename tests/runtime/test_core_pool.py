"""Items on cores of their own: each item once, one thread per operation, settings and errors as in a plain loop."""

from __future__ import annotations

import signal
import time
from threading import Lock, current_thread

import pytest
import torch

from unboxed.runtime.core_pool import run_on_cores


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_every_item_is_worked_on_once_without_gradients(workers: int, mode: type) -> None:
    before, lock, seen = torch.get_num_threads(), Lock(), []
    threads, modes = set(), set()

    def work(item: int) -> None:
        with lock:
            seen.append(item)
            threads.add((current_thread().name, torch.get_num_threads()))
            modes.add((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))

    with mode():
        run_on_cores(work, iter(range(100)), workers)
    assert sorted(seen) == list(range(100))
    assert modes == {(False, mode is torch.inference_mode)}
    assert workers == 1 or all(name.startswith("core-") and count == 1 for name, count in threads)
    assert torch.get_num_threads() == before


def test_an_error_ends_the_work_and_is_raised() -> None:
    seen: list[int] = []

    def work(item: int) -> None:
        seen.append(item)
        if item == 5:
            raise LookupError("five")

    with pytest.raises(LookupError, match="five"):
        run_on_cores(work, range(10_000), 2)
    assert len(seen) < 10_000


def test_an_interruption_waits_for_what_is_begun() -> None:
    begun: list[int] = []
    done: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.5 if item == 0 else 0.01)
        done.append(item)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_on_cores(work, range(10_000), 2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    at_the_end = len(begun)
    assert sorted(begun) == sorted(done)
    time.sleep(0.1)
    assert len(begun) == at_the_end < 10_000
