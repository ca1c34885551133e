"""Small public detectors, a segmenter and a backbone on real images; skipped where these are not stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from PIL import Image

from unboxed import boxes as box_arithmetic
from unboxed.cli.region_options import RegionOptions
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.detector_models import OnnxDetector


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> Path:
    folder = shared_data / "weights"
    if not (folder / "nanodet_plus_m_416_coco80.onnx").is_file():
        pytest.skip(f"no models: {folder} has no nanodet_plus_m_416_coco80.onnx")
    return folder


@pytest.fixture(scope="module")
def annotated(shared_data: Path) -> list[tuple[Image.Image, np.ndarray]]:
    """Images with one large person each, and the person's box."""
    import json

    folder = shared_data / "data" / "coco_small"
    if not (folder / "coco_small.json").is_file():
        pytest.skip(f"no images with boxes: {folder} has no coco_small.json")
    return _with_one_person(folder, json.loads((folder / "coco_small.json").read_text(encoding="utf-8")))


def test_the_detectors_find_the_person(weights: Path, annotated: list[tuple[Image.Image, np.ndarray]]) -> None:
    names = weights / "labels" / "coco80.txt"
    for file in ("nanodet_plus_m_416_coco80.onnx", "yolox_nano_416_coco80.onnx"):
        detector = OnnxDetector(weights / file, 448, names)
        person = detector.class_names.index("person")
        hits = 0
        for image, gold in annotated:
            found = detector.detect(View(image, image.size))
            best = found.boxes[[found.class_scores[:, person].argmax()]]
            hits += bool(box_arithmetic.iou(best, gold)[0, 0] > 0.5)
        assert hits >= 0.8 * len(annotated), f"{file} found {hits} of {len(annotated)} persons"


def test_all_of_them_together(weights: Path, annotated: list[tuple[Image.Image, np.ndarray]]) -> None:
    extractor = RegionExtractor(
        RegionSettings(
            detectors=(weights / "nanodet_plus_m_416_coco80.onnx",),
            segmenter=weights / "deeplabv3_mnv2_ade32.onnx",
            backbone=weights / "mobilenet_edgetpu_imagenet1001.onnx",
        )
    )
    assert extractor.feature_blocks == (("backbone/fm32", 1280), ("backbone/fm16", 768), ("colour", 36))
    for image, gold in annotated[:3]:
        regions = extractor(image)
        overlap = box_arithmetic.iou(regions.boxes, gold)[:, 0]
        assert overlap.max() > 0.6
        assert len(regions) <= 64
        assert regions.names[int(overlap.argmax())] == "person"
        # Stored squashed, with its original size given, it has nearly the same regions: only the resampling differs.
        squashed = extractor(image.resize((224, 224)), image.size)
        factors = np.array([image.width / 224, image.height / 224] * 2, np.float32)
        assert box_arithmetic.iou(squashed.boxes[:1] * factors, regions.boxes[:3]).max() > 0.8


def _with_one_person(folder: Path, listing: dict[str, list[dict[str, Any]]]) -> list[tuple[Image.Image, np.ndarray]]:
    """Up to ten images with exactly one person, who fills more than a tenth of the image."""
    chosen = []
    for entry in listing["images"]:
        persons = [thing["bbox_xywh"] for thing in entry["objects"] if thing["category"] == "person"]
        scale = entry["stored_width"] / entry["orig_width"]
        x, y, width, height = (value * scale for value in persons[0]) if persons else (0, 0, 0, 0)
        if len(persons) == 1 and width * height > 0.1 * entry["stored_width"] * entry["stored_height"]:
            box = np.array([[x, y, x + width, y + height]], np.float32)
            chosen.append((Image.open(folder / "images" / entry["file_name"]).convert("RGB"), box))
    return chosen[:10]


def test_the_regions_of_the_best_result(weights: Path, annotated: list[tuple[Image.Image, np.ndarray]]) -> None:
    """`docs/results.md` names the models of its best result by file name."""
    lines = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    (options,) = [line.removeprefix("regions: `").rstrip("`") for line in lines if line.startswith("regions: `")]
    arguments = [str(weights / word) if (weights / word).is_file() else word for word in options.split()]
    settings = tyro.cli(RegionOptions, args=arguments)
    assert sum(word.endswith(".onnx") for word in options.split()) == len(settings.model_files)
    assert all(path.is_file() for path in settings.model_files.values())
    extractor = RegionExtractor(RegionSettings(**vars(settings)))
    assert "labeler" in dict(extractor.feature_blocks)
    image, gold = annotated[0]
    assert box_arithmetic.iou(extractor(image).boxes, gold).max() > 0.5
