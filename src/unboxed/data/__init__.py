"""Photographs, captions and gold boxes from disk."""

from __future__ import annotations

from unboxed.data.dataset import Dataset, RegionTable, Split, load_dataset
from unboxed.data.images import open_photo, photo_size

__all__ = ["Dataset", "RegionTable", "Split", "load_dataset", "open_photo", "photo_size"]
