"""The layouts in which exporters write detectors as ONNX files: how the image is given, and how the outputs are read.

    boxes + scores   `boxes` [1, N, 4] x1 y1 x2 y2 in input pixels, `scores` [1, N, K] in 0..1 (NanoDet and others).
                     Also `pred_bboxes` and `pred_scores` (YOLO-NAS).
                     Input RGB 0..1, original shape, padded with grey 114. The metadata `boxes` (`xyxy`, `yxyx`, `xywh`,
                     `cxcywh`), `units` (`pixels`, `fractions`) and `scores` (`logits`) declare where a file differs.
    YOLOX            one output [1, N, 5 + K]: centre x, y, width, height, objectness, class scores, a row for each cell
                     of strides 8, 16 and 32; undecoded, or decoded. Input BGR 0..255, in the upper left, padded.
    YOLOv5           the same columns (YOLOv7 too), decoded, with three rows for each cell. Input RGB 0..1, padded.
    YOLOv6           the same columns, decoded, a row for each cell, objectness 1. Input RGB 0..1, padded.
    YOLOv8           one output [1, 4 + K, N] (YOLOv9, 11 and 12 too) or [1, N, 4 + K]: centre x, y, width, height in
                     input pixels, class scores. Input RGB 0..1, padded.
    YOLOv10          one output [1, N, 6]: x1 y1 x2 y2 in input pixels, score, class; also every model that was exported
                     with its suppression. Input RGB 0..1, padded.
    RT-DETR          one output [1, N, 4 + K] with centre x, y, width, height in 0..1 and scores; or `boxes` [1, N, 4]
                     in pixels, `scores` and `labels` [1, N]. Input RGB 0..1, not padded.
    torchvision      `boxes` [N, 4] x1 y1 x2 y2 in input pixels, `labels` and `scores` [N]. Input RGB 0..1, padded.
    EfficientNMS     `det_boxes` [1, N, 4] x1 y1 x2 y2 in input pixels, `det_scores` and `det_classes` [1, N]. Input
                     RGB 0..1, padded.
    TensorFlow       `detection_boxes` [1, N, 4] y1 x1 y2 x2 in 0..1, `detection_scores` and `detection_classes` [1, N],
                     counted from 1 unless the first name is the background. Input RGB 0..1 or uint8, not padded.
    YOLOv7           one output [n, 7], exported with its suppression: image, x1 y1 x2 y2 in input pixels, class, score.
                     Input RGB 0..1, padded.
    DETR             `logits` [1, Q, K + 1] (last class: no object) or [1, Q, K] (sigmoid), `pred_boxes` [1, Q, 4]
                     centre x, y, width, height in 0..1; `labels` and `dets` in RF-DETR, `pred_logits` elsewhere. Input
                     RGB with ImageNet mean and deviation, not padded.

Shapes and the number of class names leave one to three layouts, and the values for the first image decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unboxed.errors import RegionsError
from unboxed.regions.image_view import SizedImage
from unboxed.regions.networks import Network
from unboxed.types import Array

__all__ = ["EXPECTED", "Given", "Layout", "Rows", "corners", "detr_scores", "layouts_of"]

EXPECTED = (
    "Expected `boxes` [1, N, 4] and `scores` [1, N, K]; or one output [1, N, 5 + K] (YOLOX, YOLOv5), [1, 4 + K, N] "
    "(YOLOv8), [1, N, 6] (YOLOv10) or [1, N, 4 + K] (RT-DETR); or `logits` [1, Q, K + 1] and `pred_boxes` [1, Q, 4] "
    "(DETR); or boxes, scores and labels of one class each (torchvision, TensorFlow)."
)

_IMAGENET_MEAN: Array = np.array([123.675, 116.28, 103.53], np.float32)
_IMAGENET_SCALE: Array = np.array([1 / 58.395, 1 / 57.12, 1 / 57.375], np.float32)
_STRIDES = (8, 16, 32)
_DETR = (("logits", "pred_boxes"), ("pred_logits", "pred_boxes"), ("labels", "dets"))
_ONE_CLASS_EACH = ("boxes", "scores", "labels")
_EFFICIENT_NMS = ("det_boxes", "det_scores", "det_classes")
_TENSORFLOW = ("detection_boxes", "detection_scores", "detection_classes")
_BACKGROUND = ("background", "__background__", "???", "n/a")
_BOXES_AND_SCORES = (("boxes", "scores"), ("pred_bboxes", "pred_scores"), ("pred_boxes", "pred_scores"))


class Rows(NamedTuple):
    """Boxes `[N, 4]` x1 y1 x2 y2 and class scores `[N, K]`."""

    boxes: Array
    scores: Array


class Given(NamedTuple):
    """What the reading of outputs may depend on: the input image, the network, and the class names."""

    sized: SizedImage
    network: Network
    names: tuple[str, ...]

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.names)


Read = Callable[[list[Array], Given], Rows]
Fits = Callable[[Array, Given], bool]


@dataclass(frozen=True)
class Layout:
    """One layout of a file.

    Attributes:
        name: its name, as in the list above.
        outputs: the outputs that are read, in order.
        columns: columns of class scores; None: not fixed by the graph.
        read: the boxes and scores from the outputs of one image, without their first axis.
        fits: whether the first output of an image can be of this layout.
        bgr: the input is BGR 0..255 instead of RGB 0..1.
        imagenet: the input is RGB normalized with ImageNet's mean and deviation.
        stretched: the image is stretched to the size of the input instead of padded.
        fractions: boxes are fractions of the image instead of pixels of the input.
        batched: the outputs have a first axis for images.
    """

    name: str
    outputs: tuple[str, ...]
    columns: int | None
    read: Read
    fits: Fits = lambda output, given: True
    bgr: bool = False
    imagenet: bool = False
    stretched: bool = False
    fractions: bool = False
    batched: bool = True

    def run(self, network: Network, sized: SizedImage, maps: list[str]) -> list[Array]:
        """The outputs `outputs` and `maps` for one image, without an axis for images."""
        pixels = sized.pixels[:, :, ::-1] if self.bgr else sized.pixels
        mean, scale = (_IMAGENET_MEAN, _IMAGENET_SCALE) if self.imagenet else (0.0, 1.0 if self.bgr else 1 / 255)
        outputs = network.run(pixels, mean, scale, [*self.outputs, *maps])
        return [values[0] if self.batched or i >= len(self.outputs) else values for i, values in enumerate(outputs)]


def layouts_of(network: Network) -> list[Layout]:
    """The layouts that the names and shapes of a graph's outputs allow.

    Raises:
        RegionsError: there is none.
    """
    shapes = dict(network.outputs)
    axes = {name: len(shape) for name, shape in network.outputs}
    rows = {name: shape for name, shape in network.outputs if len(shape) == 3}
    found: list[Layout] = []
    detr = next((pair for pair in _DETR if rows.keys() >= set(pair)), None)
    listed = next((pair for pair in _BOXES_AND_SCORES if rows.keys() >= set(pair)), None)
    if detr is not None:
        found = [_detr(network, *detr)]
    elif one_class_each := _one_class_each(axes):
        found = [one_class_each]
    elif listed is not None and shapes[listed[0]][2] in (4, None):
        fractions = network.metadata.get("units", "pixels") == "fractions"
        found = [Layout("boxes + scores", listed, shapes[listed[1]][2], _boxes_and_scores, fractions=fractions)]
    elif len(rows) == 1 and "labels" not in shapes:
        ((name, (_, first, last)),) = rows.items()
        found = _single(network, name, first, last)
    elif len(shapes) == 1 and len(network.outputs[0][1]) == 2 and network.outputs[0][1][1] == 7:
        found = [Layout("YOLOv7", tuple(shapes), None, _end_to_end, batched=False)]
    if not found:
        suppressed = any("num" in name or "label" in name or "class" in name for name in shapes)
        how = ", without its suppression of overlapping boxes (NMS)" if suppressed else ""
        raise RegionsError(
            f"{network.path} has the outputs {network.describe_outputs()}, which is no detector layout known here. "
            f"{EXPECTED} Export the model again with one of these{how}."
        )
    return found


def _detr(network: Network, logits: str, boxes: str) -> Layout:
    columns = dict(network.outputs)[logits][2]
    return Layout("DETR", (logits, boxes), columns, _detr_rows, imagenet=True, stretched=True, fractions=True)


def _one_class_each(axes: dict[str, int]) -> Layout | None:
    """The layout of boxes with a score and a class each, by the number of axes of each output."""
    if [axes.get(name) for name in _ONE_CLASS_EACH] == [3, 2, 2]:
        return Layout("RT-DETR", _ONE_CLASS_EACH, None, _listed, stretched=True)
    if [axes.get(name) for name in _ONE_CLASS_EACH] == [2, 1, 1]:
        return Layout("torchvision", _ONE_CLASS_EACH, None, _listed, batched=False)
    if [axes.get(name) for name in _EFFICIENT_NMS] == [3, 2, 2]:
        return Layout("EfficientNMS", _EFFICIENT_NMS, None, _listed)
    if [axes.get(name) for name in _TENSORFLOW] == [3, 2, 2]:
        return Layout("TensorFlow", _TENSORFLOW, None, _tensorflow, stretched=True, fractions=True)
    return None


def _single(network: Network, name: str, first: int | None, last: int | None) -> list[Layout]:
    """The layouts of one output [1, first, last]; an axis that is not fixed is None."""
    found = []
    if last == 6 and (first is None or first > 1):
        found.append(Layout("YOLOv10", (name,), None, _suppressed, _is_suppressed))
    if first is not None and first > 4 and (last is None or last > first):
        masks = network.metadata.get("task") in ("segment", "pose")  # columns that follow the classes
        found.append(Layout("YOLOv8", (name,), None if masks else first - 4, _yolov8))
    if last is not None and last > 5 and (first is None or first > last):
        found += [
            Layout("YOLOX", (name,), last - 5, _yolox, _is_yolox, bgr=True),
            Layout("YOLOv5", (name,), last - 5, _decoded, _is_yolov5),
            Layout("YOLOv6", (name,), last - 5, _decoded, _is_yolov6),
        ]
    if last is not None and last > 4 and (first is None or first > 1):
        found += [
            Layout("RT-DETR", (name,), last - 4, _rt_detr, _is_rt_detr, stretched=True, fractions=True),
            Layout("YOLOv8", (name,), last - 4, _rt_detr, lambda output, given: not _is_rt_detr(output, given)),
        ]
    return found


def corners(boxes: Array) -> Array:
    """Boxes `[N, 4]` centre x, y, width, height, converted to x1, y1, x2, y2."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1).astype(np.float32)


