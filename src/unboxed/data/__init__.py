"""Images, captions and gold boxes from disk.

    dataset = load_dataset("data.toml")                    # or a table of captions, or a folder
    for example in dataset.split("train").examples:
        image = open_image(example.path)                   # upright RGB
        for caption in example.captions:
            print(caption.text, [(phrase.text, phrase.boxes) for phrase in caption.phrases])    # boxes [N, 4]

Batches for a model are padded tensors:

    images = collate_images([inputs_RV, ...])              # ImageBatch of B images
    captions = collate_captions([encoded, ...])            # CaptionBatch of C captions

The formats are in `unboxed.data.readers`, one reader each.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
