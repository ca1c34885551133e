"""Extraction of a dataset: resumed and killed runs, unreadable and changed images, and the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.cli import main
from unboxed.errors import ImageError, StoreError
from unboxed.regions.extraction import extract, image_key
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store.region_store import RegionStore
from unboxed.types import Example

SETTINGS = RegionSettings(grid=2, texture=False)


def read(path: Path) -> dict[str, bytes]:
    """The content of every file in a folder."""
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


def test_progress_off_a_terminal_is_a_line_for_every_tenth(
    tmp_path: Path, examples: list[Example], capsys: pytest.CaptureFixture[str]
) -> None:
    extract(examples, SETTINGS, tmp_path / "store")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("Regions: 9 of 9, ")
    assert len(printed.err.splitlines()) <= 10


def test_copies_of_an_image_are_extracted_once(
    tmp_path: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)
    monkeypatch.setattr("unboxed.regions.extraction.RegionExtractor", None)  # nobody can extract now
    again = [examples[0], replace(examples[0], image_id="copy")]
    assert extract(again, SETTINGS, tmp_path / "store", progress=False).done == 1
    store = RegionStore.open(tmp_path / "store")
    np.testing.assert_array_equal(store["copy"].features, store["image0"].features)


def test_an_image_is_identified_by_its_content_and_original_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"a")
    assert image_key(tmp_path / "a", None) == image_key(tmp_path / "b", None)
    assert image_key(tmp_path / "a", (3, 2)) == image_key(tmp_path / "a", None) + ":3x2"
    with pytest.raises(ImageError, match=r"c cannot be read .*check the path of the image"):
        image_key(tmp_path / "c", None)


@pytest.mark.parametrize("option", ["--detector", "--detectors"])
def test_the_command_line_takes_several_detectors(
    option: str, tiny_dataset: Path, tmp_path: Path, graphs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {"boxes": np.array([[[0, 0, 20, 20]]]), "scores": np.array([[[0.9]]])}
    files = [graphs.constant(tmp_path / f"{name}.onnx", outputs, metadata={"classes": name}) for name in ("cat", "dog")]
    main(["regions", str(tiny_dataset), "--out", str(tmp_path / "store"), option, *map(str, files), "--no-texture"])
    assert ("--detectors is now called --detector" in capsys.readouterr().err) == (option == "--detectors")
    store = RegionStore.open(tmp_path / "store")
    assert store.class_names == ("cat", "dog")
    assert type(store.settings) is RegionSettings and not store.settings.with_texture
    assert [path.name for path in store.settings.detectors] == ["cat.onnx", "dog.onnx"]
