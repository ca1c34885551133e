"""Work on a core of its own: every item once, one thread an operation, settings and errors as without."""

from __future__ import annotations

from threading import Lock, current_thread

import pytest
import torch

from unboxed.alignment.each_core import on_each_core


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
        on_each_core(work, iter(range(100)), workers)
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
        on_each_core(work, range(10_000), 2)
    assert len(seen) < 10_000
