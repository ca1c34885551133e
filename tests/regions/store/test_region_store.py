"""The region store: round trips, resumed and killed extractions, refused settings, damaged files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from unboxed.errors import ImageError, StoreError
from unboxed.regions.extraction import extract
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import region_store as store_module
from unboxed.regions.store.region_store import RegionStore
from unboxed.types import Caption, Example, Regions

SETTINGS = RegionSettings(grid=2, texture=False)


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    """Nine small images of noise."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(9):
        path = tmp_path / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30 + i, 3), dtype=np.uint8)).save(path)
        made.append(Example(f"image{i}", path, (Caption("noise"),), 30 + i, 20))
    return made


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_IMAGES_PER_SHARD", 2)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_what_goes_in_comes_out(tmp_path: Path, examples: list[Example]) -> None:
    summary = extract(examples, SETTINGS, tmp_path / "store", progress=False)
    assert (summary.done, summary.reused, summary.skipped) == (9, 0, ())
    store = RegionStore.open(tmp_path / "store")
    extractor = RegionExtractor(SETTINGS)
    assert store.image_ids == tuple(example.image_id for example in examples)
    assert store.feature_blocks == extractor.feature_blocks == (("colour", 36),)
    for example in examples:
        fresh, stored = extractor(Image.open(example.path)), store[example.image_id]
        assert (stored.sources, stored.width, stored.height) == (fresh.sources, fresh.width, fresh.height)
        np.testing.assert_array_equal(stored.boxes, fresh.boxes)
        np.testing.assert_allclose(stored.features, fresh.features, atol=1e-3)
        arrays = store.arrays(example.image_id)
        assert arrays.features.dtype == np.float16
        assert [store.source_names[i] for i in arrays.sources] == list(fresh.sources)
    with pytest.raises(StoreError, match="no regions of 'other'"):
        store["other"]


@st.composite
def stored_images(draw: st.DrawFn) -> list[Regions]:
    """Regions of up to nine images, some without any, of a store with two sources."""
    width, classes = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = []
    for count in draw(st.lists(st.integers(0, 5), max_size=9)):
        images.append(
            Regions(
                boxes=rng.uniform(0, 1e4, (count, 4)),
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
        assert again.ids_by_key() == {f"key {number}": f"image {number}" for number in range(len(images))}
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
    assert again.fingerprint() == SETTINGS.fingerprint()
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


def test_a_store_does_not_depend_on_the_number_of_workers(tmp_path: Path, examples: list[Example]) -> None:
    for workers in (1, 4):
        extract(examples, SETTINGS, tmp_path / str(workers), workers=workers, progress=False)
    assert read(tmp_path / "1") == read(tmp_path / "4")


@pytest.mark.usefixtures("small_shards")
def test_extraction_goes_on_where_it_stopped(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:4], SETTINGS, tmp_path / "store", progress=False)
    before = read(tmp_path / "store")
    summary = extract(examples, SETTINGS, tmp_path / "store", progress=False)
    assert (summary.done, summary.reused) == (5, 4)
    assert before.items() <= read(tmp_path / "store").items()  # nothing was written anew
    assert extract(examples, SETTINGS, tmp_path / "store", progress=False).done == 0


@pytest.mark.usefixtures("small_shards")
def test_an_error_keeps_what_was_done(tmp_path: Path, examples: list[Example]) -> None:
    examples[5].path.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"5\.png"):
        extract(examples, SETTINGS, tmp_path / "store", strict=True, workers=1, progress=False)
    assert RegionStore.open(tmp_path / "store").image_ids == tuple(f"image{i}" for i in range(5))


SLOW = """
import sys, time
from pathlib import Path
from unboxed.regions.store import region_store as store
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.types import Caption, Example
store._IMAGES_PER_SHARD = 2
whole = RegionExtractor.__call__
RegionExtractor.__call__ = lambda *a: (time.sleep(0.1), whole(*a))[1]
images = [Example(f"image{i}", Path(sys.argv[1]) / f"{i}.png", (Caption("noise"),), 30 + i, 20) for i in range(9)]
extract(images, RegionSettings(grid=2, texture=False), Path(sys.argv[2]), workers=1, progress=False)
"""


