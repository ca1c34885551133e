"""Images, captions and gold boxes from disk.

    dataset = load_dataset("data.toml")                    # or a table of captions, or a folder
    for example in dataset.split("train").examples:
        image = open_image(example.path)                   # upright RGB
        for caption in example.captions:
            print(caption.text, [(phrase.text, phrase.boxes) for phrase in caption.phrases])    # boxes [N, 4]

The formats are in `unboxed.data.readers`, one reader each.
"""

from __future__ import annotations

from unboxed.data.dataset import Dataset, RegionTable, Split, load_dataset
from unboxed.data.images import image_size, open_image

__all__ = ["Dataset", "RegionTable", "Split", "image_size", "load_dataset", "open_image"]