def detr_scores(logits: Array, classes: int) -> Array:
    """Class scores `[Q, K]` from logits `[Q, K + 1]` (softmax, the last class is “no object”) or `[Q, K]` (sigmoid)."""
    if logits.shape[1] == classes:
        return _sigmoid(logits)
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray((exponent / exponent.sum(axis=1, keepdims=True))[:, :-1], dtype=np.float32)


def _boxes_and_scores(outputs: list[Array], given: Given) -> Rows:
    boxes, scores = outputs
    metadata = given.network.metadata
    order = metadata.get("boxes", "xyxy").lower()
    if order == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    elif order == "xywh":
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    elif order == "cxcywh":
        boxes = corners(boxes)
    elif order != "xyxy":
        raise RegionsError(
            f"{given.network.path}: the metadata `boxes` is {order!r}; expected xyxy, yxyx, xywh or cxcywh."
        )
    return Rows(boxes, _sigmoid(scores) if metadata.get("scores") == "logits" else scores)


def _detr_rows(outputs: list[Array], given: Given) -> Rows:
    return Rows(corners(outputs[1]), detr_scores(outputs[0], given.classes))


def _listed(outputs: list[Array], given: Given) -> Rows:
    boxes, score_N, label_N = outputs
    return Rows(boxes, _one_hot(score_N, label_N, given))


