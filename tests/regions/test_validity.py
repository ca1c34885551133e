"""Numbers that no region can have are refused with the image's name: when it is stored, and when it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from unboxed.errors import RegionsError, StoreError
from unboxed.regions import RegionSettings
from unboxed.regions.shards import RegionArrays
from unboxed.regions.store import RegionStore
from unboxed.regions.validity import first_fault
from unboxed.types import Regions

NAN, INFINITE = float("nan"), float("inf")
POISON = [
    ("boxes", (1, 2), NAN, "a box is not finite"),
    ("boxes", (1, 2), -INFINITE, "a box is not finite"),
    ("boxes", (1, 2), 1e30, "a box lies outside of any image"),
    ("boxes", (1, 0), -2e7, "a box lies outside of any image"),
    ("boxes", (1, 2), 1.0, "a box is empty or inverted"),
    ("boxes", (1, slice(0, 4)), 0.0, "a box is empty or inverted"),
    ("features", (1, 0), NAN, "features are not finite"),
    ("features", (1, 2), INFINITE, "features are not finite"),
    ("class_probs", (1, 1), NAN, "a class probability is outside 0..1"),
    ("class_probs", (1, 1), 1.01, "a class probability is outside 0..1"),
    ("class_probs", (1, 1), -0.01, "a class probability is outside 0..1"),
    ("scores", 1, NAN, "a score is outside 0..1"),
    ("scores", 1, 1.5, "a score is outside 0..1"),
    ("sources", 1, 2, "a source is not among the store's sources"),
]


def _arrays() -> RegionArrays:
    return RegionArrays(
        boxes=np.array([[0, 0, 9, 9], [1, 1, 5, 4], [2, 2, 3, 3]], np.float32),
        features=np.array([[1, -65504, 0]] * 3, np.float16),
        class_probs=np.array([[0, 1], [-0.0, 0.5], [1e-7, 1]], np.float16),
        scores=np.array([0, 0.5, 1], np.float32),
        sources=np.array([0, 1, 1], np.uint8),
    )


def _regions(arrays: RegionArrays) -> Regions:
    names = ("grid", "image")
    sources = tuple(names[index] for index in arrays.sources)
    return Regions(arrays.boxes, arrays.scores, arrays.features, arrays.class_probs, ("a", "b"), sources, 9, 9)


def _store(folder: Path) -> RegionStore:
    store = RegionStore.create_or_resume(folder, RegionSettings.weight_free())
    store.define_columns(("a", "b"), ("grid", "image"), (("colour", 3),))
    return store


def test_usable_numbers_have_no_fault() -> None:
    assert first_fault(_arrays(), 2) is None
    assert first_fault(RegionArrays(*(array[:0] for array in _arrays())), 2) is None


@pytest.mark.parametrize(("name", "place", "value", "reason"), POISON)
def test_the_row_of_a_fault_is_found(name: str, place: object, value: float, reason: str) -> None:
    arrays = _arrays()
    getattr(arrays, name)[place] = value
    assert first_fault(arrays, 2) == (1, reason)


@pytest.mark.parametrize(("name", "place", "value", "reason"), POISON)
def test_a_store_that_holds_one_is_refused_with_the_image(
    name: str, place: object, value: float, reason: str, tmp_path: Path
) -> None:
    with _store(tmp_path / "store") as store:
        for image in ("first.jpg", "second.jpg", "third.jpg"):
            store.append(image, image, _regions(_arrays()))
    shard = next((tmp_path / "store" / "shards").iterdir())
    with safe_open(shard, framework="numpy") as opened:
        metadata = {"images": opened.metadata()["images"]}
    stored = {key: array.copy() for key, array in load_file(shard).items()}
    row = place[0] if isinstance(place, tuple) else place
    stored[name][(row + 3, *place[1:]) if isinstance(place, tuple) else row + 3] = value  # type: ignore[operator]
    save_file(stored, shard, metadata)
    store = RegionStore.open(tmp_path / "store")
    for read in (store.arrays, store.__getitem__):
        with pytest.raises(StoreError, match=f"the regions of second.jpg are not usable: {reason}"):
            read("second.jpg")
    assert RegionStore.create_or_resume(tmp_path / "store", RegionSettings.weight_free()).removed == (shard.name,) or (
        name == "sources"
    )


@pytest.mark.parametrize(("name", "value"), [("boxes", 0.0), ("class_probs", 2.0), ("scores", -0.5)])
def test_they_are_refused_before_they_are_stored(name: str, value: float, tmp_path: Path) -> None:
    arrays = _arrays()
    getattr(arrays, name)[1] = value
    with (
        _store(tmp_path / "store") as store,
        pytest.raises(RegionsError, match=r"The regions of a\.jpg are not usable"),
    ):
        store.append("a.jpg", "key", _regions(arrays))
    assert len(RegionStore.open(tmp_path / "store")) == 0


def test_a_flipped_bit_of_a_shard_is_found_when_the_shard_is_first_read_or_opened(tmp_path: Path) -> None:
    with _store(tmp_path / "store") as store:
        store.append("a.jpg", "key", _regions(_arrays()))
    shard = next((tmp_path / "store" / "shards").iterdir())
    content = shard.read_bytes()
    unnoticed = []
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        shard.write_bytes(damaged)
        try:
            arrays = RegionStore.open(tmp_path / "store").arrays("a.jpg")
        except StoreError:
            continue
        assert all((mine == read).all() for mine, read in zip(_arrays(), arrays, strict=True))
        unnoticed.append(position)
    assert len(unnoticed) <= len("header_sha256")
