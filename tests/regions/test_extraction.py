"""The regions of one image, and of a dataset: resumed and killed runs, unreadable and changed images."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed import boxes as box_arithmetic
from unboxed.cli import main
from unboxed.errors import ImageError, NoRegionsError, RegionsError, StoreError
from unboxed.regions.extraction import RegionExtractor, extract, image_key
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
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
    assert list(store) == [example.image_id for example in examples]
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
    assert list(RegionStore.open(tmp_path / "store")) == [f"image{i}" for i in range(5)]


def test_no_thread_goes_on_after_an_error(tmp_path: Path, examples: list[Example]) -> None:
    examples[1].path.write_bytes(b"no image")
    before = threading.active_count()
    with pytest.raises(ImageError, match=r"1\.png"):
        extract(examples, SETTINGS, tmp_path / "store", strict=True, workers=4, progress=False)
    assert threading.active_count() == before


SLOW = """
import sys, time
from pathlib import Path
from unboxed.regions import store
from unboxed.regions.extraction import RegionExtractor
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


@pytest.mark.usefixtures("small_shards")
def test_images_that_exchange_their_names_keep_their_regions(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples, SETTINGS, tmp_path / "store", progress=False)
    before = [RegionStore.open(tmp_path / "store")[example.image_id].features for example in examples]
    contents = [example.path.read_bytes() for example in examples]
    for example, content in zip(examples, contents[::-1], strict=True):
        example.path.write_bytes(content)
    extract(examples, SETTINGS, tmp_path / "store", progress=False)
    store = RegionStore.open(tmp_path / "store")
    for example, expected in zip(examples, before[::-1], strict=True):
        np.testing.assert_array_equal(store[example.image_id].features, expected)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"no image"), Path.unlink])
def test_an_image_that_is_skipped_keeps_no_regions_of_an_earlier_file(
    tmp_path: Path, examples: list[Example], damage: Callable[[Path], None]
) -> None:
    extract(examples, SETTINGS, tmp_path / "store", progress=False)
    content = examples[3].path.read_bytes()
    damage(examples[3].path)
    for _ in range(2):
        assert [name for name, _ in extract(examples, SETTINGS, tmp_path / "store", progress=False).skipped] == [
            "image3"
        ]
        assert "image3" not in RegionStore.open(tmp_path / "store")
    examples[3].path.write_bytes(content)
    assert extract(examples, SETTINGS, tmp_path / "store", progress=False).done == 1
    assert RegionStore.open(tmp_path / "store")["image3"].width == 33


def test_the_original_shape_is_part_of_what_was_seen(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples[:1], SETTINGS, tmp_path / "store", progress=False)
    stretched = [replace(examples[0], annotated_size=(100, 20))]
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


def test_the_models_are_opened_once(tmp_path: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[RegionSettings] = []
    start = RegionExtractor.__init__

    def counted(self: RegionExtractor, settings: RegionSettings, **options: Any) -> None:
        opened.append(settings)
        start(self, settings, **options)

    monkeypatch.setattr(RegionExtractor, "__init__", counted)
    extract(examples[:2], SETTINGS, tmp_path / "store", workers=2, progress=False)
    assert len(opened) == 1
    extract(examples, SETTINGS, tmp_path / "store", workers=2, progress=False)
    assert len(opened) == 2


def test_an_image_is_identified_by_its_content_and_original_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"a")
    assert image_key(tmp_path / "a", None) == image_key(tmp_path / "b", None)
    assert image_key(tmp_path / "a", (3, 2)) == image_key(tmp_path / "a", None) + ":3x2"
    with pytest.raises(ImageError, match=r"c does not exist; check the path of the image"):
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


