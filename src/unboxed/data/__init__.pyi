from .batches import caption_batches, collate_captions, collate_images, epoch_batches, region_edges, region_inputs
from .dataset import Dataset, RegionTable, Split, load_dataset
from .images import image_size, open_image

__all__ = [
    "Dataset",
    "RegionTable",
    "Split",
    "caption_batches",
    "collate_captions",
    "collate_images",
    "epoch_batches",
    "image_size",
    "load_dataset",
    "open_image",
    "region_edges",
    "region_inputs",
]
