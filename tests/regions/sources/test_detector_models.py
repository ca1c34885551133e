"""Each detector layout, read from a small graph whose boxes are known, and cached detectors of transformers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.image_view import View
from unboxed.regions.sources.detector_layouts import detr_scores
from unboxed.regions.sources.detector_models import OnnxDetector, cached_detector

CLASSES = {"classes": "cat\ndog"}


def view(width: int, height: int, original: tuple[int, int] | None = None) -> View:
    return View(Image.new("RGB", (width, height), (255, 0, 0)), original or (width, height))


def test_boxes_and_scores_come_back_in_image_pixels(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.array([[[8, 16, 40, 32]]]), "scores": np.array([[[0.9, 0.1]]])}
    detector = OnnxDetector(graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES), longest=64)
    assert detector.class_names == ("cat", "dog")
    # 128 x 64 pixels are shown as 64 x 32, so a pixel of the input is two of the image.
    found = detector.detect(view(128, 64))
    np.testing.assert_allclose(found.boxes, [[16, 32, 80, 64]])
    np.testing.assert_allclose(found.class_scores, [[0.9, 0.1]])


def test_a_squashed_image_is_shown_in_its_original_shape(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.array([[[0, 0, 32, 32]]]), "scores": np.array([[[1.0, 0.0]]])}
    detector = OnnxDetector(graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES), longest=64)
    # Stored 64 x 64, originally twice as wide as high: shown as 64 x 32, so y counts double in the stored pixels.
    found = detector.detect(view(64, 64, original=(400, 200)))
    np.testing.assert_allclose(found.boxes, [[0, 0, 32, 64]])


@pytest.mark.parametrize("decoded", [False, True])
def test_yolox(tmp_path: Path, graphs: Any, decoded: bool) -> None:
    if decoded:
        rows = np.zeros((1, graphs.cells, 7), np.float32)
        rows[0, 5] = [20, 28, 16, 8, 1, 0.25, 0.5]
    else:
        rows = graphs.undecoded_yolox((20, 28), (16, 8), [0.25, 0.5])
    metadata = {**CLASSES, "decoded": str(decoded).lower()}
    path = graphs.constant(tmp_path / "d.onnx", {"output": rows}, size=(64, 64), metadata=metadata)
    found = OnnxDetector(path, longest=999).detect(view(128, 128))
    best = found.class_scores.max(axis=1).argmax()
    np.testing.assert_allclose(found.boxes[best], [24, 48, 56, 64], rtol=1e-5)
    np.testing.assert_allclose(found.class_scores[best], [0.25, 0.5])


def test_yolox_rows_that_are_no_cells_are_refused(tmp_path: Path, graphs: Any) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"o": np.zeros((1, 83, 7))}, size=(64, 64), metadata=CLASSES)
    with pytest.raises(RegionsError, match=r"83 rows .* 84 cells .* `decoded`"):
        OnnxDetector(path, longest=64).detect(view(64, 64))


def test_detr(tmp_path: Path, graphs: Any) -> None:
    logits = np.log(np.array([[[0.7, 0.2, 0.1]]]))
    outputs = {"logits": logits, "pred_boxes": np.array([[[0.5, 0.5, 0.5, 1.0]]])}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES)
    found = OnnxDetector(path, longest=64).detect(view(100, 60))
    np.testing.assert_allclose(found.boxes, [[25, 0, 75, 60]])
    np.testing.assert_allclose(found.class_scores, [[0.7, 0.2]], rtol=1e-5)  # the last column is “no object”


def test_detr_with_as_many_columns_as_classes_has_sigmoid_scores() -> None:
    np.testing.assert_allclose(detr_scores(np.zeros((3, 2), np.float32), classes=2), np.full((3, 2), 0.5))


def test_four_axes_are_a_feature_map_over_the_padded_input(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.zeros((1, 1, 2)), "p3": np.zeros((1, 5, 8, 8))}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES)
    (plane,) = OnnxDetector(path, longest=64).detect(view(128, 96)).maps
    assert (plane.name, plane.values.shape) == ("p3", (5, 8, 8))
    assert plane.window == (0, 0, 128, 128)  # 64 x 48 padded to 64 x 64


@pytest.mark.parametrize(
    "outputs",
    [
        {"out": np.zeros((1, 100, 4))},
        {"a": np.zeros((1, 100, 4)), "b": np.zeros((1, 100, 2))},
        {"classes": np.zeros((1, 10))},
        {"out": np.zeros((1, 30, 100))},  # YOLOv8 of 26 classes, of which two are named
    ],
)
def test_an_unknown_layout_is_named_with_the_known_ones(
    tmp_path: Path, graphs: Any, outputs: dict[str, np.ndarray]
) -> None:
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES)
    with pytest.raises(RegionsError) as error:
        OnnxDetector(path, longest=64)
    for part in (*outputs, "`boxes`", "YOLOX", "`pred_boxes`"):
        assert part in str(error.value)


def test_class_names_come_from_a_file_or_the_metadata_and_must_be_as_many(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.zeros((1, 1, 2))}
    bare = graphs.constant(tmp_path / "bare.onnx", outputs)
    with pytest.raises(RegionsError, match="carries no class names"):
        OnnxDetector(bare, longest=64)
    names = tmp_path / "names.txt"
    names.write_text("cat\r\ntraffic light\n", encoding="utf-8")
    assert OnnxDetector(bare, longest=64, class_file=names).class_names == ("cat", "traffic light")
    names.write_text("cat\n", encoding="utf-8")
    with pytest.raises(RegionsError, match=r"puts out 2 classes, but .*names 1"):
        OnnxDetector(bare, longest=64, class_file=names)


def test_detr_class_names_decide_between_softmax_and_sigmoid(tmp_path: Path, graphs: Any) -> None:
    outputs = {"logits": np.zeros((1, 1, 3)), "pred_boxes": np.zeros((1, 1, 4))}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata={"classes": "cat\ndog\ncow"})
    np.testing.assert_allclose(OnnxDetector(path, longest=64).detect(view(8, 8)).class_scores, [[0.5] * 3])
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata={"classes": "cat"})
    with pytest.raises(RegionsError, match="3 class columns, so 2 or 3 class names are expected, but 1 are given"):
        OnnxDetector(path, longest=64)


def test_a_detector_whose_class_axis_is_not_fixed_is_checked_when_it_runs(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.zeros((1, 1, 2))}
    detector = OnnxDetector(graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES), longest=64)
    detector.class_names = ("cat",)
    with pytest.raises(RegionsError, match="puts out 2 classes, but 1 are named"):
        detector.detect(view(8, 8))


def _cached(
    cache: Path, name: str = "boxes", model_type: str = "yolos", architecture: str = "YolosForObjectDetection"
) -> Path:
    """The files of a model as the Hugging Face cache has them, without content."""
    pytest.importorskip("transformers", reason="the hf extra is not installed")
    snapshot = cache / f"models--someone--{name}" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": model_type, "architectures": [architecture]}))
    for file in ("preprocessor_config.json", "model.safetensors"):
        (snapshot / file).touch()
    return snapshot


def test_the_detector_that_was_downloaded_last_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert cached_detector() is None
    snapshots = [_cached(tmp_path, name) for name in ("first", "last", "second")]
    for snapshot, time in zip(snapshots, (1, 3, 2), strict=True):
        os.utime(snapshot / "config.json", (time, time))
    assert cached_detector() == snapshots[1]
    (snapshots[1] / "model.safetensors").unlink()
    assert cached_detector() == snapshots[2]


def test_the_cache_is_where_the_hub_library_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    snapshot = _cached(tmp_path / "hub")
    assert cached_detector() == snapshot
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cached_detector() is None


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [("grounding-dino", "GroundingDinoForObjectDetection"), ("yolos", "YolosModel"), ("bert", "BertForMaskedLM")],
)
def test_models_that_are_no_detectors_of_fixed_classes_are_ignored(
    kind: str, architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = _cached(tmp_path, model_type=kind, architecture=architecture)
    assert cached_detector() is None
    for text in ("{", "[]"):
        (snapshot / "config.json").write_text(text)
        assert cached_detector() is None


def test_without_transformers_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    _cached(tmp_path)
    monkeypatch.setattr("unboxed.regions.sources.detector_models.find_spec", lambda name: None)
    assert cached_detector() is None
