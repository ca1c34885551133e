"""Object detectors: ONNX files in the layouts of `detector_layouts`, and models of transformers.

Every other output of an ONNX graph with four axes is a feature map from which region features are pooled. Models of
transformers (the `hf` extra) have the outputs of DETR.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.base import Detections, FeatureMap
from unboxed.regions.image_batches import ImageBatches
from unboxed.regions.image_view import SizedImage, View
from unboxed.regions.networks import Network, class_list, load_transformers
from unboxed.regions.sources.detector_layouts import EXPECTED, Given, Layout, Rows, corners, detr_scores, layouts_of
from unboxed.runtime.hub import hub_cache
from unboxed.types import Array

__all__ = ["OnnxDetector", "TransformersDetector", "cached_detector"]

_GREY = 114
_CHECKED_BOXES = 50  # the best ones of an image

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
        self._layouts, self.class_names = _named_layouts(self._network, class_file, others)
        names = {name for layout in self._layouts for name in layout.outputs}
        self._maps = [name for name, shape in self._network.outputs if len(shape) == 4 and name not in names]
        self._checked = False

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
        rows, maps, layout, sized = self._rows(view)
        if rows.scores.shape[1] != len(self.class_names):
            raise RegionsError(
                f"{self._network.path} puts out {rows.scores.shape[1]} classes, but {len(self.class_names)} are named."
            )
        boxes, scores = _finite(rows, self._network) if self._clip else rows
        if not self._checked:
            self._checked = _check(Rows(boxes, scores), self._network, layout, scores_matter=self._clip)
        boxes = boxes * np.array([*view.size] * 2, np.float32) if layout.fractions else sized.to_image(boxes)
        return Detections(boxes, np.clip(scores, 0, 1) if self._clip else scores, maps)

    def _rows(self, view: View) -> tuple[Rows, tuple[FeatureMap, ...], Layout, SizedImage]:
        """The boxes as the network puts them out, and its feature maps, by the layout that fits the first image."""
        layouts = self._layouts
        layout, seen = layouts[0], {}
        while True:
            sized = self._sized(view, layout)
            outputs = layout.run(self._network, sized, self._maps)
            given = Given(sized, self._network, self.class_names)
            if len(layouts) == 1 or layout.fits(outputs[0], given):
                break
            seen[layout] = outputs[0]
            fitting = [other for other in layouts if other not in seen and other.fits(outputs[0], given)]
            if not fitting:
                raise RegionsError(_nothing_fits(outputs[0], given))
            layout = fitting[0]
        self._layouts = [layout]
        count = len(layout.outputs)
        maps = zip(self._maps, outputs[count:], strict=True)
        found = tuple(FeatureMap(name, values, sized.window) for name, values in maps)
        return layout.read(outputs[:count], given), found, layout, sized

    def _sized(self, view: View, layout: Layout) -> SizedImage:
        if layout.stretched:
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
        self._found = ImageBatches(self._run, self._model.device)
        labels = self._model.config.id2label
        self.class_names = tuple(str(labels[k]) for k in sorted(labels))

    def detect(self, view: View) -> Detections:
        """All boxes in pixels of the image, before suppression."""
        whole = Image.fromarray(view.resized(*view.original_size).pixels)
        box_Q4, logit_QK = self._found(dict(self._processor(images=whole, return_tensors="pt")))
        boxes = corners(box_Q4) * np.array([*view.size] * 2, np.float32)
        return Detections(boxes.astype(np.float32), detr_scores(logit_QK, len(self.class_names)))

    def _run(self, inputs: dict[str, Any], asked: Any) -> tuple[Any, Any]:
        output = self._model(**inputs)
        return output.pred_boxes, output.logits


def cached_detector() -> Path | None:
    """The folder of the object detector in the Hugging Face cache that was downloaded last; nothing is downloaded now.

    None without one, or if transformers is not installed.
    """
    if find_spec("transformers") is None:
        return None
    try:
        found = [config.parent for config in hub_cache().glob("models--*/snapshots/*/config.json") if _detects(config)]
    except PermissionError:  # the cache of another user
        return None
    return max(found, key=lambda folder: ((folder / "config.json").stat().st_mtime, str(folder)), default=None)


def _named_layouts(
    network: Network, file: Path | None, others: Sequence[tuple[str, ...]]
) -> tuple[list[Layout], tuple[str, ...]]:
    """The layouts that the outputs and the number of class names allow, and the class names."""
    layouts = layouts_of(network)
    if layouts[0].name == "DETR" and layouts[0].columns is not None:
        return layouts, _detr_classes(network, file, layouts[0].columns)
    found: dict[tuple[str, ...], list[Layout]] = {}
    errors: list[RegionsError] = []
    for layout in layouts:
        try:
            found.setdefault(class_list(network, file, layout.columns, others=others), []).append(layout)
        except RegionsError as error:
            errors.append(error)
    if found:
        names, fitting = next(iter(found.items()))
        return fitting, names
    names = class_list(network, file, None) if len(layouts) > 1 else ()
    if not names:
        raise errors[0]
    raise RegionsError(
        f"{network.path} has the outputs {network.describe_outputs()}, which is no layout known here for {len(names)} "
        f"classes, as many as are named. {EXPECTED} Give as many class names (K) as the model has classes."
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


def _nothing_fits(rows: Array, given: Given) -> str:
    height, width = given.sized.pixels.shape[:2]
    cells = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    return (
        f"{given.network.path} puts out {len(rows)} rows for {width} x {height} pixels, but YOLOX has {cells} cells of "
        f"strides 8, 16 and 32, and YOLOv5 {3 * cells} rows. {EXPECTED} If its rows are boxes already and its input is "
        "BGR 0..255, as YOLOX's is, set the metadata `decoded` to `true`."
    )


def _finite(rows: Rows, network: Network) -> Rows:
    """The rows, with a score of 0 where a box or a score is no number.

    Raises:
        RegionsError: all of them.
    """
    if np.isfinite(rows.boxes).all() and np.isfinite(rows.scores).all():
        return rows
    sound_N = np.asarray(np.isfinite(rows.boxes).all(axis=1) & np.isfinite(rows.scores).all(axis=1))
    if not sound_N.any():
        raise RegionsError(
            f"{network.path} puts out NaN or infinity for every box; export the model again, in float32 if it is "
            "float16."
        )
    return Rows(np.where(sound_N[:, None], rows.boxes, 0), np.where(sound_N[:, None], rows.scores, 0))


def _check(rows: Rows, network: Network, layout: Layout, scores_matter: bool) -> bool:
    """Whether there are boxes to see that units and order of coordinates are those of the layout.

    Raises:
        RegionsError: they are not.
    """
    if not rows.scores.size:
        return False
    order = np.argsort(-rows.scores.max(axis=1), kind="stable")
    best = rows.boxes[order[np.abs(rows.boxes[order]).max(axis=1) > 0]][:_CHECKED_BOXES]
    if not len(best):
        return False
    where = f"set them in the metadata, or in a file {network.path.with_suffix('.toml').name} beside it"
    if not layout.fractions and np.abs(best).max() <= 2:
        raise RegionsError(
            f"{network.path} puts out boxes within 0..{np.abs(best).max():.2g}, which are fractions of the image, but "
            f"the layout {layout.name} has pixels of the input. Export boxes in pixels, or, for an output `boxes`, "
            f'{where}: `units = "fractions"`.'
        )
    inverted = float(np.mean((best[:, 2] < best[:, 0]) | (best[:, 3] < best[:, 1])))
    if inverted > 0.5:
        raise RegionsError(
            f"{network.path}: {inverted:.0%} of the best boxes end before they begin, so the order of their "
            f"coordinates is another than x1 y1 x2 y2 and nothing could be found with them. Export it in this "
            f'order, or, for an output `boxes`, {where}: `boxes = "cxcywh"`, "xywh" or "yxyx".'
        )
    low, high = float(rows.scores.min()), float(rows.scores.max())
    if scores_matter and (low < -0.5 or high > 1.5):
        raise RegionsError(
            f"{network.path} puts out scores in {low:.3g}..{high:.3g}; expected 0..1. Export it with its sigmoid, or, "
            f'for an output `scores`, {where}: `scores = "logits"`.'
        )
    return True


def _detects(config: Path) -> bool:
    if not all((config.parent / name).is_file() for name in _NEEDED_FILES):
        return False
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(content, dict) or content.get("model_type") not in _FIXED_CLASSES:
        return False
    named = content.get("architectures")
    return isinstance(named, list) and any(str(name).endswith("ForObjectDetection") for name in named)
