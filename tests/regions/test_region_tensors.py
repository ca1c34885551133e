"""Regions become arrays and texts, and regions again: bit for bit, through the bytes of a message or a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from unboxed.regions.region_tensors import from_tensors, to_tensors
from unboxed.types import Regions


@pytest.mark.parametrize("width", [0, 3])
def test_regions_come_back_bit_for_bit(width: int) -> None:
    rng = np.random.default_rng(0)
    regions = Regions(
        boxes=np.array([[0.1, 0, 3, 4], [1, 1, 2.7, 2], [0, 0, 9, 7]], np.float32),
        scores=np.array([1 / 3, 0, 1], np.float32),
        features=rng.normal(size=(3, width)).astype(np.float32),
        class_probs=rng.random((3, 2), np.float32),
        class_names=("dog", "cat"),
        sources=("segments", "image", "segments"),
        width=9,
        height=7,
    )
    arrays, texts = to_tensors(regions)
    again = from_tensors(load(save(arrays)), json.loads(json.dumps(texts)))
    for name, value in vars(regions).items():
        np.testing.assert_array_equal(getattr(again, name), value, strict=isinstance(value, np.ndarray))
