"""Prefetched results are those of a plain loop; the number of cores is what the process may use."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.dataset import load_dataset
from unboxed.inference.batching import Batcher
from unboxed.inference.run_config import RunConfig
from unboxed.negatives.base import CaptionNouns
from unboxed.negatives.substitution import RandomWords
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store import RegionStore
from unboxed.runtime.memory import MEMORY_VARIABLE, MemoryShare
from unboxed.runtime.threads import Prefetcher, available_cores, ordered_map
from unboxed.text.tokens import Vocabulary
from unboxed.training.split_loader import SplitLoader
from unboxed.types import Array, PairedBatch


@pytest.mark.parametrize(("threads", "start"), [(1, 0), (4, 0), (4, 2)])
def test_a_training_batch_depends_on_its_number_only(
    tiny_dataset: Path, tiny_run: Path, threads: int, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, vocabulary = RunConfig.load(tiny_run), Vocabulary.load(tiny_run / "vocab.json")
    examples = load_dataset(tiny_dataset).split("train").examples
    loader = SplitLoader(examples, RegionStore.open(tiny_run / "store"), Batcher(config, vocabulary))
    captions = [caption for its in loader.captions for caption in its]
    images = [image for image, its in zip(loader.image_ids, loader.captions, strict=True) for _ in its]
    positions = [np.flatnonzero(caption.content_W)[:2].tolist() for caption in captions]
    nouns = CaptionNouns.from_texts([caption.caption.text for caption in captions], positions, images)
    loader.negatives, loader.negative_count = RandomWords(count=5).find(nouns), 3
    schedule = Schedule(images_per_batch=4, captions_per_image=2)

    def batches(first: int, thread_count: int) -> list[PairedBatch]:
        prefetcher = functools.partial(Prefetcher, threads=thread_count)
        monkeypatch.setattr("unboxed.training.split_loader.Prefetcher", prefetcher)
        return list(loader.batches(schedule, 3, start=first))

    for one, other in zip(batches(start, threads), batches(0, 1)[start:], strict=True):
        assert torch.equal(one.image_of_C, other.image_of_C)
        for part in ("images", "captions"):
            first, second = vars(getattr(one, part)), vars(getattr(other, part))
            for name, value in first.items():
                assert torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]


def test_the_next_results_are_begun_while_one_is_in_use() -> None:
    begun = [threading.Event() for _ in range(9)]

    def work(number: int) -> int:
        begun[number].set()
        return number

    results = Prefetcher(work, range(9))
    assert begun[1].wait(10), "each thread begins one before any is asked for"
    assert not begun[2].is_set()
    assert next(results) == 0
    assert begun[4].wait(10), "then four are begun in advance"
    assert not begun[5].is_set()
    assert list(results) == list(range(1, 9))
    assert results.waited >= 0
    assert list(Prefetcher(work, range(0))) == []


@pytest.mark.parametrize(("megabytes", "ahead"), [(1, 4), (3, 2), (9, 1)])
def test_results_in_advance_fit_into_an_eighth_of_the_memory(
    megabytes: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "64MiB")  # of which an eighth is 8.4 MB
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            begun.append(number)
            yield number

    def work(number: int) -> dict[str, list[Array]]:
        return {"rows": [np.zeros(500_000 * megabytes, np.int8)] * 2}

    results = Prefetcher(work, items(), threads=2)
    for used in range(1, 5):
        next(results)
        assert len(begun) == max(used + ahead, 2)
    results.close()


def test_images_in_work_wait_for_a_share_of_the_memory_and_a_larger_one_runs_alone() -> None:
    share, together, most = MemoryShare(lambda: 100), [], []
    lock = threading.Lock()

    def work(size: int) -> int:
        with share.taken(size):
            with lock:
                together.append(size)
                most.append(sum(together))
            time.sleep(0.001)
            with lock:
                together.remove(size)
        return size

    sizes = [40, 30, 250, 60, 40, 99, 1] * 5
    assert list(ordered_map(work, sizes, 8)) == sizes
    assert max(total for total in most if total != 250) <= 100 < max(most)
    assert most.count(250) == 5


def test_an_error_comes_where_its_result_is_due() -> None:
    def work(number: int) -> int:
        if number == 1:
            raise ValueError("of item 1")
        return number

    results = Prefetcher(work, range(3))
    assert next(results) == 0
    with pytest.raises(ValueError, match="of item 1"):
        next(results)
    results.close()


@given(st.lists(st.integers() | st.none()), st.integers(1, 5))
def test_an_ordered_map_is_a_map(items: list[int | None], workers: int) -> None:
    assert list(ordered_map(repr, iter(items), workers)) == list(map(repr, items))


def test_an_ordered_map_begins_no_more_than_four_items_a_thread_in_advance_and_ends_with_its_caller() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = ordered_map(abs, items(), 2)
    assert taken == []
    assert next(results) == 0
    results.close()
    assert len(taken) <= 9


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not restrict processes to cores")
def test_a_process_that_is_restricted_to_one_core_has_one() -> None:
    before = os.sched_getaffinity(0)
    assert available_cores() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_where_nothing_is_restricted_all_cores_count(
    count: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert available_cores() == expected
