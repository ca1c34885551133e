"""Layouts of exported detectors: each is recognized, gets the image it was trained on, and gives the same two boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.detector_models import OnnxDetector

CLASSES = {"names": "{0: 'cat', 1: 'dog'}"}  # as exporters of Ultralytics write them
CELLS = 8 * 8 + 4 * 4 + 2 * 2  # of strides 8, 16 and 32 on 64 x 64 pixels
CAT, DOG = (32, 24, 16, 8), (40, 16, 8, 24)  # centre x, y, width, height in pixels of the input
CORNERS = np.array([[24, 20, 40, 28], [36, 4, 44, 28]])


def _rows(count: int, *columns: float, boxes: tuple[Any, ...] = (CAT, DOG)) -> np.ndarray:
    """`count` rows; the first is a cat (score 0.8) and the second a dog (0.6); `columns` precede the scores."""
    rows = np.zeros((1, count, 4 + len(columns) + 2))
    rows[..., :2] = boxes[0][:2]
    rows[..., 4 : 4 + len(columns)] = columns
    rows[0, :2, :4] = boxes
    rows[0, :2, -2:] = [[0.8, 0], [0, 0.6]]
    return rows


def _suppressed(count: int) -> np.ndarray:
    rows = np.zeros((1, count, 6))
    rows[0, :2] = [[*CORNERS[0], 0.8, 0], [*CORNERS[1], 0.6, 1]]
    return rows


LAYOUTS = {
    "YOLOv5": {"output0": _rows(3 * CELLS, 1.0)},
    "YOLOv6": {"outputs": _rows(CELLS, 1.0)},
    "YOLOv8": {"output0": _rows(CELLS).swapaxes(1, 2)},
    "YOLOv8, rows first": {"output0": _rows(CELLS)},
    "YOLOv10": {"output0": _suppressed(300)},
    "RT-DETR": {"output0": _rows(300, boxes=tuple(np.array([CAT, DOG]) / 64))},
    "RT-DETR, three outputs": {
        "labels": np.array([[0, 1]]), "boxes": CORNERS[None], "scores": np.array([[0.8, 0.6]])
    },
    "RF-DETR": {
        "dets": np.array([[CAT, DOG]]) / 64, "labels": np.array([[[np.log(4), -30], [-30, np.log(1.5)]]])
    },
    "DETR, other names": {
        "pred_boxes": np.array([[CAT, DOG]]) / 64, "pred_logits": np.array([[[np.log(4), -30], [-30, np.log(1.5)]]])
    },
    "torchvision": {"boxes": CORNERS, "labels": np.array([0, 1]), "scores": np.array([0.8, 0.6])},
    "EfficientNMS": {
        "num_dets": np.array([[2]]), "det_boxes": CORNERS[None], "det_scores": np.array([[0.8, 0.6]]),
        "det_classes": np.array([[0, 1]])
    },
    "TensorFlow": {
        "num_detections": np.array([2]), "detection_boxes": CORNERS[None][..., [1, 0, 3, 2]] / 64,
        "detection_scores": np.array([[0.8, 0.6]]), "detection_classes": np.array([[1, 2]])
    },
    "YOLOv7, end to end": {"output": np.array([[0, *CORNERS[0], 0, 0.8], [0, *CORNERS[1], 1, 0.6]])},
    "YOLO-NAS": {"pred_bboxes": CORNERS[None], "pred_scores": np.array([[[0.8, 0], [0, 0.6]]])},
}  # fmt: skip


def _detector(path: Path, graphs: Any, outputs: dict[str, np.ndarray], **options: Any) -> OnnxDetector:
    options = {"size": (64, 64), "metadata": CLASSES} | options
    return OnnxDetector(graphs.constant(path / "d.onnx", outputs, **options), longest=64)


def _view(width: int = 128, height: int = 128) -> View:
    return View(Image.new("RGB", (width, height), (255, 0, 0)), (width, height))


def _open_rows(layout: str, values: np.ndarray) -> list[Any]:
    if layout in ("torchvision", "YOLOv7, end to end"):  # no axis for images
        return ["n", *values.shape[1:]]
    return [1, "n", *values.shape[2:]][: values.ndim]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognized(tmp_path: Path, graphs: Any, layout: str, dynamic: bool) -> None:
    outputs = LAYOUTS[layout]
    # Exporters leave the number of rows open where they leave the size of the image open.
    declared = {
        name: [1, values.shape[1], "n"] if layout == "YOLOv8" else _open_rows(layout, values)
        for name, values in outputs.items()
    }
    detector = _detector(tmp_path, graphs, outputs, declared=declared if dynamic else None)
    for _ in range(2):  # the first image decides between layouts of one shape
        found = detector.detect(_view())
        best = np.argsort(-found.class_scores.max(axis=1), kind="stable")[:2]
        np.testing.assert_allclose(found.boxes[best], CORNERS * 2, atol=1e-4)
        np.testing.assert_allclose(found.class_scores[best], [[0.8, 0], [0, 0.6]], atol=1e-5)


def test_classes_of_tensorflow_are_counted_from_the_background_where_it_is_named(tmp_path: Path, graphs: Any) -> None:
    detector = _detector(tmp_path, graphs, LAYOUTS["TensorFlow"], metadata={"names": "['background', 'cat', 'dog']"})
    np.testing.assert_allclose(detector.detect(_view()).class_scores, [[0, 0.8, 0], [0, 0, 0.6]], atol=1e-5)


@pytest.mark.parametrize(("shape", "declared"), [((0, 7), ["n", 7]), ((1, 0, 6), [1, "n", 6])])
def test_a_detector_with_suppression_may_find_nothing(
    tmp_path: Path, graphs: Any, shape: tuple[int, ...], declared: list[Any]
) -> None:
    detector = _detector(tmp_path, graphs, {"output": np.zeros(shape)}, declared={"output": declared})
    assert len(detector.detect(_view()).boxes) == 0


@pytest.mark.parametrize(
    ("layout", "expected"),
    [("YOLOv5", [1, 0, 0]), ("YOLOv8", [1, 0, 0]), ("YOLOv10", [1, 0, 0]), ("RT-DETR", [1, 0, 0])],
)
def test_these_networks_see_rgb_in_0_to_1(
    tmp_path: Path, graphs: Any, layout: str, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = _detector(tmp_path, graphs, LAYOUTS[layout])
    seen = _seen(detector, monkeypatch)
    detector.detect(_view())
    assert seen[-1].shape == (1, 3, 64, 64)
    np.testing.assert_allclose(seen[-1][0, :, 0, 0], expected, atol=1e-6)


def _seen(detector: OnnxDetector, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The inputs of the network, in order."""
    network: Any = detector._network
    plain, seen = network._session, []

    class Session:
        def run(self, names: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
            seen.append(given[network._input])
            return plain.run(names, given)

    monkeypatch.setattr(network, "_session", Session())
    return seen


def test_segmentation_columns_after_the_classes_are_left_out(tmp_path: Path, graphs: Any) -> None:
    rows = np.concatenate([_rows(CELLS), np.full((1, CELLS, 3), 0.9)], axis=2).swapaxes(1, 2)
    found = _detector(tmp_path, graphs, {"o": rows}, metadata={**CLASSES, "task": "segment"}).detect(_view())
    np.testing.assert_allclose(found.class_scores[:2], [[0.8, 0], [0, 0.6]], atol=1e-5)


@pytest.mark.parametrize(
    ("boxes", "metadata"),
    [
        (CORNERS / 64, {"units": "fractions"}),
        (CORNERS[:, [1, 0, 3, 2]], {"boxes": "yxyx"}),
        ([CAT, DOG], {"boxes": "cxcywh"}),
        ([[24, 20, 16, 8], [36, 4, 8, 24]], {"boxes": "xywh"}),
    ],
)
def test_a_file_says_how_its_boxes_differ(tmp_path: Path, graphs: Any, boxes: Any, metadata: dict[str, str]) -> None:
    outputs = {"boxes": np.array(boxes)[None], "scores": np.array([[[3.0, -9], [-9, 1]]])}
    found = _detector(tmp_path, graphs, outputs, metadata=CLASSES | metadata | {"scores": "logits"}).detect(_view())
    np.testing.assert_allclose(found.boxes, CORNERS * 2, atol=1e-4)
    np.testing.assert_allclose(found.class_scores.max(axis=1), 1 / (1 + np.exp([-3.0, -1])), rtol=1e-5)


NAN = np.full((2, 4), np.nan)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (CORNERS / 64, [0.8, 0.6], r'fractions of the image.*d\.toml.*units = "fractions"'),
        (CORNERS[:, [2, 3, 0, 1]], [0.8, 0.6], r"100% of the best boxes end before they begin.*x1 y1 x2 y2"),
        ([CAT, DOG], [0.8, 0.6], r'boxes = "cxcywh"'),
        (NAN, [0.8, 0.6], r"NaN or infinity for every box"),
        (CORNERS, [np.nan, np.inf], r"NaN or infinity for every box"),
        (CORNERS, [4, -7], r'expected 0\.\.1.*scores = "logits"'),
    ],
)
def test_outputs_of_other_units_are_refused_with_the_fix(
    tmp_path: Path, graphs: Any, boxes: Any, scores: list[float], message: str
) -> None:
    outputs = {"boxes": np.array(boxes)[None], "scores": np.array(scores)[None, :, None] * [1, 1]}
    with pytest.raises(RegionsError, match=message):
        _detector(tmp_path, graphs, outputs).detect(_view())


