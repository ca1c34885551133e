"""Object detectors of the transformers library (the `hf` extra), and those in the local Hugging Face cache."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unboxed.regions.image_view import View
from unboxed.regions.networks import load_transformers
from unboxed.regions.proposals import Detections
from unboxed.regions.sources.onnx_detector import centre_to_corners, detr_scores

__all__ = ["TransformersDetector", "cached_detector"]

_KINDS = (  # detectors of fixed classes, which need no text to look for
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
_NEEDED = ("config.json", "preprocessor_config.json", "model.safetensors")


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
        model, processor = load_transformers("AutoModelForObjectDetection", name)
        labels = model.config.id2label
        return TransformersDetector(model, processor, tuple(str(labels[k]) for k in sorted(labels)))

    def detect(self, view: View) -> Detections:
        """The boxes of all queries in pixels of the image, before suppression."""
        import torch

        whole = Image.fromarray(view.resized(*view.original_size).pixels)
        with torch.inference_mode():
            output = self.model(**self.processor(images=whole, return_tensors="pt"))
        boxes = centre_to_corners(output.pred_boxes[0].float().numpy()) * np.array([*view.size] * 2, np.float32)
        scores = detr_scores(output.logits[0].float().numpy(), len(self.class_names))
        return Detections(boxes.astype(np.float32), scores)


def cached_detector() -> Path | None:
    """The folder of the object detector in the Hugging Face cache that was downloaded last; nothing is downloaded now.

    None without one, or if transformers is not installed.
    """
    if find_spec("transformers") is None:
        return None
    found = [config.parent for config in _cache().glob("models--*/snapshots/*/config.json") if _detects(config)]
    return max(found, key=lambda folder: ((folder / "config.json").stat().st_mtime, str(folder)), default=None)


def _cache() -> Path:
    if "HF_HUB_CACHE" in os.environ:
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "huggingface")
    return Path(home) / "hub"


def _detects(config: Path) -> bool:
    if not all((config.parent / name).is_file() for name in _NEEDED):
        return False
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(content, dict) or content.get("model_type") not in _KINDS:
        return False
    return any(str(name).endswith("ForObjectDetection") for name in content.get("architectures") or [])
