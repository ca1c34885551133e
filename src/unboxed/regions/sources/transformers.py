"""Detectors and backbones of the transformers library, by hub name or local folder: the `hf` extra.

Only safetensors weights are loaded, and no code of a model's repository is run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.image_view import Fit, View
from unboxed.regions.proposals import Detections, FeatureMap
from unboxed.regions.sources.detectors import centre_to_corners, detr_scores

__all__ = ["TransformersBackbone", "TransformersDetector"]


@dataclass(frozen=True, eq=False)
class TransformersDetector:
    """An object-detection model with `logits` and `pred_boxes`: DETR, YOLOS, RT-DETR and kin.

    Attributes:
        model, processor: as transformers loads them.
        class_names: the K class names of the model's configuration.
    """

    model: Any
    processor: Any
    class_names: tuple[str, ...]

    @staticmethod
    def open(name: str) -> TransformersDetector:
        """Loads a model by hub name or local folder.

        Raises:
            RegionsError: transformers is not installed, or there is no such model.
        """
        library = _library()
        model = _load(library.AutoModelForObjectDetection, name, use_safetensors=True).eval()
        labels = model.config.id2label
        return TransformersDetector(
            model, _load(library.AutoImageProcessor, name), tuple(str(labels[k]) for k in sorted(labels))
        )

    def detect(self, view: View) -> Detections:
        """Every query's box of one image in its pixels, before suppression."""
        import torch

        shown = Image.fromarray(view.resized(*view.original_size).pixels)
        with torch.inference_mode():
            output = self.model(**self.processor(images=shown, return_tensors="pt"))
        boxes = centre_to_corners(output.pred_boxes[0].float().numpy()) * np.array([*view.size] * 2, np.float32)
        scores = detr_scores(output.logits[0].float().numpy(), len(self.class_names))
        return Detections(boxes.astype(np.float32), scores)


@dataclass(frozen=True, eq=False)
class TransformersBackbone:
    """A vision model whose last hidden state is a feature map [1, V, h, w], or tokens [1, prefix + h * w, V].

    Attributes:
        model, processor: as transformers loads them.
        longest: pixels of the longest side of the input, where the model does not fix it.
    """

    model: Any
    processor: Any
    longest: int

    @staticmethod
    def open(name: str, longest: int) -> TransformersBackbone:
        """Loads a model by hub name or local folder; of a model of pictures and text, the picture's part.

        Raises:
            RegionsError: transformers is not installed, or there is no such model.
        """
        library = _library()
        model = _load(library.AutoModel, name, use_safetensors=True)
        model = getattr(model, "vision_model", model)
        return TransformersBackbone(model.eval(), _load(library.AutoImageProcessor, name), longest)

    def maps(self, view: View) -> tuple[FeatureMap, ...]:
        """The last hidden state over the whole image.

        Raises:
            RegionsError: the model gives no map.
        """
        import torch

        fit = self._fit(view)
        # The image has its size already, and a centre crop would lose its borders.
        inputs = self.processor(
            images=Image.fromarray(fit.pixels), do_resize=False, do_center_crop=False, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = self.model(pixel_values=inputs["pixel_values"]).last_hidden_state[0].float().numpy()
        if hidden.ndim == 2:
            rows, columns = self._patches(fit, len(hidden))
            hidden = hidden[len(hidden) - rows * columns :].T.reshape(-1, rows, columns)
        if hidden.ndim != 3:
            raise RegionsError(
                f"The model's last hidden state has shape {list(hidden.shape)}; expected a feature map [V, h, w] or "
                "tokens [n, V]. Choose a vision backbone."
            )
        return (FeatureMap("backbone/hidden", np.ascontiguousarray(hidden), fit.window),)

    def _fit(self, view: View) -> Fit:
        fixed = getattr(self.model.config, "image_size", None)
        if getattr(self.model.config, "patch_size", None) and fixed:  # positions are learned for this size alone
            height, width = (fixed, fixed) if isinstance(fixed, int) else fixed
            return view.resized(width, height)
        return view.fitted(self.longest, 32)

    def _patches(self, fit: Fit, tokens: int) -> tuple[int, int]:
        """(rows, columns) of the patches among `tokens`, which may begin with tokens that are no patch."""
        patch = getattr(self.model.config, "patch_size", None)
        height, width = fit.pixels.shape[:2]
        if isinstance(patch, int):
            return height // patch, width // patch
        side = math.isqrt(tokens)
        return side, side


def _library() -> ModuleType:
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise RegionsError(
            'Models of transformers need the extra "hf": pip install "unboxed[hf]". ONNX models work without it.'
        ) from error
    return transformers


def _load(kind: Any, name: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(name, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        where = "folder" if Path(name).is_dir() else "hub model"
        raise RegionsError(
            f"The {where} {name!r} cannot be loaded by transformers ({first}); expected a hub name or a local folder "
            "with config.json, preprocessor_config.json and model.safetensors."
        ) from error