def test_a_row_that_is_no_number_is_no_box(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.array([[CORNERS[0], [np.nan] * 4]]), "scores": np.array([[[0.8, 0], [0, 0.6]]])}
    found = _detector(tmp_path, graphs, outputs).detect(_view())
    np.testing.assert_allclose(found.class_scores, [[0.8, 0], [0, 0]], atol=1e-6)
    assert np.isfinite(found.boxes).all()


def test_a_class_without_a_name_is_refused(tmp_path: Path, graphs: Any) -> None:
    rows = _suppressed(300)
    rows[0, 1, 5] = 7
    with pytest.raises(RegionsError, match="class number 7, but 2 classes are named"):
        _detector(tmp_path, graphs, {"o": rows}).detect(_view())


def _mean_of_input(path: Path, kind: int, shape: list[Any], sizes: bool = False) -> Path:
    """A detector whose boxes are the mean of its input (twice the size input where there is one)."""
    inputs = [helper.make_tensor_value_info("images", kind, shape)]
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2] if shape[-1] == 3 else [2, 3], keepdims=0),
        helper.make_node("Concat", ["mean", "mean"], ["six"], axis=1),
        helper.make_node("Unsqueeze", ["six", "one"], ["scores"]),
    ]
    if sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["n", 2]))
        nodes += [
            helper.make_node("Cast", ["orig_target_sizes"], ["wh"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["wh", "zero"], ["origin"]),
            helper.make_node("Concat", ["origin", "wh"], ["four"], axis=1),
            helper.make_node("Unsqueeze", ["four", "one"], ["boxes"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["all"], ["boxes"]))
    results = [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 1, 4])]
    results.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, 6]))
    constants = {"one": np.array([1]), "zero": np.array([0], np.float32), "all": CORNERS[None, :1].astype(np.float32)}
    weights = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"classes": "a,b,c,d,e,f"})
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(TensorProto.FLOAT16, [1, 0, 0]), (TensorProto.DOUBLE, [1, 0, 0]), (TensorProto.UINT8, [255, 0, 0])],
)
@pytest.mark.parametrize("shape", [[1, 3, 64, 64], [1, 64, 64, 3], [1, "h", "w", 3]])
def test_inputs_of_other_types_and_orders_of_axes(
    tmp_path: Path, kind: int, expected: list[float], shape: list[Any]
) -> None:
    detector = OnnxDetector(_mean_of_input(tmp_path / "d.onnx", kind, shape), longest=64)
    detector._checked = True  # the mean of bytes is no score
    assert detector.any_size == ("h" in shape)
    found = detector.detect(_view())
    scores = np.array([expected * 2], np.float32).clip(0, 1)
    np.testing.assert_allclose(found.class_scores, scores, atol=1e-3)
    np.testing.assert_allclose(found.boxes, CORNERS[:1] * 2, atol=1e-4)


