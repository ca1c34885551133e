"""The work queue refuses what exceeds its capacity; the cache drops the least recently used value."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.studio.concurrency import LRUCache, QueueFullError, WorkQueue, WorkTimeoutError


@given(
    capacity=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 9)), max_size=40),
)
def test_the_cache_equals_a_list_in_order_of_use(capacity: int, steps: list[tuple[str, int | None]]) -> None:
    cache: LRUCache[str, int] = LRUCache(capacity)
    plain: list[tuple[str, int]] = []  # the most recently used pair is last
    for key, value in steps:
        known = dict(plain).get(key)
        if value is None:
            assert cache.get(key) == known
            value = known
        else:
            cache.put(key, value)
        if value is not None:
            plain = [pair for pair in plain if pair[0] != key] + [(key, value)]
            plain = plain[-capacity:]
        assert len(cache) == len(plain)
    assert {key: cache.get(key) for key in "abcdef"} == {key: dict(plain).get(key) for key in "abcdef"}


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    """A queue with one worker and one place to wait."""
    queue = WorkQueue(workers=1, waiting=1)
    yield queue
    queue.close()


def test_work_beyond_the_capacity_is_refused_until_a_place_is_free(queue: WorkQueue) -> None:
    release = threading.Event()
    running, waiting = queue.submit(lambda: release.wait(20)), queue.submit(lambda: "second")
    with pytest.raises(QueueFullError) as refused:
        queue.submit(lambda: None)
    assert refused.value.retry_after >= 1
    release.set()
    assert (running.result(20), waiting.result(20)) == (True, "second")
    assert queue.submit(lambda: "third").result(20) == "third"


def test_the_time_to_wait_grows_with_the_duration_of_the_work(queue: WorkQueue) -> None:
    queue._mean_seconds = 40  # as after long work
    release = threading.Event()
    for _ in range(2):
        queue.submit(lambda: release.wait(20))
    with pytest.raises(QueueFullError) as refused:
        queue.submit(lambda: None)
    release.set()
    assert refused.value.retry_after == 80  # two pieces of work, one worker


def test_work_that_takes_too_long_times_out_and_its_errors_are_raised(queue: WorkQueue) -> None:
    release = threading.Event()
    with pytest.raises(WorkTimeoutError):
        asyncio.run(queue.run(lambda: release.wait(20), seconds=0.05))
    release.set()

    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(queue.run(fail, seconds=20))
    assert asyncio.run(queue.run(lambda: 1, seconds=20)) == 1
