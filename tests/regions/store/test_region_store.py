"""The store: what goes in comes out, interrupted work goes on, other settings and damage are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import ImageError, StoreError
from unboxed.regions.extraction import extract
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import region_store as store_module
from unboxed.regions.store.region_store import RegionStore
from unboxed.types import Caption, Example

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
    monkeypatch.setattr(store_module, "_SHARD_PHOTOGRAPHS", 2)


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
store._SHARD_PHOTOGRAPHS = 2
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
    while len(list(store.glob("shards/*.safetensors"))) < 2 and time.monotonic() < deadline:
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