def test_a_network_that_asks_for_the_size_gets_that_of_its_input(tmp_path: Path) -> None:
    detector = OnnxDetector(_mean_of_input(tmp_path / "d.onnx", TensorProto.FLOAT, [1, 3, 32, 64], True), longest=64)
    np.testing.assert_allclose(detector.detect(_view(128, 64)).boxes, [[0, 0, 128, 64]], atol=1e-4)


def test_a_network_that_asks_for_a_mask_of_the_pixels_gets_one(tmp_path: Path) -> None:
    path = _mean_of_input(tmp_path / "d.onnx", TensorProto.FLOAT, [1, 3, 64, 64])
    model = onnx.load(str(path))
    model.graph.input.append(helper.make_tensor_value_info("pixel_mask", TensorProto.INT64, [1, 64, 64]))
    onnx.save(model, str(path))
    np.testing.assert_allclose(OnnxDetector(path, longest=64).detect(_view()).boxes, CORNERS[:1] * 2, atol=1e-4)


def test_a_fixed_number_of_images_and_suppressed_boxes_are_refused_with_the_fix(tmp_path: Path, graphs: Any) -> None:
    path = _mean_of_input(tmp_path / "d.onnx", TensorProto.FLOAT, [4, 3, 64, 64])
    with pytest.raises(RegionsError, match="takes 4 images at a time; export it for one, or for any number"):
        OnnxDetector(path, longest=64)
    outputs = {"dets": np.zeros((1, 3, 5)), "labels": np.zeros((1, 3))}  # of MMDeploy
    with pytest.raises(RegionsError, match=r"Export .* without its suppression of overlapping boxes \(NMS\)"):
        _detector(tmp_path, graphs, outputs)


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.FLOAT])
def test_other_inputs_are_refused(tmp_path: Path, kind: int) -> None:
    channels = 3 if kind == TensorProto.INT32 else 1
    with pytest.raises(
        RegionsError, match=r"type int32; expected float|\[1, 1, 64, 64\]; expected a single image input"
    ):
        OnnxDetector(_mean_of_input(tmp_path / "d.onnx", kind, [1, channels, 64, 64]), longest=64)


