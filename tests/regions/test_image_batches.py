"""Batches of images: what a model finds in an image alone and among others, and which images form a batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.regions.zero_shot_models import image_processor, save_grounding_dino, save_owl

from unboxed.regions import image_batches
from unboxed.regions.features.backbones import TransformersBackbone
from unboxed.regions.image_batches import ImageBatches
from unboxed.regions.image_view import View
from unboxed.regions.sources.detector_models import TransformersDetector
from unboxed.regions.sources.zero_shot import ZeroShotDetector

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SIZES = [(60, 40), (60, 40), (40, 60), (60, 40), (50, 50), (60, 40)]


def yolos(library: Any, folder: Path) -> Path:
    config = library.YolosConfig(**SMALL, image_size=[32, 64], patch_size=16, num_detection_tokens=5)
    library.YolosForObjectDetection(config).save_pretrained(folder)
    image_processor(library, "Yolos", size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)
    return folder


def resnet(library: Any, folder: Path) -> Path:
    config = library.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    library.ResNetModel(config).save_pretrained(folder)
    image_processor(library, "ConvNext", size={"shortest_edge": 32}).save_pretrained(folder)
    return folder


def opened(model: str, library: Any, folder: Path) -> tuple[ImageBatches, Callable[[View], list[np.ndarray]]]:
    """The batches of a model, and what it finds in an image."""
    if model == "resnet":
        backbone = TransformersBackbone(str(resnet(library, folder)), longest=64)
        return backbone._hidden, lambda view: [backbone.maps(view)[0].values]
    detector: TransformersDetector | ZeroShotDetector
    if model == "yolos":
        detector = TransformersDetector(str(yolos(library, folder)))
        batches = detector._found
    else:
        saved = save_grounding_dino(library, folder) if model == "dino" else save_owl(library, folder, "Owlv2")
        detector = ZeroShotDetector(str(saved), ("dog", "red hat"))
        batches = detector._model._found

    def found(view: View) -> list[np.ndarray]:
        detections = detector.detect(view)
        return [detections.boxes, detections.class_scores]

    return batches, found


def all_at_once(batches: ImageBatches, work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """The results of threads that all wait for the model before it runs."""
    with ThreadPoolExecutor(len(items)) as threads:
        with batches._running:
            results = [threads.submit(work, item) for item in items]
            while len(batches._waiting) < len(items) and not any(result.done() for result in results):
                time.sleep(0.001)
        return [result.result() for result in results]


@pytest.mark.parametrize("model", ["yolos", "owlv2", "dino", "resnet"])
def test_an_image_among_others_has_the_regions_of_the_image_alone(
    model: str, library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_batches, "_LARGEST_BATCH_ON_CPU", 3)
    batches, found = opened(model, library, tmp_path / model)
    sizes: list[int] = []
    run = batches._run

    def counted(inputs: dict[str, Any], asked: Any) -> tuple[Any, ...]:
        sizes.append(len(inputs["pixel_values"]))
        return run(inputs, asked)

    monkeypatch.setattr(batches, "_run", counted)
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in SIZES]
    views = [View(image, image.size) for image in images]
    alone = [found(view) for view in views]
    assert sizes == [1] * len(views)
    together = all_at_once(batches, found, views)
    fixed = model in ("owlv2", "dino")  # all inputs have one size
    assert sorted(sizes[len(views) :]) == ([3, 3] if fixed else [1, 1, 1, 3])
    for one, other in zip(alone, together, strict=True):
        for expected, value in zip(one, other, strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_a_failing_image_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def inverse(inputs: dict[str, Any], asked: Any) -> tuple[Any]:
        if (inputs["x"] == 0).any():
            raise ValueError("no inverse of 0")
        return (1 / inputs["x"],)

    monkeypatch.setattr(image_batches, "_LARGEST_BATCH_ON_CPU", 8)
    batches = ImageBatches(inverse, torch.device("cpu"))

    def answer(number: float) -> float | str:
        try:
            return float(batches({"x": torch.tensor([[number]])})[0][0])
        except ValueError as error:
            return str(error)

    assert all_at_once(batches, answer, [1.0, 0.0, 4.0]) == [1.0, "no inverse of 0", 0.25]


def test_threads_on_the_cpu_do_not_wait_for_each_other() -> None:
    import torch

    batches = ImageBatches(lambda inputs, asked: (inputs["x"] * asked,), torch.device("cpu"))
    with batches._running:
        assert batches({"x": torch.ones(1, 2)}, 3)[0].tolist() == [3, 3]