@pytest.mark.usefixtures("small_shards")
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_process_loses_only_the_open_shard(tmp_path: Path, examples: list[Example]) -> None:
    store = tmp_path / "store"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(examples[0].path.parent), str(store)])
    deadline = time.monotonic() + 60
    while len(list(store.glob("shards/0*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(RegionStore.open(store))
    assert 4 <= kept < 9
    summary = extract(examples, SETTINGS, store, progress=False)
    assert (summary.done, summary.reused) == (9 - kept, kept)
    extract(examples, SETTINGS, tmp_path / "whole", progress=False)
    assert read(store) == read(tmp_path / "whole")


def test_other_settings_are_named(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)
    with pytest.raises(StoreError, match=r"other settings \(grid: 2 there, 3 here\).*another folder"):
        extract(examples, replace(SETTINGS, grid=3), tmp_path / "store", progress=False)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, examples: list[Example]) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(StoreError, match="no feature store; choose a new folder"):
        extract(examples, SETTINGS, tmp_path, progress=False)
    with pytest.raises(StoreError, match=r"no store\.json"):
        RegionStore.open(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt", "images"}


def test_a_bad_image_is_skipped_and_named(tmp_path: Path, examples: list[Example]) -> None:
    examples[1].path.write_bytes(examples[1].path.read_bytes()[:200])
    examples[2].path.unlink()
    summary = extract(examples, SETTINGS, tmp_path / "store", progress=False)
    assert summary.done == 7
    assert [image_id for image_id, _ in summary.skipped] == ["image1", "image2"]
    assert "2 skipped" in str(summary) and "1.png" in str(summary)
    with pytest.raises(ImageError, match="None of the 2 images"):
        extract(examples[1:3], SETTINGS, tmp_path / "other", progress=False)


def test_a_changed_image_is_extracted_anew(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples, SETTINGS, tmp_path / "store", progress=False)
    Image.new("RGB", (50, 40), (255, 0, 0)).save(examples[3].path)
    summary = extract(examples, SETTINGS, tmp_path / "store", progress=False)
    assert (summary.done, summary.reused) == (1, 8)
    store = RegionStore.open(tmp_path / "store")
    assert (len(store), store["image3"].width) == (9, 50)


def test_the_original_shape_is_part_of_what_was_seen(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)
    stretched = [replace(examples[0], original_size=(100, 20))]
    assert extract(stretched, SETTINGS, tmp_path / "store", progress=False).done == 1
    assert extract(stretched, SETTINGS, tmp_path / "store", progress=False).reused == 1


@pytest.mark.usefixtures("small_shards")
def test_damage_is_named_and_mended_by_deleting_the_shard(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples, SETTINGS, tmp_path / "store", progress=False)
    shard = tmp_path / "store" / "shards" / "000001.safetensors"
    whole = shard.read_bytes()
    for damaged in (whole[:-10], whole[:100], b"", b"\xff" * 64):
        shard.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"000001\.safetensors is damaged .*Delete this file"):
            RegionStore.open(tmp_path / "store")
    listed = json.loads(safe_open(_written(shard, whole), framework="numpy").metadata()["images"])
    arrays = load_file(shard)
    for damaged_list, message in ((listed[:1], "fill"), ([{"id": 1}], "damaged"), (7, "damaged")):
        save_file(arrays, shard, metadata={"images": json.dumps(damaged_list)})
        with pytest.raises(StoreError, match=message):
            RegionStore.open(tmp_path / "store")
    save_file(arrays | {"scores": arrays["scores"] + np.nan}, shard, metadata={"images": json.dumps(listed)})
    with pytest.raises(StoreError, match=r"the regions of image2 are not usable \(.*NaN"):
        RegionStore.open(tmp_path / "store")["image2"]
    shard.unlink()
    summary = extract(examples, SETTINGS, tmp_path / "store", progress=False)
    assert (summary.done, summary.reused) == (2, 7)


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
    backbone = graphs.picture(tmp_path / "backbone.onnx")  # type: ignore[attr-defined]
    settings = replace(SETTINGS, backbone=backbone, backbone_size=32)
    extract(examples[:2], settings, tmp_path / "store", progress=False)
    backbone.unlink()
    (tmp_path / "store").rename(tmp_path / "moved")
    store = RegionStore.open(tmp_path / "moved")
    assert store.settings.backbone == tmp_path / "moved" / "models" / "backbone.onnx"
    assert extract(examples, store.settings, tmp_path / "moved", progress=False).done == 7


def test_progress_off_a_terminal_is_a_line_for_every_tenth(
    tmp_path: Path, examples: list[Example], capsys: pytest.CaptureFixture[str]
) -> None:
    extract(examples, SETTINGS, tmp_path / "store")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("Regions: 9 of 9, ")
    assert len(said.err.splitlines()) <= 10