def _with_data(folder: Path, graphs: Any, value: float) -> Path:
    """A detector whose weights are in `model.onnx.data` beside it, as PyTorch's exporter writes them."""
    folder.mkdir()
    outputs = {"boxes": np.full((1, 50, 4), value), "scores": np.full((1, 50, 2), 0.5)}
    whole = onnx.load(str(graphs.constant(folder / "whole.onnx", outputs, metadata=CLASSES)))
    (folder / "whole.onnx").unlink()
    path = folder / "model.onnx"
    onnx.save_model(whole, str(path), save_as_external_data=True, location="model.onnx.data", size_threshold=64)
    return path


def test_weights_beside_a_model_are_copied_with_it_and_count_in_the_fingerprint(tmp_path: Path, graphs: Any) -> None:
    first, second = (_with_data(tmp_path / name, graphs, value) for name, value in (("a", 10), ("b", 20)))
    settings = RegionSettings(detectors=(first, second))
    copied = settings.copied_to(tmp_path / "run").copied_to(tmp_path / "again")  # each has weights of the same name
    assert copied.fingerprint() == settings.fingerprint()
    boxes = [OnnxDetector(path, longest=64).detect(_view(64, 64)).boxes[0, 0] for path in copied.detectors]
    assert boxes == [10, 20]
    first.with_name("model.onnx.data").write_bytes(second.with_name("model.onnx.data").read_bytes())
    assert RegionSettings(detectors=(first, second)).fingerprint() != copied.fingerprint()


def test_weights_that_are_missing_are_named(tmp_path: Path, graphs: Any) -> None:
    path = _with_data(tmp_path / "a", graphs, 10)
    path.with_name("model.onnx.data").unlink()
    for use in (lambda: OnnxDetector(path, longest=64), RegionSettings(detectors=(path,)).fingerprint):
        with pytest.raises(RegionsError, match=r"model\.onnx keeps its weights in .*model\.onnx\.data, which does not"):
            use()
