"""Images, captions and gold boxes from disk."""

from __future__ import annotations

from unboxed.data.dataset import Dataset, RegionTable, Split, load_dataset
from unboxed.data.images import image_size, open_image

__all__ = ["Dataset", "RegionTable", "Split", "image_size", "load_dataset", "open_image"]
