"""The region store: round trips, refused settings and folders, damaged files."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from unboxed.errors import StoreError
from unboxed.regions import store as store_module
from unboxed.regions.extraction import RegionExtractor, extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.types import Example, Regions

SETTINGS = RegionSettings(grid=2, texture=False)


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@st.composite
def stored_images(draw: st.DrawFn) -> list[Regions]:
    """Regions of up to nine images, some without any, of a store with two sources."""
    width, classes = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = []
    for count in draw(st.lists(st.integers(0, 5), max_size=9)):
        images.append(
            Regions(
                boxes=np.sort(rng.uniform(0, 1e4, (count, 2, 2)), axis=1).reshape(count, 4),
                scores=rng.uniform(0, 1, count),
                features=rng.normal(scale=10.0 ** rng.integers(-5, 8), size=(count, width)),
                class_probs=rng.uniform(0, 1, (count, classes)),
                class_names=tuple(f"class {k}" for k in range(classes)),
                sources=tuple(rng.choice(["detector", "grid"], count)),
                width=int(rng.integers(1, 5000)),
                height=int(rng.integers(1, 5000)),
            )
        )
    return images


@given(stored_images(), st.integers(1, 4))
def test_any_regions_are_read_as_they_were_written(images: list[Regions], images_per_shard: int) -> None:
    """Boxes and scores exactly, features and class probabilities as float16, in any number of shards."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_IMAGES_PER_SHARD", images_per_shard)
        with RegionStore.create_or_resume(Path(folder), SETTINGS) as store:
            if images:
                blocks = (("colour", images[0].features.shape[1]),)
                store.define_columns(images[0].class_names, ("detector", "grid"), blocks)
            for number, regions in enumerate(images):
                store.append(f"image {number}", f"key {number}", regions)
        again = RegionStore.open(Path(folder))
        assert list(again) == list(store) == [f"image {number}" for number in range(len(images))]
        assert list(again.by_key()) == [f"key {number}" for number in range(len(images))]
        assert len(list(Path(folder).glob("shards/*"))) == -(-len(images) // images_per_shard)
        for number, expected in enumerate(images):
            found = again[f"image {number}"]
            assert again.image_key(f"image {number}") == f"key {number}"
            assert (found.class_names, found.sources) == (expected.class_names, expected.sources)
            assert (found.width, found.height) == (expected.width, expected.height)
            np.testing.assert_array_equal(found.boxes, expected.boxes)
            np.testing.assert_array_equal(found.scores, expected.scores)
            np.testing.assert_array_equal(found.class_probs, expected.class_probs.astype(np.float16))
            limited = np.clip(expected.features, -65504, 65504)
            np.testing.assert_array_equal(found.features, limited.astype(np.float16))
            assert not found.features.flags.writeable
            arrays = again.arrays(f"image {number}")
            np.testing.assert_array_equal(arrays.features, found.features)


def test_a_later_image_of_the_same_id_replaces_the_earlier(tmp_path: Path, examples: list[Example]) -> None:
    extractor = RegionExtractor(SETTINGS)
    with RegionStore.create_or_resume(tmp_path / "store", SETTINGS) as store:
        store.define_columns(extractor.class_names, extractor.source_names, extractor.feature_blocks)
        for key, size in (("old", (40, 40)), ("new", (50, 30))):
            store.append("a", key, extractor(Image.new("RGB", size)))
    again = RegionStore.open(tmp_path / "store")
    assert (len(again), "a" in again, "b" in again, again.image_key("b")) == (1, True, False, None)
    assert again.settings.fingerprint() == SETTINGS.fingerprint()
    assert (again.image_key("a"), again["a"].width) == ("new", 50)


def test_a_store_keeps_its_columns(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)
    with (
        RegionStore.create_or_resume(tmp_path / "store", SETTINGS) as store,
        pytest.raises(StoreError, match="other classes or features than its settings give now"),
    ):
        store.define_columns(("cat",), store.source_names, store.feature_blocks)


@pytest.mark.usefixtures("small_shards")
def test_the_temporary_file_of_a_killed_process_is_ignored(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:3], SETTINGS, tmp_path / "store", progress=False)
    shards = tmp_path / "store" / "shards"
    (shards / ".000002.17-0.safetensors").write_bytes((shards / "000001.safetensors").read_bytes()[:40])
    assert len(RegionStore.open(tmp_path / "store")) == 3
    assert extract(examples, SETTINGS, tmp_path / "store", progress=False).done == 6


