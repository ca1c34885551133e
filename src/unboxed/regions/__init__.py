"""Regions: candidate boxes of images, with features that describe them and the scores of a detector's classes.

`RegionExtractor` finds the regions of one image, `extract` and `import_regions` write those of a dataset to a
`RegionStore`:

    settings = RegionSettings(detectors=(Path("detector.onnx"),), segments=True)
    regions = RegionExtractor(settings)(Image.open("photo.jpg"))     # of one image
    regions.boxes, regions.features, regions.class_probs             # [R, 4] pixels, [R, V], [R, K] in [0, 1]

    extract(dataset.split("train").examples, settings, Path("store"))
    store = RegionStore.open(Path("store"))
    store["photo.jpg"].boxes, store.feature_blocks, store.class_names

`sources` has what proposes boxes, `features` what describes them, `importers` the formats of precomputed features.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
