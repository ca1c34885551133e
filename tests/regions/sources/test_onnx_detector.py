"""Each detector layout, read from a small graph whose boxes are known in the image's pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.image_view import View
from unboxed.regions.networks import Network, class_list
from unboxed.regions.sources.onnx_detector import OnnxDetector, detr_scores

CLASSES = {"classes": "cat\ndog"}


def view(width: int, height: int, original: tuple[int, int] | None = None) -> View:
    return View(Image.new("RGB", (width, height), (255, 0, 0)), original or (width, height))


def test_boxes_and_scores_come_back_in_image_pixels(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.array([[[8, 16, 40, 32]]]), "scores": np.array([[[0.9, 0.1]]])}
    detector = OnnxDetector.open(graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES), longest=64)
    assert (detector.layout, detector.class_names) == ("boxes+scores", ("cat", "dog"))
    # 128 x 64 pixels are shown as 64 x 32, so a pixel of the input is two of the image.
    found = detector.detect(view(128, 64))
    np.testing.assert_allclose(found.boxes, [[16, 32, 80, 64]])
    np.testing.assert_allclose(found.class_scores, [[0.9, 0.1]])


def test_a_squashed_image_is_shown_in_its_original_shape(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.array([[[0, 0, 32, 32]]]), "scores": np.array([[[1.0, 0.0]]])}
    detector = OnnxDetector.open(graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES), longest=64)
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
    found = OnnxDetector.open(path, longest=999).detect(view(128, 128))
    best = found.class_scores.max(axis=1).argmax()
    np.testing.assert_allclose(found.boxes[best], [24, 48, 56, 64], rtol=1e-5)
    np.testing.assert_allclose(found.class_scores[best], [0.25, 0.5])


def test_yolox_rows_that_are_no_cells_are_refused(tmp_path: Path, graphs: Any) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"o": np.zeros((1, 83, 7))}, size=(64, 64), metadata=CLASSES)
    with pytest.raises(RegionsError, match=r"83 rows .* 84 cells .* `decoded`"):
        OnnxDetector.open(path, longest=64).detect(view(64, 64))


def test_detr(tmp_path: Path, graphs: Any) -> None:
    logits = np.log(np.array([[[0.7, 0.2, 0.1]]]))
    outputs = {"logits": logits, "pred_boxes": np.array([[[0.5, 0.5, 0.5, 1.0]]])}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES)
    found = OnnxDetector.open(path, longest=64).detect(view(100, 60))
    np.testing.assert_allclose(found.boxes, [[25, 0, 75, 60]])
    np.testing.assert_allclose(found.class_scores, [[0.7, 0.2]], rtol=1e-5)  # the last column is “no object”


def test_detr_with_as_many_columns_as_classes_has_sigmoid_scores() -> None:
    np.testing.assert_allclose(detr_scores(np.zeros((3, 2), np.float32), classes=2), np.full((3, 2), 0.5))


def test_four_axes_are_a_feature_map_over_the_padded_input(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.zeros((1, 1, 2)), "p3": np.zeros((1, 5, 8, 8))}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES)
    (plane,) = OnnxDetector.open(path, longest=64).detect(view(128, 96)).maps
    assert (plane.name, plane.values.shape) == ("p3", (5, 8, 8))
    assert plane.window == (0, 0, 128, 128)  # 64 x 48 padded to 64 x 64


@pytest.mark.parametrize(
    "outputs",
    [
        {"out": np.zeros((1, 6, 100))},  # transposed, as YOLOv8 writes it
        {"out": np.zeros((1, 100, 4))},
        {"a": np.zeros((1, 100, 4)), "b": np.zeros((1, 100, 2))},
        {"classes": np.zeros((1, 10))},
    ],
)
def test_an_unknown_layout_is_named_with_the_known_ones(
    tmp_path: Path, graphs: Any, outputs: dict[str, np.ndarray]
) -> None:
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata=CLASSES)
    with pytest.raises(RegionsError) as error:
        OnnxDetector.open(path, longest=64)
    for said in (*outputs, "`boxes`", "YOLOX", "`pred_boxes`"):
        assert said in str(error.value)


def test_class_names_come_from_a_file_or_the_metadata_and_must_be_as_many(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.zeros((1, 1, 2))}
    bare = graphs.constant(tmp_path / "bare.onnx", outputs)
    with pytest.raises(RegionsError, match="carries no class names"):
        OnnxDetector.open(bare, longest=64)
    names = tmp_path / "names.txt"
    names.write_text("cat\r\ntraffic light\n", encoding="utf-8")
    assert OnnxDetector.open(bare, longest=64, class_file=names).class_names == ("cat", "traffic light")
    names.write_text("cat\n", encoding="utf-8")
    with pytest.raises(RegionsError, match=r"puts out 2 classes, but .*names 1"):
        OnnxDetector.open(bare, longest=64, class_file=names)


@pytest.mark.parametrize(
    "text", ["cat\ndog", "cat,dog", '["cat", "dog"]', "{0: 'cat', 1: 'dog'}", '{"1": "dog", "0": "cat"}']
)
def test_class_names_in_the_ways_exporters_write_them(tmp_path: Path, graphs: Any, text: str) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"x": np.zeros((1, 2))}, metadata={"names": text})
    assert class_list(Network.open(path), None, 2) == ("cat", "dog")


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="no model file"):
        Network.open(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(RegionsError, match="cannot be opened as an ONNX graph"):
        Network.open(tmp_path / "text.onnx")
