"""Object detectors: ONNX files in the three output layouts that exporters write, and models of transformers.

    boxes + scores   `boxes` [1, N, 4] x1 y1 x2 y2 in input pixels, `scores` [1, N, K] in 0..1 (NanoDet and others).
                     Input RGB 0..1, original shape, padded with grey 114.
    YOLOX            one output [1, N, 5 + K]: centre x, y, width, height, objectness, class scores; undecoded
                     (relative to its cell of stride 8, 16 or 32) unless the metadata have `decoded = true`.
                     Input BGR 0..255, original shape, in the upper left, padded with 114.
    DETR             `logits` [1, Q, K + 1] (last class: no object) or [1, Q, K] (sigmoid), `pred_boxes` [1, Q, 4]
                     centre x, y, width, height in 0..1. Input RGB with ImageNet mean and deviation, not padded.

Every other output of an ONNX graph with four axes is a feature map from which region features are pooled. Models of
transformers (the `hf` extra) have the outputs of DETR.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.base import Detections, FeatureMap
from unboxed.regions.image_view import SizedImage, View
from unboxed.regions.networks import Network, class_list, load_transformers
from unboxed.runtime.hub import hub_cache
from unboxed.types import Array

__all__ = ["OnnxDetector", "TransformersDetector", "cached_detector", "detr_scores"]

Layout = Literal["boxes+scores", "yolox", "detr"]

_IMAGENET_MEAN: Array = np.array([123.675, 116.28, 103.53], np.float32)
_IMAGENET_SCALE: Array = np.array([1 / 58.395, 1 / 57.12, 1 / 57.375], np.float32)
_GREY = 114
_STRIDES = (8, 16, 32)

_FIXED_CLASSES = (  # detectors of fixed classes, which need no text to look for
    "conditional_detr",
    "d_fine",
    "dab-detr",
    "deformable_detr",
    "deta",
    "detr",
    "lw_detr",
    "rf_detr",
    "rt_detr",
    "rt_detr_v2",
    "yolos",
)
_NEEDED_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


class OnnxDetector:
    """A detector read from an ONNX file, whose layout is recognized.

    Args:
        path: the file.
        longest: pixels of the longest side of the input, where the graph does not fix it.
        class_file: a text file of class names, for a graph that does not carry them.
        clip: clip scores to [0, 1].
        others: class names of other detectors; a graph that carries none has those of the first with as many classes.

    Attributes:
        class_names: the K class names.

    Raises:
        RegionsError: an unreadable file, an unknown layout, or class names that are missing or not as many as the
            classes.
    """

    def __init__(
        self,
        path: Path,
        longest: int,
        class_file: Path | None = None,
        *,
        clip: bool = True,
        others: Sequence[tuple[str, ...]] = (),
    ) -> None:
        self._network, self._longest, self._clip = Network(path), longest, clip
        self._layout, names, classes = _recognize(self._network)
        maps = [name for name, shape in self._network.outputs if len(shape) == 4 and name not in names]
        self._outputs = [*names, *maps]
        if self._layout == "detr" and classes is not None:
            self.class_names = _detr_classes(self._network, class_file, classes)
        else:
            self.class_names = class_list(self._network, class_file, classes, others=others)

    @property
    def any_size(self) -> bool:
        """Whether the graph accepts images of any size."""
        return self._network.input_size is None

    def at(self, longest: int) -> OnnxDetector:
        """The same detector with `longest` pixels along the longest side of its input."""
        other = copy.copy(self)
        other._longest = longest
        return other

    def detect(self, view: View) -> Detections:
        """All boxes in pixels of the image, before suppression.

        Raises:
            RegionsError: outputs that do not fit the layout or the class names.
        """
        sized = self._sized(view)
        if self._layout == "boxes+scores":
            outputs = self._network.run(sized.pixels, 0.0, 1 / 255, self._outputs)
            boxes, scores = sized.to_image(outputs[0][0]), outputs[1][0]
        elif self._layout == "yolox":
            outputs = self._network.run(sized.pixels[:, :, ::-1], 0.0, 1.0, self._outputs)
            decoded = self._network.metadata.get("decoded", "").lower() in ("1", "true", "yes")
            raw = outputs[0][0] if decoded else _decode_yolox(outputs[0][0], sized, self._network)
            boxes = sized.to_image(_corners(raw[:, :4]))
            scores = raw[:, 4:5] * raw[:, 5:]
        else:
            outputs = self._network.run(sized.pixels, _IMAGENET_MEAN, _IMAGENET_SCALE, self._outputs)
            boxes = _corners(outputs[1][0]) * np.array([*view.size, *view.size], np.float32)
            scores = detr_scores(outputs[0][0], len(self.class_names))
        if scores.shape[1] != len(self.class_names):
            raise RegionsError(
                f"{self._network.path} puts out {scores.shape[1]} classes, but {len(self.class_names)} are named."
            )
        first = 1 if self._layout == "yolox" else 2
        maps = tuple(
            FeatureMap(name, values[0], sized.window)
            for name, values in zip(self._outputs[first:], outputs[first:], strict=True)
        )
        return Detections(boxes, np.clip(scores, 0, 1) if self._clip else scores, maps)

    def _sized(self, view: View) -> SizedImage:
        if self._layout == "detr":
            return view.sized(self._network.input_size, self._longest)
        if self._network.input_size:
            return view.letterboxed(*self._network.input_size, pad=_GREY)
        return view.fitted(self._longest, 64, pad=_GREY)


class TransformersDetector:
    """An object-detection model with `logits` and `pred_boxes`: DETR, YOLOS, RT-DETR and kin.

    Args:
        name: hub name or local folder.

    Attributes:
        class_names: the K class names of the model's configuration.

    Raises:
        RegionsError: transformers is not installed, or there is no such model.
    """

    def __init__(self, name: str) -> None:
        self._model, self._processor = load_transformers("AutoModelForObjectDetection", name)
        labels = self._model.config.id2label
        self.class_names = tuple(str(labels[k]) for k in sorted(labels))

    def detect(self, view: View) -> Detections:
        """All boxes in pixels of the image, before suppression."""
        import torch

        whole = Image.fromarray(view.resized(*view.original_size).pixels)
        with torch.inference_mode():
            output = self._model(**self._processor(images=whole, return_tensors="pt"))
        boxes = _corners(output.pred_boxes[0].float().numpy()) * np.array([*view.size] * 2, np.float32)
        scores = detr_scores(output.logits[0].float().numpy(), len(self.class_names))
        return Detections(boxes.astype(np.float32), scores)


def cached_detector() -> Path | None:
    """The folder of the object detector in the Hugging Face cache that was downloaded last; nothing is downloaded now.

    None without one, or if transformers is not installed.
    """
    if find_spec("transformers") is None:
        return None
    found = [config.parent for config in hub_cache().glob("models--*/snapshots/*/config.json") if _detects(config)]
    return max(found, key=lambda folder: ((folder / "config.json").stat().st_mtime, str(folder)), default=None)


def _recognize(network: Network) -> tuple[Layout, tuple[str, ...], int | None]:
    """The layout, the names of its outputs in order, and the size of the class axis if it is fixed."""
    outputs = {name: shape for name, shape in network.outputs if len(shape) == 3}
    if {"logits", "pred_boxes"} <= outputs.keys():
        return "detr", ("logits", "pred_boxes"), outputs["logits"][2]
    if {"boxes", "scores"} <= outputs.keys() and outputs["boxes"][2] in (4, None):
        return "boxes+scores", ("boxes", "scores"), outputs["scores"][2]
    if len(outputs) == 1:
        ((name, shape),) = outputs.items()
        # A list of boxes has no more than five columns, and a transposed [1, 4 + K, N] (YOLOv8) no fixed K at the end.
        if shape[2] is not None and shape[2] > 5 and (shape[1] is None or shape[1] > shape[2]):
            return "yolox", (name,), shape[2] - 5
    raise RegionsError(
        f"{network.path} has the outputs {network.describe_outputs()}, which is no detector layout known here. "
        "Expected `boxes` [1, N, 4] and `scores` [1, N, K]; or one output [1, N, 5 + K] (YOLOX); or "
        "`logits` [1, Q, K + 1] and "
        "`pred_boxes` [1, Q, 4] (DETR). Export the model again with one of these."
    )


def _detr_classes(network: Network, file: Path | None, columns: int) -> tuple[str, ...]:
    """DETR has K + 1 columns, the last for “no object”, and its sigmoid successors have K; the class names decide."""
    names = class_list(network, file, None)
    if len(names) not in (columns, columns - 1):
        raise RegionsError(
            f"{network.path} puts out {columns} class columns, so {columns - 1} or {columns} class names are expected, "
            f"but {len(names)} are given."
        )
    return names


def detr_scores(logits: Array, classes: int) -> Array:
    """Class scores `[Q, K]` from logits `[Q, K + 1]` (softmax, the last class is “no object”) or `[Q, K]` (sigmoid)."""
    if logits.shape[1] == classes:
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray((exponent / exponent.sum(axis=1, keepdims=True))[:, :-1], dtype=np.float32)


def _corners(boxes: Array) -> Array:
    """Boxes `[N, 4]` centre x, y, width, height, converted to x1, y1, x2, y2."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1).astype(np.float32)


def _decode_yolox(raw: Array, sized: SizedImage, network: Network) -> Array:
    """Rows of YOLOX in input pixels: the centre is (output + cell) * stride, the size exp(output) * stride."""
    height, width = sized.pixels.shape[:2]
    cells, strides = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((x.size, 1), stride))
    cell, stride_of = np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
    if len(cell) != len(raw):
        raise RegionsError(
            f"{network.path} puts out {len(raw)} rows for {width} x {height} pixels, but YOLOX has {len(cell)} cells "
            "of strides 8, 16 and 32. If its rows are boxes already, set the metadata `decoded` to `true`."
        )
    decoded = raw.copy()
    decoded[:, :2] = (raw[:, :2] + cell) * stride_of
    decoded[:, 2:4] = np.exp(np.minimum(raw[:, 2:4], 20)) * stride_of
    return decoded


def _detects(config: Path) -> bool:
    if not all((config.parent / name).is_file() for name in _NEEDED_FILES):
        return False
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(content, dict) or content.get("model_type") not in _FIXED_CLASSES:
        return False
    return any(str(name).endswith("ForObjectDetection") for name in content.get("architectures") or [])