def _tensorflow(outputs: list[Array], given: Given) -> Rows:
    boxes, score_N, label_N = outputs
    first = 0 if given.names[0].lower() in _BACKGROUND else 1
    return Rows(boxes[:, [1, 0, 3, 2]], _one_hot(score_N, label_N - first, given))


def _end_to_end(outputs: list[Array], given: Given) -> Rows:
    (rows,) = outputs
    return Rows(rows[:, 1:5], _one_hot(rows[:, 6], rows[:, 5], given))


def _suppressed(outputs: list[Array], given: Given) -> Rows:
    (rows,) = outputs
    return Rows(rows[:, :4], _one_hot(rows[:, 4], rows[:, 5], given))


def _is_suppressed(rows: Array, given: Given) -> bool:
    """Whether the last column has whole class numbers, and the one before it scores; without rows, too."""
    score_N, label_N = rows[:, 4], rows[:, 5]
    whole = np.allclose(label_N, np.round(label_N), atol=1e-3)
    return bool(whole and (label_N > -1.5).all() and ((score_N >= 0) & (score_N <= 1.01)).all())


def _yolov8(outputs: list[Array], given: Given) -> Rows:
    rows = outputs[0].T
    return Rows(corners(rows[:, :4]), rows[:, 4 : 4 + given.classes])


