"""Extraction of regions, from image files to the store.

NanoDet and DeepLab with the default settings, without and with the feature maps of MobileNet, on real images. Where
there are none (set UNBOXED_SHARED), the detector of `unboxed scenes` on drawn images; `real.images` is then 0
instead of 1. The reference processes one image after another: decode, run the networks, pool, store. `networks_share`
is the CPU time of the networks alone (they are opened and run on images that are resized for them) divided by ours; the
rest is decoding, proposals, pooling, colours and writing.
`max_difference` is the largest difference between stored values of ours and of the reference. `batch.ratio` is the
time of a network on single images divided by its time on batches of four: it shows why images are not batched on a
CPU.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.harness import Result, SkippedError, Target, alternate, shared_folder
from unboxed.data.dataset import load_dataset
from unboxed.data.images import open_image
from unboxed.regions.extraction import RegionExtractor, extract, image_key
from unboxed.regions.image_view import View
from unboxed.regions.networks import Network
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.threads import available_cores, ordered_map
from unboxed.scenes import write_scenes
from unboxed.types import Example

TARGETS = (
    Target("images per second, NanoDet and DeepLab", "plain.images_per_second", "at least", 10, "/s"),
    Target("CPU time of the networks over that of the extraction", "plain.networks_share", "at least", 0.85),
    Target("the same with feature maps of MobileNet", "plain_backbone.networks_share", "at least", 0.85),
    Target("largest difference of a stored value", "plain.max_difference", "at most", 0),
)


def measure(show: Callable[[str], None], images: int = 64, rounds: int = 3) -> Result:
    """Images per second, and ratios of time."""
    with tempfile.TemporaryDirectory() as folder:
        examples, settings, batched = _inputs(Path(folder), images, show)
        result: Result = {"real": {"images": float("plain_backbone" in settings)}}
        names = count()

        def fresh() -> Path:
            return Path(folder) / f"store{next(names)}"

        for name, each in settings.items():
            result[name] = _measured(examples, each, fresh, rounds)
            show(f"{name}: {result[name]['images_per_second']:.1f} images/s")
        if batched is not None:
            result["batch"] = {"ratio": _batch_ratio(batched, examples, rounds)}
    return result


def _inputs(
    folder: Path, images: int, show: Callable[[str], None]
) -> tuple[Sequence[Example], dict[str, RegionSettings], Path | None]:
    """Images, settings by name, and a network that accepts batches, if there is one."""
    try:
        shared = shared_folder()
    except SkippedError as reason:
        show(f"{reason}: using drawn images and their detector")
        dataset = load_dataset(write_scenes(folder / "scenes", train=images, val=1, test=1))
        return dataset.split("train").examples, {"plain": RegionSettings.default_for(dataset)[0]}, None
    models = shared / "weights"
    plain = RegionSettings(
        detectors=(models / "nanodet_plus_m_416_coco80.onnx",), segmenter=models / "deeplabv3_mnv2_ade32.onnx"
    )
    backbone = models / "mobilenet_edgetpu_imagenet1001.onnx"
    examples = load_dataset(shared / "data" / "flickr.toml").split("val").examples[:images]
    return examples, {"plain": plain, "plain_backbone": replace(plain, backbone=backbone)}, plain.segmenter


def _measured(
    examples: Sequence[Example], settings: RegionSettings, fresh: Callable[[], Path], rounds: int
) -> dict[str, float]:
    def ours() -> Path:
        extract(examples, settings, store := fresh(), progress=False)
        return store

    def one_by_one() -> Path:
        with RegionStore.create_or_resume(store := fresh(), settings) as opened:
            extractor = RegionExtractor(settings)
            opened.define_columns(extractor.class_names, extractor.source_names, extractor.feature_blocks)
            for example in examples:
                regions = extractor(open_image(example.path), example.original_size)
                opened.append(example.image_id, image_key(example.path, example.original_size), regions)
        return store

    views = [View(image := open_image(e.path), e.original_size or image.size) for e in examples]

    def networks() -> None:
        extractor = RegionExtractor(settings)
        _ = extractor.feature_blocks  # runs them once, as an extraction does
        for _ in ordered_map(extractor.run_networks, views, available_cores()):
            pass

    seconds = alternate({"one by one": one_by_one, "ours": ours}, rounds)
    cpu_seconds = alternate({"ours": ours, "networks": networks}, rounds, clock=time.process_time)
    return {
        "images_per_second": len(examples) / seconds["ours"],
        "ratio": seconds["one by one"] / seconds["ours"],
        "networks_share": cpu_seconds["networks"] / cpu_seconds["ours"],
        "max_difference": _difference(RegionStore.open(ours()), RegionStore.open(one_by_one())),
    }


def _difference(first: RegionStore, second: RegionStore) -> float:
    largest = 0.0
    for image_id in first:
        for values in zip(first.arrays(image_id), second.arrays(image_id), strict=True):
            one, other = map(np.asarray, values)
            if one.shape != other.shape:
                return float("inf")
            largest = max(largest, float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0)))
    return largest


def _batch_ratio(model: Path, examples: Sequence[Example], rounds: int) -> float:
    network = Network(model)
    mean, scale = network.normalization()
    names = [name for name, shape in network.outputs if len(shape) == 4]
    images = [open_image(example.path) for example in examples[:16]]
    pixels = np.stack([View(image, image.size).resized(352, 256).pixels for image in images])

    def runs(size: int) -> Callable[[], object]:
        return lambda: [network.run(pixels[i : i + size], mean, scale, names) for i in range(0, len(pixels), size)]

    seconds = alternate({"one": runs(1), "four": runs(4)}, rounds)
    return seconds["one"] / seconds["four"]