@pytest.fixture
def settings(tmp_path: Path, graphs: Any) -> RegionSettings:
    """A detector that sees a person and a dog on 64 x 64 pixels, a segmenter of colours, a backbone that averages."""
    boxes = np.array([[[0, 0, 16, 40], [0, 1, 16, 40], [40, 40, 60, 60], [0, 0, 0, 0]]])
    scores = np.array([[[0.8, 0.1], [0.9, 0.05], [0.2, 0.6], [0.9, 0.9]]])
    detector = graphs.constant(
        tmp_path / "detector.onnx", {"boxes": boxes, "scores": scores}, metadata={"classes": "person\nred stuff"}
    )
    return RegionSettings(
        detectors=(detector,),
        segmenter=graphs.segmenter(tmp_path / "segmenter.onnx"),
        backbone=graphs.averaging(tmp_path / "backbone.onnx"),
        detector_size=64,
        evidence_sizes=(),
        segmenter_size=64,
        backbone_size=64,
        grid=2,
    )


@pytest.fixture
def image() -> Image.Image:
    """Left half red, right half blue, 128 x 128."""
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[:, :64, 0] = pixels[:, 64:, 2] = 255
    return Image.fromarray(pixels)


def test_regions_come_best_first_without_repetitions(settings: RegionSettings, image: Image.Image) -> None:
    extractor = RegionExtractor(settings)
    regions = extractor(image)
    assert (regions.width, regions.height) == (128, 128)
    order = [extractor.source_names.index(name) for name in regions.sources]
    assert regions.sources[:3] == ("detector", "detector", "image")
    assert set(regions.sources) == {"detector", "image", "segmenter", "head", "torso", "legs", "grid"}
    np.testing.assert_allclose(regions.boxes[:3], [[0, 2, 32, 80], [80, 80, 120, 120], [0, 0, 128, 128]])
    np.testing.assert_allclose(regions.scores[:2], [0.9, 0.6], rtol=1e-6)
    overlap = box_arithmetic.iou(regions.boxes, regions.boxes) - np.eye(len(regions))
    assert overlap.max() <= settings.duplicate
    assert (box_arithmetic.area(regions.boxes) > 0).all()
    assert order[0] == min(order)


def test_every_source_scores_every_region(settings: RegionSettings, image: Image.Image) -> None:
    regions = RegionExtractor(settings)(image)
    assert regions.class_names == ("person", "red stuff", "segmenter:red stuff", "green stuff", "blue stuff")
    # The best score among raw boxes with IoU > 0.6, also of those that suppression removed.
    np.testing.assert_allclose(regions.class_probs[0, :2], [0.9, 0.1], rtol=1e-6)
    halves = [i for i, name in enumerate(regions.sources) if name == "segmenter"]
    red = regions.class_names.index("segmenter:red stuff")
    np.testing.assert_allclose(regions.class_probs[halves, red].max(), 1, atol=1e-3)
    np.testing.assert_allclose(regions.class_probs[2, [red, 4]], 2 / 3, atol=1e-3)  # p = 1/2, q = 1


def test_features_are_pooled_from_the_backbone(settings: RegionSettings, image: Image.Image) -> None:
    extractor = RegionExtractor(settings)
    assert extractor.feature_blocks == (("backbone/map", 3), ("colour", 36))
    regions = extractor(image)
    assert regions.features.shape[1] == sum(width for _, width in extractor.feature_blocks) == 39
    np.testing.assert_allclose(regions.features[0, :3], [1, -1, -1], atol=1e-5)  # (255 - 127.5) / 127.5
    np.testing.assert_allclose(regions.features[2, :3], [0, -1, 0], atol=1e-5)


def test_crops_and_texture_are_more_blocks(settings: RegionSettings, image: Image.Image) -> None:
    extractor = RegionExtractor(replace(settings, crops=True, texture=True, colour=False))
    assert [name for name, _ in extractor.feature_blocks] == ["backbone/map", "crop", "texture"]
    np.testing.assert_allclose(extractor(image).features[0, 3:6], [1, -1, -1], atol=1e-5)


