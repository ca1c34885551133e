"""Regions as arrays and texts by name, exactly as they were found: what the cache keeps, and what workers send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.types import Regions

__all__ = ["from_tensors", "to_tensors"]

_ARRAYS = ("boxes", "scores", "features", "class_probs")


def to_tensors(regions: Regions) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """The arrays of R regions, `source` `[R]` being the number of the source of each, and the texts, which are JSON."""
    names = sorted(set(regions.sources))
    arrays: dict[str, npt.NDArray[Any]] = {name: np.ascontiguousarray(getattr(regions, name)) for name in _ARRAYS}
    arrays["source"] = np.array([names.index(name) for name in regions.sources], np.int32)
    size = [regions.width, regions.height]
    texts = {"sources": names, "class_names": regions.class_names, "size": size}
    return arrays, {name: json.dumps(value) for name, value in texts.items()}


def from_tensors(arrays: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, str]) -> Regions:
    """The regions that `to_tensors` gave.

    Raises:
        Exception: of many kinds, where something is missing or is not of regions.
    """
    names, class_names, size = (json.loads(texts[name]) for name in ("sources", "class_names", "size"))
    sources = tuple(names[number] for number in arrays["source"].tolist())
    boxes, scores, features, class_probs = (arrays[name] for name in _ARRAYS)
    return Regions(boxes, scores, features, class_probs, tuple(class_names), sources, *size)