def test_other_settings_are_named(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)
    with pytest.raises(StoreError, match=r"other settings \(grid: 2 there, 3 here\).*another folder"):
        extract(examples, replace(SETTINGS, grid=3), tmp_path / "store", progress=False)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, examples: list[Example]) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(StoreError, match="not a region store; choose a new folder"):
        extract(examples, SETTINGS, tmp_path, progress=False)
    with pytest.raises(StoreError, match=r"no store\.json"):
        RegionStore.open(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt", "images"}


@pytest.mark.usefixtures("small_shards")
def test_damage_is_reported_and_repaired_by_deleting_the_shard(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples, SETTINGS, tmp_path / "store", progress=False)
    shard = tmp_path / "store" / "shards" / "000001.safetensors"
    whole = shard.read_bytes()
    for damaged in (whole[:-10], whole[:100], b"", b"\xff" * 64):
        shard.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"000001\.safetensors is damaged .*Delete this file"):
            RegionStore.open(tmp_path / "store")
    listed = json.loads(safe_open(_written(shard, whole), framework="numpy").metadata()["images"])
    arrays = load_file(shard)
    negative = [{**listed[0], "count": -1}, *listed[1:]]
    for damaged_list, message in (
        (listed[:1], "fill"),
        ([{"id": 1}], "damaged"),
        (7, "damaged"),
        (negative, "wrong numbers"),
        *(([{**listed[0], side: 2**31}, *listed[1:]], "wrong numbers") for side in ("width", "height")),
        ([{**listed[0], "start": 1}, *listed[1:]], "do not follow each other"),
    ):
        save_file(arrays, shard, metadata={"images": json.dumps(damaged_list)})
        with pytest.raises(StoreError, match=message):
            RegionStore.open(tmp_path / "store")
    save_file(arrays | {"scores": arrays["scores"] + np.nan}, shard, metadata={"images": json.dumps(listed)})
    with pytest.raises(StoreError, match=r"the regions of image2 are not usable: a score is outside"):
        RegionStore.open(tmp_path / "store")["image2"]
    shard.unlink()
    summary = extract(examples, SETTINGS, tmp_path / "store", progress=False)
    assert (summary.done, summary.reused) == (2, 7)


def test_a_shard_that_cannot_be_read_is_not_removed(
    tmp_path: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("unboxed.regions.shards.check_header", refused)
    with pytest.raises(StoreError, match=r"000000\.safetensors is damaged"):
        RegionStore.create_or_resume(tmp_path / "store", SETTINGS)
    assert (tmp_path / "store" / "shards" / "000000.safetensors").is_file()


def test_a_file_in_the_place_of_a_store_is_left_alone(tmp_path: Path) -> None:
    file = _written(tmp_path / "store", b"notes")
    with pytest.raises(StoreError, match="exists and is not a region store"):
        RegionStore.create_or_resume(file, SETTINGS)
    assert file.read_bytes() == b"notes"


def test_a_folder_in_the_place_of_a_store_keeps_hidden_files_of_all_kinds(tmp_path: Path) -> None:
    names = (".notes.17-0.partial.txt", "shards/.a.17-0.partial.txt", "thesis.tex")
    files = [_written(tmp_path / "home" / name, b"mine") for name in names]
    with pytest.raises(StoreError, match="exists and is not a region store"):
        RegionStore.create_or_resume(tmp_path / "home", SETTINGS)
    assert [file for file in files if file.is_file()] == files


def test_a_store_whose_start_was_killed_is_started_again(tmp_path: Path) -> None:
    left = [_written(tmp_path / name, b"half") for name in (".store.17-0.partial.json", "models/.a.17-0.partial.onnx")]
    with RegionStore.create_or_resume(tmp_path, SETTINGS):
        assert not any(file.exists() for file in left)


def test_a_store_of_a_newer_version_or_with_a_broken_header(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)
    file = tmp_path / "store" / "store.json"
    header = json.loads(file.read_text())
    for change, message in [
        ({"version": 9}, "version 9.*Update unboxed"),
        ({"format": "other"}, "does not describe"),
        ({"settings": {**header["settings"], "version": 9}}, "version 9"),
        ({"feature_blocks": [1]}, "is damaged"),
        ({"class_names": 3}, "is damaged"),
        ({"feature_blocks": [["colour", 35]]}, "has 36 features"),
    ]:
        file.write_text(json.dumps({**header, **change}))
        with pytest.raises(StoreError, match=message):
            RegionStore.open(tmp_path / "store")
    file.write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        RegionStore.open(tmp_path / "store")


def test_a_store_is_complete_in_its_folder(tmp_path: Path, graphs: object, examples: list[Example]) -> None:
    backbone = graphs.averaging(tmp_path / "backbone.onnx")  # type: ignore[attr-defined]
    settings = replace(SETTINGS, backbone=backbone, backbone_size=32)
    extract(examples[:2], settings, tmp_path / "store", progress=False)
    backbone.unlink()
    (tmp_path / "store").rename(tmp_path / "moved")
    store = RegionStore.open(tmp_path / "moved")
    assert store.settings.backbone == tmp_path / "moved" / "models" / "backbone.onnx"
    assert extract(examples, store.settings, tmp_path / "moved", progress=False).done == 7
