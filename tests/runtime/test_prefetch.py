"""Batches made ahead of time are the same batches, in the same order, and are begun before they are asked for."""

from __future__ import annotations

import threading
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.data.dataset import load_dataset
from unboxed.inference.run_config import RunConfig
from unboxed.negatives.random_words import random_substitutes
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime import prefetch as ahead
from unboxed.runtime.prefetch import Prefetcher
from unboxed.text.vocabulary import Vocabulary
from unboxed.training.split_loader import SplitLoader
from unboxed.types import Batch


@pytest.mark.parametrize(("threads", "start"), [(1, 0), (4, 0), (4, 2)])
def test_a_batch_depends_on_its_number_alone(
    tiny_dataset: Path, tiny_run: Path, threads: int, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_THREADS", threads)
    config, vocabulary = RunConfig.load(tiny_run), Vocabulary.load(tiny_run / "vocab.json")
    examples = load_dataset(tiny_dataset).split("train").examples
    loader = SplitLoader(examples, RegionStore.open(tiny_run / "store"), vocabulary, config)
    captions = [caption for own in loader.captions for caption in own]
    images = [image for image, own in zip(loader.image_ids, loader.captions, strict=True) for _ in own]
    nouns = [np.flatnonzero(caption.content_W)[:2].tolist() for caption in captions]
    negatives = random_substitutes([c.caption.text for c in captions], nouns, images, count=5, seed=0)
    schedule = Schedule(images_per_batch=4, captions_per_image=2)

    def made(first: int) -> list[Batch]:
        return list(loader.batches(schedule, 3, start=first, negatives=negatives, negative_count=3))

    monkeypatch.setattr(ahead, "_THREADS", 1)
    expected = made(0)[start:]
    monkeypatch.setattr(ahead, "_THREADS", threads)
    for one, other in zip(made(start), expected, strict=True):
        for field in fields(Batch):
            first, second = getattr(one, field.name), getattr(other, field.name)
            assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def test_the_next_batches_are_begun_while_one_is_in_use() -> None:
    begun = [threading.Event() for _ in range(9)]

    def make(number: int) -> Batch:
        begun[number].set()
        return number  # type: ignore[return-value]  # what it is does not matter here

    batches = Prefetcher(make, range(9))
    assert begun[3].wait(10), "four are made before any is asked for"
    assert not begun[4].is_set()
    assert next(batches) == 0
    assert begun[4].wait(10)
    assert list(batches) == list(range(1, 9))
    assert batches.waited >= 0
    assert list(Prefetcher(make, range(0))) == []


def test_an_error_comes_where_its_batch_is_asked_for() -> None:
    def make(number: int) -> Batch:
        if number == 1:
            raise ValueError("of batch 1")
        return number  # type: ignore[return-value]

    batches = Prefetcher(make, range(3))
    assert next(batches) == 0
    with pytest.raises(ValueError, match="of batch 1"):
        next(batches)
    batches.close()
