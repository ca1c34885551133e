"""Shards, the files of a region store: the regions of some images, with the list of these images in the header.

A shard is written atomically. The store's index is the union of the shards' lists, so it always agrees with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.data.images import is_possible_size
from unboxed.errors import StoreError, plain_reason
from unboxed.regions.quantization import decoded, encoded
from unboxed.regions.validity import Half, RegionArrays, first_fault
from unboxed.runtime.tensor_digests import check_header, check_numbers
from unboxed.runtime.tensor_file import write_tensor_file
from unboxed.types import Array

__all__ = ["RegionArrays", "Shard", "ShardEntry", "to_half", "write_shard"]

_LARGEST_HALF = 65504.0
_SCALES = ("features.scales", "class_probs.scales")
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
_CHECKED_IMAGES = 16
"""So many images are checked at once: their arrays stay in the cache of the processor."""


@dataclass(frozen=True)
class ShardEntry:
    """One image of a shard, as its header lists it.

    Attributes:
        image_id: as in its dataset.
        image_key: identifies its content (`cache.image_key`); empty: the image is removed from the store.
        width, height: of the image in pixels.
        count: number of its regions.
        start: its first row in the arrays of the shard.
    """

    image_id: str
    image_key: str
    width: int
    height: int
    count: int
    start: int = 0

    @property
    def removes(self) -> bool:
        """Whether it removes what earlier shards have of this image."""
        return not self.image_key


_KINDS = ["F32", "F16", "F16", "F32", "U8"]  # of the fields of `RegionArrays`, as safetensors names them
_KINDS_IN_8_BITS = ["F32", "I8", "U8", "F32", "U8", "F32", "F32"]
_NAME_IN_FILE = {"image_key": "photo"}  # the file format keeps the name of its first version
_NAME_IN_CODE = {file: code for code, file in _NAME_IN_FILE.items()}


class Shard:
    """A shard opened for reading; only the requested rows are read from the disk.

    The digest of its header is checked here, that of its numbers by `check`.

    Attributes:
        path: the file.
        entries: its images.
        feature_width: V.
        class_count: K.
        widths: of the blocks of features whose numbers are stored in 8 bits; None where they are stored in 16.

    Raises:
        StoreError: damaged, or not a shard.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            check_header(path)
            opened: Any = safe_open(str(path), framework="numpy")
            self._file = opened
            metadata = opened.metadata()
            listed = json.loads(metadata["images"])
            self.widths: tuple[int, ...] | None = _widths(metadata.get("widths"))
            self.entries = tuple(ShardEntry(**_renamed(entry, _NAME_IN_CODE)) for entry in listed)
            self._slices = [opened.get_slice(name) for name in RegionArrays._fields]
            if not all(_is_usable(entry) for entry in self.entries):
                raise ValueError("its list of images has wrong numbers")
            *starts, total = accumulate((entry.count for entry in self.entries), initial=0)
            if [entry.start for entry in self.entries] != starts:
                raise ValueError("the regions of its images do not follow each other")
            rows = {int(piece.get_shape()[0]) for piece in self._slices}
            if rows != {total}:
                raise ValueError(f"its {total} regions fill {sorted(rows)} rows")
            self._scales = [] if self.widths is None else [opened.get_slice(name) for name in _SCALES]
            kinds = [piece.get_dtype() for piece in [*self._slices, *self._scales]]
            expected = _KINDS if self.widths is None else _KINDS_IN_8_BITS
            if kinds != expected:
                raise ValueError(f"its arrays are {', '.join(kinds)}; expected {', '.join(expected)}")
            self.feature_width, self.class_count = (int(self._slices[i].get_shape()[1]) for i in (1, 2))
            if self.widths is not None:
                self._check_scales(self.widths, rows.pop())
        except (SafetensorError, OSError, *_DAMAGE) as error:
            raise _damaged(path, error) from error
        self._checked = False

    def _check_scales(self, widths: Sequence[int], rows: int) -> None:
        shapes = [list(piece.get_shape()) for piece in self._scales]
        if (
            sum(widths) != self.feature_width
            or min(widths, default=0) < 0
            or shapes != [[rows, len(widths)], [rows, 1]]
        ):
            raise ValueError(
                f"its blocks {list(widths)} and scales {shapes} do not fit its {self.feature_width} features"
            )

    def check(self, source_count: int) -> None:
        """Check the digest of the numbers, and that all of them are possible; once for each shard that is opened.

        Args:
            source_count: how many sources the store has.

        Raises:
            StoreError: the file is damaged, or the regions of an image are not usable.
        """
        if self._checked:
            return
        try:
            check_numbers(self.path)
        except (OSError, ValueError) as error:
            raise _damaged(self.path, error) from error
        for first in range(0, len(self.entries), _CHECKED_IMAGES):
            entries = self.entries[first : first + _CHECKED_IMAGES]
            start, end = entries[0].start, entries[-1].start + entries[-1].count
            if (fault := first_fault(self.arrays(start, end - start), source_count)) is not None:
                row, reason = start + fault[0], fault[1]
                name = next(entry.image_id for entry in entries if entry.start <= row < entry.start + entry.count)
                raise StoreError(
                    f"{self.path}: the regions of {name} are not usable: {reason}. Delete this file and run the "
                    "extraction or the import again: only its images are made again."
                )
        self._checked = True

    def arrays(self, start: int, count: int) -> RegionArrays:
        """Rows `start` to `start + count` of every array."""
        if not count:  # safetensors refuses an empty slice at the end of a tensor
            stored = RegionArrays(*(self._file.get_tensor(name)[:0] for name in RegionArrays._fields))
            return stored._replace(
                features=stored.features.astype(np.float16), class_probs=stored.class_probs.astype(np.float16)
            )
        stored = RegionArrays(*(piece[start : start + count] for piece in self._slices))
        if self.widths is None:
            return stored
        feature_scales, prob_scales = (piece[start : start + count] for piece in self._scales)
        return stored._replace(
            features=decoded(stored.features, feature_scales, self.widths),
            class_probs=decoded(stored.class_probs, prob_scales, [self.class_count]),
        )