def test_mean_and_deviation_of_the_metadata_are_used(tmp_path: Path, graphs: Any, image: Image.Image) -> None:
    path = graphs.averaging(tmp_path / "b.onnx", metadata={"mean": "0, 100, 200", "std": "255"})
    features = RegionExtractor(RegionSettings(backbone=path, backbone_size=64))(image).features
    np.testing.assert_allclose(features[0, :3], [0.5, -100 / 255, (127.5 - 200) / 255], atol=1e-4)


def test_a_union_of_two_persons_shows_persons(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.array([[[0, 0, 16, 40], [40, 0, 60, 40]]]), "scores": np.array([[[0.9], [0.7]]])}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata={"classes": "person"})
    settings = RegionSettings(detectors=(path,), detector_size=64, evidence_sizes=(), parts=0, nms=1)
    regions = RegionExtractor(settings)(Image.new("RGB", (64, 64)))
    union = regions.sources.index("union")
    np.testing.assert_allclose(regions.boxes[union], [0, 0, 60, 40])
    np.testing.assert_allclose(regions.class_probs[union], 0.7)


def test_two_detectors_take_turns_and_keep_their_scores_apart(tmp_path: Path, graphs: Any) -> None:
    paths = []
    for i, (box, score) in enumerate([([0, 0, 20, 20], 0.9), ([40, 40, 60, 60], 0.4)]):
        outputs = {"boxes": np.array([[box]]), "scores": np.array([[[score]]])}
        paths.append(graphs.constant(tmp_path / f"{i}.onnx", outputs, metadata={"classes": "cat"}))
    settings = RegionSettings(detectors=tuple(paths), detector_size=64, evidence_sizes=())
    regions = RegionExtractor(settings)(Image.new("RGB", (64, 64)))
    assert regions.class_names == ("cat", "detector2:cat")
    np.testing.assert_allclose(regions.class_probs[:2], [[0.9, 0], [0, 0.4]], rtol=1e-6)


def test_a_detector_without_class_names_takes_those_of_an_earlier_one(tmp_path: Path, graphs: Any) -> None:
    boxes = np.array([[[0, 0, 20, 20]]])
    named, unnamed, more = (
        graphs.constant(tmp_path / f"{name}.onnx", {"boxes": boxes, "scores": np.full((1, 1, k), 0.5)}, metadata=given)
        for name, k, given in [("a", 2, {"classes": "cat,dog"}), ("b", 2, {}), ("c", 3, {})]
    )
    extractor = RegionExtractor(RegionSettings(detectors=(named, unnamed)))
    assert extractor.class_names == ("cat", "dog", "detector2:cat", "detector2:dog")
    with pytest.raises(RegionsError, match="carries no class names"):
        RegionExtractor(RegionSettings(detectors=(named, more)))


def test_class_scores_are_the_mean_over_all_sizes(tmp_path: Path, graphs: Any) -> None:
    # Its boxes are constant in pixels of its input: at twice the size the second one lies where the first one lay.
    outputs = {"boxes": np.array([[[0, 0, 16, 40], [0, 0, 32, 80]]]), "scores": np.array([[[0.8], [0.4]]])}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata={"classes": "cat"})
    settings = RegionSettings(detectors=(path,), detector_size=64, evidence_sizes=(128,), parts=0)
    once = RegionExtractor(replace(settings, evidence_sizes=()))(Image.new("RGB", (64, 64)))
    both = RegionExtractor(settings)(Image.new("RGB", (64, 64)))
    np.testing.assert_array_equal(both.boxes, once.boxes)
    np.testing.assert_allclose(once.class_probs[0], 0.8)
    np.testing.assert_allclose(both.class_probs[0], (0.8 + 0.4) / 2)


def test_threads_do_not_change_the_regions(settings: RegionSettings, image: Image.Image) -> None:
    extractor = RegionExtractor(settings)
    alone = extractor(image)
    np.testing.assert_array_equal(RegionExtractor(settings, side_by_side=True)(image).features, alone.features)
    with ThreadPoolExecutor(4) as pool:
        for regions in pool.map(extractor, [image] * 16):
            np.testing.assert_array_equal(regions.features, alone.features)
            np.testing.assert_array_equal(regions.class_probs, alone.class_probs)
            np.testing.assert_array_equal(regions.boxes, alone.boxes)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (2000, 40)])