def _rt_detr(outputs: list[Array], given: Given) -> Rows:
    (rows,) = outputs
    return Rows(corners(rows[:, :4]), rows[:, 4:])


def _is_rt_detr(rows: Array, given: Given) -> bool:
    """Whether the boxes are fractions of the image."""
    return bool(np.nanmax(np.abs(rows[:, :4]), initial=0.0) <= 2)


def _decoded(outputs: list[Array], given: Given) -> Rows:
    (rows,) = outputs
    return Rows(corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:])


def _is_yolov5(rows: Array, given: Given) -> bool:
    return len(rows) in (3 * len(_cells(given.sized)[0]), 3 * len(_cells(given.sized, (*_STRIDES, 64))[0]))


def _is_yolov6(rows: Array, given: Given) -> bool:
    return _one_row_a_cell(rows, given) and _in_pixels(rows) and bool((rows[:, 4] == 1).all())


def _yolox(outputs: list[Array], given: Given) -> Rows:
    (rows,) = outputs
    if _says_decoded(given.network) or _in_pixels(rows):
        return _decoded(outputs, given)
    cell, stride = _cells(given.sized)
    decoded = rows.copy()
    decoded[:, :2] = (rows[:, :2] + cell) * stride
    decoded[:, 2:4] = np.exp(np.minimum(rows[:, 2:4], 20)) * stride
    return _decoded([decoded], given)


def _is_yolox(rows: Array, given: Given) -> bool:
    if _says_decoded(given.network):
        return True
    return _one_row_a_cell(rows, given) and not _is_yolov6(rows, given)


def _says_decoded(network: Network) -> bool:
    return network.metadata.get("decoded", "").lower() in ("1", "true", "yes")


def _in_pixels(rows: Array) -> bool:
    """Whether centres are pixels of the input, whose median is far from an offset within a cell."""
    return bool(np.nanmedian(rows[:, :2]) > 16)


def _one_row_a_cell(rows: Array, given: Given) -> bool:
    return len(rows) == len(_cells(given.sized)[0])


def _cells(sized: SizedImage, strides: tuple[int, ...] = _STRIDES) -> tuple[Array, Array]:
    """(x, y) in cells `[N, 2]` and stride in pixels `[N, 1]` of the cells of all strides, in the order of the rows."""
    height, width = sized.pixels.shape[:2]
    cells, sizes = [], []
    for stride in strides:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        sizes.append(np.full((x.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def _one_hot(score_N: Array, label_N: Array, given: Given) -> Array:
    """Class scores `[N, K]` of boxes with one class each."""
    labels = np.round(label_N).astype(np.int64)
    if len(labels) and labels[score_N > 0].max(initial=0) >= given.classes:
        raise RegionsError(
            f"{given.network.path} puts out the class number {labels.max()}, but {given.classes} classes are named; "
            "give a name for each, counted from 0."
        )
    scores = np.zeros((len(labels), given.classes), np.float32)
    known = (labels >= 0) & (labels < given.classes)
    scores[np.flatnonzero(known), labels[known]] = score_N[known]
    return scores


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)