def write_shard(
    path: Path, images: Sequence[tuple[ShardEntry, RegionArrays]], widths: Sequence[int] | None = None
) -> None:
    """Writes a shard atomically.

    Args:
        path: the file.
        images: their regions follow each other, so `start` of the entries is not used.
        widths: of the blocks of features, to store features and class probabilities in 8 bits; None: in 16.
    """
    starts = accumulate((entry.count for entry, _ in images), initial=0)
    placed = [replace(entry, start=start) for start, (entry, _) in zip(starts, images, strict=False)]
    listed = [_renamed(asdict(entry), _NAME_IN_FILE) for entry in placed]
    joined = {name: np.concatenate([getattr(arrays, name) for _, arrays in images]) for name in RegionArrays._fields}
    metadata = {"images": json.dumps(listed)}
    if widths is not None:
        metadata["widths"] = json.dumps(list(widths))
        features, probs = joined["features"], joined["class_probs"]
        joined["features"], joined[_SCALES[0]] = encoded(features, widths, np.int8)
        joined["class_probs"], joined[_SCALES[1]] = encoded(probs, [probs.shape[1]], np.uint8)
    write_tensor_file(path, joined, metadata)


def _widths(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(int(width) for width in json.loads(text))


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} is damaged ({plain_reason(error)}). Delete this file and run the extraction again: only its images "
        "are extracted again."
    )


def _is_usable(entry: ShardEntry) -> bool:
    numbers = (entry.width, entry.height, entry.count)
    return (
        all(isinstance(number, int) for number in numbers)
        and is_possible_size(entry.width, entry.height)
        and entry.count >= 0
        and isinstance(entry.image_id, str)
        and isinstance(entry.image_key, str)
    )


def _renamed(entry: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in entry.items()}


def to_half(values: Array) -> Half:
    """float16; values beyond its range become its largest ones."""
    return np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