def test_odd_shapes_have_regions(settings: RegionSettings, size: tuple[int, int]) -> None:
    for chosen in (settings, RegionSettings.weight_free()):
        regions = RegionExtractor(chosen)(Image.new("RGB", size, (200, 30, 30)))
        assert "image" in regions.sources
        assert np.isfinite(regions.features).all()


def test_the_weight_free_regions_need_no_file(image: Image.Image) -> None:
    extractor = RegionExtractor(RegionSettings.weight_free())
    regions = extractor(image)
    assert extractor.class_names == ()
    assert [name for name, _ in extractor.feature_blocks] == ["colour", "texture"]
    assert box_arithmetic.iou(regions.boxes, np.array([[0, 0, 64, 128]], np.float32)).max() > 0.9


def test_a_segmenter_and_a_backbone_need_their_outputs(tmp_path: Path, graphs: Any) -> None:
    flat = graphs.constant(tmp_path / "flat.onnx", {"embedding": np.zeros((1, 4))})
    with pytest.raises(RegionsError, match=r"`logits`"):
        RegionExtractor(RegionSettings(segmenter=flat))
    with pytest.raises(RegionsError, match=r"no feature map; its outputs are embedding \[1, 4\]"):
        RegionExtractor(RegionSettings(backbone=flat))
    backbone = graphs.averaging(tmp_path / "b.onnx")
    with pytest.raises(RegionsError, match=r"no feature map 'c4'"):
        RegionExtractor(RegionSettings(backbone=backbone, feature_maps=("c4",)))


def test_images_of_other_modes_are_converted(image: Image.Image) -> None:
    extractor = RegionExtractor(RegionSettings(grid=2))
    grey = image.convert("L")
    np.testing.assert_array_equal(extractor(grey).features, extractor(grey.convert("RGB")).features)


def test_an_image_without_any_region_is_refused(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.ones((1, 1, 1))}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata={"classes": "cat"})
    settings = RegionSettings(detectors=(path,), whole_image=False, detector_size=64, evidence_sizes=())
    extractor = RegionExtractor(settings)
    with pytest.raises(NoRegionsError, match="No source proposed a region for this image; turn on whole_image"):
        extractor(Image.new("RGB", (64, 64)))
    assert extractor.feature_blocks == RegionExtractor(replace(settings, whole_image=True)).feature_blocks


def test_feature_maps_of_a_detector_can_be_left_out(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.ones((1, 1, 1)), "p3": np.ones((1, 5, 8, 8))}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata={"classes": "cat"})
    settings = RegionSettings(detectors=(path,), detector_size=64, evidence_sizes=(), colour=False, texture=False)
    assert RegionExtractor(settings).feature_blocks == (("p3", 5),)
    assert RegionExtractor(replace(settings, detector_features=False)).feature_blocks == ()


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (5000, 20), (1200, 2), (1, 700)])
def test_elongated_images_have_regions(size: tuple[int, int]) -> None:
    regions = RegionExtractor(RegionSettings.weight_free())(Image.new("RGB", size, (90, 120, 30)))
    assert len(regions) and np.isfinite(regions.features).all()


def test_an_image_that_cannot_be_described_is_skipped(
    examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = RegionExtractor._regions

    def fails_on_one(self: RegionExtractor, image: Image.Image, original_size: Any) -> Any:
        if image.width == 34:
            raise ZeroDivisionError("float division by zero")
        return described(self, image, original_size)

    monkeypatch.setattr(RegionExtractor, "_regions", fails_on_one)
    summary = extract(examples, RegionSettings(), tmp_path / "store", progress=False)
    assert summary.done == len(examples) - 1
    assert summary.skipped == (
        ("image4", "An image of 34 x 20 pixels cannot be described (ZeroDivisionError: float division by zero)."),
    )
