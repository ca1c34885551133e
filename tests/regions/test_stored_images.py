"""Stores are not taken for images that have changed since."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from unboxed.data import load_dataset
from unboxed.errors import ImageError
from unboxed.regions.cache import image_key
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.regions.stored_images import regions_of_image, show_replaced_images
from unboxed.types import Example


@pytest.fixture
def examples(tiny_dataset: Path, tmp_path: Path) -> Sequence[Example]:
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    return load_dataset(tmp_path / "data" / tiny_dataset.name).split("train").examples


@pytest.fixture
def store(examples: Sequence[Example], tmp_path: Path) -> RegionStore:
    extract(examples, RegionSettings(segments=True, grid=2), tmp_path / "store", progress=False)
    return RegionStore.open(tmp_path / "store")


def test_images_that_were_replaced_since_are_named(store: RegionStore, examples: Sequence[Example]) -> None:
    lines: list[str] = []
    for example in examples:
        os.utime(example.path)  # newer than the store, with the same content
    show_replaced_images(store, examples, lines.append)
    show_replaced_images(None, examples, lines.append)
    assert lines == []
    shutil.copy(examples[1].path, examples[0].path)
    show_replaced_images(store, examples, lines.append)
    assert lines == [
        f"warning: {store.path} has the regions of former files of 1 image, such as {examples[0].image_id}, which "
        "changed since; run `unboxed regions` again."
    ]


def test_regions_of_a_replaced_image_are_not_given(store: RegionStore, examples: Sequence[Example]) -> None:
    key = image_key(examples[0].path, examples[0].original_size)
    assert len(regions_of_image(store, examples[0].image_id, key)) > 0
    with pytest.raises(ImageError, match="has no regions of this image as it is now; run `unboxed regions` on it"):
        regions_of_image(store, examples[0].image_id, image_key(examples[1].path, None))
