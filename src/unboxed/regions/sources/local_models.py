"""Detectors of transformers that lie in the local cache already; nothing is fetched."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

__all__ = ["cached_detector"]

_KINDS = (  # they need nothing but an image, unlike those that are told by a text what to look for
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


def cached_detector() -> Path | None:
    """The folder of the object detector that was fetched last; None without one, or without transformers."""
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
