"""The index of a store: it answers as the shards do, opens few of them, and is not used where it may be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import StoreError
from unboxed.regions import store as store_module
from unboxed.regions.settings import RegionSettings
from unboxed.regions.shards import Shard
from unboxed.regions.store import RegionStore
from unboxed.runtime.tensor_file import map_tensor_file, write_tensor_file
from unboxed.types import Regions

SETTINGS = RegionSettings(grid=2, texture=False)
NAMES = [f"image {number}" for number in range(20)]


def _regions(width: int) -> Regions:
    nothing = np.zeros((1, 0))
    return Regions(
        boxes=[[0, 0, width, 9]],
        scores=[1.0],
        features=[[width]],
        class_probs=nothing,
        class_names=(),
        sources=("grid",),
        width=width,
        height=9,
    )


def _add(path: Path, widths: dict[str, int]) -> None:
    with RegionStore.create_or_resume(path, SETTINGS) as store:
        store.define_columns((), ("grid",), (("width", 1),))
        for name, width in widths.items():
            store.append(name, f"{name} {width}", _regions(width))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards that are opened, as they are; a shard has two images."""
    monkeypatch.setattr(store_module, "_IMAGES_PER_SHARD", 2)
    names: list[str] = []
    start = Shard.__init__
    monkeypatch.setattr(Shard, "__init__", lambda self, path: (names.append(path.name), start(self, path))[1])
    return names


@pytest.fixture
def path(opened: list[str], tmp_path: Path) -> Path:
    """A store of ten shards."""
    _add(tmp_path / "store", {name: number + 1 for number, name in enumerate(NAMES)})
    opened.clear()
    return tmp_path / "store"


def _widths(path: Path) -> dict[str, int]:
    store = RegionStore.open(path)
    assert len(store) == len(list(store)) and all(name in store for name in store)
    return {name: store[name].width for name in store}


def test_one_image_is_read_from_its_shard_alone(path: Path, opened: list[str]) -> None:
    store = RegionStore.open(path)
    assert (len(store), list(store), "image 7" in store, "image" in store, 7 in store) == (
        20,
        NAMES,
        True,
        False,
        False,
    )
    assert store["image 7"].width == 8 and store.image_key("image 7") == "image 7 8"
    assert opened == ["000003.safetensors"]
    assert store.image_key("image") is None and len(store.by_key()) == 20


@pytest.mark.parametrize("with_index", [True, False])
def test_with_the_index_and_without_it_a_store_has_the_same_images(path: Path, with_index: bool) -> None:
    index = path / "index.safetensors"
    before = index.read_bytes()
    if not with_index:
        index.unlink()
    _add(path, {})  # makes a missing one
    assert index.read_bytes() == before
    _add(path, {"image 3": 77, "new": 88})  # replaces one and adds one
    assert index.read_bytes() != before
    expected = {name: number + 1 for number, name in enumerate(NAMES)} | {"image 3": 77, "new": 88}
    assert _widths(path) == expected and list(_widths(path)) == list(expected)
    index.unlink()
    assert _widths(path) == expected


@pytest.mark.parametrize("with_index", [True, False])
def test_removed_images_are_in_no_list(path: Path, with_index: bool) -> None:
    with RegionStore.create_or_resume(path, SETTINGS) as store:
        store.append("new", "new 5", _regions(5))
        for name in ("image 3", "image 19", "never there"):
            store.remove(name)
    if not with_index:
        (path / "index.safetensors").unlink()
    expected = {name: number + 1 for number, name in enumerate(NAMES)} | {"new": 5}
    del expected["image 3"], expected["image 19"]
    assert _widths(path) == expected and "image 3" not in RegionStore.open(path)
    _add(path, {"image 3": 77})
    assert _widths(path) == expected | {"image 3": 77} and RegionStore.open(path).image_key("image 19") is None


def test_shards_that_the_index_does_not_list_are_read_too(path: Path, opened: list[str]) -> None:
    index = path / "index.safetensors"
    before = index.read_bytes()
    _add(path, {"image 3": 77, "new": 88})
    index.write_bytes(before)  # as while a process adds images
    opened.clear()
    store = RegionStore.open(path)
    assert opened == ["000010.safetensors"]
    assert (len(store), list(store)) == (21, [*NAMES, "new"])
    assert (store["image 3"].width, store["new"].width, store["image 4"].width) == (77, 88, 5)


def test_an_index_of_other_or_damaged_content_is_not_used(path: Path, opened: list[str]) -> None:
    index = path / "index.safetensors"
    content = index.read_bytes()
    for damaged in (content[:50], b"", content[:-1] + bytes([content[-1] ^ 1])):
        index.write_bytes(damaged)
        assert len(_widths(path)) == 20
    index.write_bytes(content)
    (path / "shards" / "000004.safetensors").unlink()
    opened.clear()
    assert len(RegionStore.open(path)) == 18 and len(opened) == 9
    _add(path, {"new": 5})
    assert len(_widths(path)) == 19


@pytest.mark.parametrize("name", ["characters", "ends", "hashes", "rows", "shards", "numbers"])
def test_an_index_with_impossible_arrays_is_not_used(path: Path, name: str) -> None:
    tensors, metadata = map_tensor_file(path / "index.safetensors")
    array = tensors[name]
    other = array.copy()
    other[3] = 0xFF if name == "characters" else 300
    for wrong in (
        array[:-1],
        array[None],
        array.astype(np.float32),
        *([] if name in ("hashes", "numbers") else [other]),
    ):
        write_tensor_file(path / "index.safetensors", {**tensors, name: wrong}, {"shards": metadata["shards"]})
        assert _widths(path) == {image: number + 1 for number, image in enumerate(NAMES)}


def test_an_index_that_names_a_wrong_place_is_an_error(path: Path) -> None:
    tensors, metadata = map_tensor_file(path / "index.safetensors")
    wrong = {**tensors, "numbers": 1 - tensors["numbers"]}
    shutil.copyfile(path / "index.safetensors", path / "copy")
    write_tensor_file(path / "index.safetensors", wrong, {"shards": metadata["shards"]})
    with pytest.raises(StoreError, match=r"does not list what .*; delete this index, it is made again"):
        RegionStore.open(path)["image 7"]
