"""Stores in 8 bits: small errors, equal codes when written again, and no mixing with stores in 16 bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.errors import StoreError
from unboxed.regions.extraction import RegionExtractor, extract
from unboxed.regions.parts import Part, merge_parts
from unboxed.regions.quantization import decoded, encoded
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.types import Example

SETTINGS = RegionSettings(grid=2)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 5), max_size=4),
    st.integers(0, 6),
    st.sampled_from([np.int8, np.uint8]),
)
def test_an_error_is_half_a_step_and_what_was_read_gives_the_same_codes(
    seed: int, widths: list[int], regions: int, kind: type[np.int8] | type[np.uint8]
) -> None:
    rng = np.random.default_rng(seed)
    values_RV = (rng.normal(size=(regions, sum(widths))) * 10.0 ** rng.integers(-7, 5)).astype(np.float16)
    values_RV = np.abs(values_RV) if kind is np.uint8 else values_RV
    codes_RV, scales_RB = encoded(values_RV, widths, kind)
    found_RV = decoded(codes_RV, scales_RB, widths)
    step_RV = np.repeat(scales_RB, widths, axis=1)
    rounding_RV = np.abs(values_RV.astype(np.float32)) * 2.0**-11 + 2.0**-24  # of float16
    assert (np.abs(found_RV.astype(np.float32) - values_RV.astype(np.float32)) <= 0.501 * step_RV + rounding_RV).all()
    again_RV, scales_again_RB = encoded(found_RV, widths, kind)
    np.testing.assert_array_equal(again_RV, codes_RV)
    np.testing.assert_array_equal(scales_again_RB, scales_RB)


def test_a_store_in_8_bits_is_half_as_large_and_nearly_the_same(tmp_path: Path, examples: list[Example]) -> None:
    extract(examples, SETTINGS, tmp_path / "16", progress=False)
    with RegionStore.create_or_resume(tmp_path / "8", SETTINGS, int8=True):
        pass
    extract(examples, SETTINGS, tmp_path / "8", progress=False)
    whole, small = RegionStore.open(tmp_path / "16"), RegionStore.open(tmp_path / "8")
    assert (whole.int8, small.int8, list(small)) == (False, True, list(whole))
    assert json.loads((tmp_path / "16" / "store.json").read_text())["version"] == 1  # as earlier versions read it
    assert json.loads((tmp_path / "8" / "store.json").read_text())["version"] == 2  # which they refuse
    sizes = [sum(file.stat().st_size for file in (tmp_path / name / "shards").iterdir()) for name in ("8", "16")]
    assert sizes[0] < 0.65 * sizes[1]
    for image_id in whole:
        expected, found = whole.arrays(image_id), small.arrays(image_id)
        assert [array.dtype for array in found] == [array.dtype for array in expected]
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        start = 0
        for _, width in whole.feature_blocks:
            block, of_found = (
                arrays.features[:, start : start + width].astype(np.float32) for arrays in (expected, found)
            )
            assert (np.abs(of_found - block).max(axis=1) <= 0.51 * np.abs(block).max(axis=1) / 127 + 1e-3).all()
            start += width


def test_a_store_goes_on_in_its_bits_and_parts_merge_in_theirs(tmp_path: Path, examples: list[Example]) -> None:
    def start(name: str, int8: bool) -> Path:
        with RegionStore.create_or_resume(tmp_path / name, SETTINGS, int8=int8):
            return tmp_path / name

    extract(examples, SETTINGS, start("whole", True), progress=False)
    parts = [start(f"part {number}", True) for number in (1, 2)]
    for number, path in enumerate(parts, start=1):
        extract(examples, SETTINGS, path, progress=False, part=Part(number, 2))
    merge_parts(parts, tmp_path / "merged", progress=False)
    files = [sorted((tmp_path / name / "shards").iterdir()) for name in ("whole", "merged")]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
    with pytest.raises(StoreError, match=r"stores numbers in 8 bits\. Go on with it so"):
        RegionStore.create_or_resume(tmp_path / "whole", SETTINGS, int8=False)
    extract(examples, SETTINGS, start("other", False), progress=False, part=Part(2, 2))
    with pytest.raises(StoreError, match="differ in --int8"):
        merge_parts([parts[0], tmp_path / "other"], tmp_path / "mixed", progress=False)
    assert RegionExtractor(SETTINGS).feature_blocks == RegionStore.open(tmp_path / "merged").feature_blocks
