"""Region store: opening and random access at scale, and what 8 bits change.

A store of synthetic images, each with 4 regions of 32 features, is opened with its index and, up to 100,000 images,
without it; `--size 1e6` makes a million images. *first ms* is the time of an image whose shard was not read before: the
digests and numbers of its 128 images are checked. *again us* is that of a random image of shards that were read, in
microseconds. *contains us* is the look-up of an id.

*scenes* are 240 drawn images with a detector's classes, and *flickr val* real images, where they are there (set
UNBOXED_SHARED). Their regions are stored in 16 and in 8 bits. InfoGround is trained on at most 400 training images of
each store and evaluated on `val` with the same store: *phrases* is the percentage of phrases whose best box is right,
*rsum* the sum of the six recalls of retrieval. *evaluated in 8 bits* is the run that was trained in 16 bits, evaluated
with the other store. *kilobytes* are those of a store's shards for an image.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.harness import Result, SkippedError, Target, shared_folder
from unboxed.data.dataset import load_dataset
from unboxed.evaluation.evaluate import evaluate_run
from unboxed.evaluation.options import EvaluationOptions
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.shards import RegionArrays, ShardEntry, write_shard
from unboxed.regions.store import RegionStore
from unboxed.regions.store_index import index_file
from unboxed.scenes import write_scenes
from unboxed.training.fitting import FitSettings, fit

TARGETS = (
    Target("opening the store", "synthetic.open_seconds", "at most", 1, "s"),
    Target("size in 8 bits, share of that in 16", "scenes.size_share", "at most", 0.65),
)

_SHARD, _REGIONS, _WIDTH = 128, 4, 32
_WITHOUT = 100_000
_TRAINED = 400  # images, at most


def measure(show: Callable[[str], None], size: int = 100_000) -> Result:
    """Times of a synthetic store of `size` images, and the differences of stores in 8 bits."""
    with tempfile.TemporaryDirectory() as folder:
        result: Result = {"synthetic": _synthetic(Path(folder) / "synthetic", size, show)}
        show("scenes")
        drawn = write_scenes(Path(folder) / "scenes", train=160, val=80, test=1)
        result["scenes"] = _in_8_bits(Path(folder) / "drawn", drawn, show)
        try:
            show("flickr val")
            real = shared_folder() / "data" / "flickr.toml"
            result["flickr val"] = _in_8_bits(Path(folder) / "real", real, show)
        except SkippedError as missing:
            show(str(missing))
    return result


def _synthetic(path: Path, images: int, show: Callable[[str], None]) -> dict[str, float]:
    show(f"writing {images:,} images")
    settings = RegionSettings(grid=2, texture=False)
    with RegionStore.create_or_resume(path, settings) as store:
        store.define_columns((), ("grid",), (("synthetic", _WIDTH),))
    rng = np.random.default_rng(0)
    for number in range(-(-images // _SHARD)):
        features = rng.standard_normal((_REGIONS, _WIDTH)).astype(np.float16)
        corner = rng.uniform(0, 99, (_REGIONS, 2)).astype(np.float32)
        arrays = RegionArrays(
            boxes=np.concatenate([corner, corner + 9], axis=1),
            features=features,
            class_probs=np.zeros((_REGIONS, 0), np.float16),
            scores=np.ones(_REGIONS, np.float32),
            sources=np.zeros(_REGIONS, np.uint8),
        )
        names = [f"image-{image:09d}.jpg" for image in range(number * _SHARD, min(images, (number + 1) * _SHARD))]
        entries = [(ShardEntry(name, f"{name:0>64}", 200, 200, _REGIONS), arrays) for name in names]
        write_shard(path / "shards" / f"{number:06d}.safetensors", entries)
    seconds_to_index, _ = _timed(lambda: RegionStore.open(path)._index.write(path))
    seconds, store = _timed(lambda: RegionStore.open(path))
    assert len(store) == images
    order = Random(0)
    names = [f"image-{order.randrange(images):09d}.jpg" for _ in range(300)]
    figures = {
        "images": float(images),
        "open_seconds": min(seconds, _timed(lambda: RegionStore.open(path))[0]),
        "contains_us": 1e6 * statistics.median(_timed(partial(store.__contains__, name))[0] for name in names),
        "first_ms": 1e3 * statistics.median(_timed(partial(store.arrays, name))[0] for name in names[:50]),
        "again_us": 1e6 * statistics.median(_timed(partial(store.arrays, name))[0] for name in names[:50]),
        "index_bytes_per_image": index_file(path).stat().st_size / images,
        "index_seconds": seconds_to_index,
    }
    if images <= _WITHOUT:
        index_file(path).unlink()
        figures["open_without_index_seconds"] = _timed(lambda: RegionStore.open(path))[0]
    return figures


def _in_8_bits(folder: Path, data: Path, show: Callable[[str], None]) -> dict[str, float]:
    dataset = load_dataset(data)
    settings, _ = RegionSettings.default_for(dataset)
    stores = {bits: folder / f"store-{bits}" for bits in (16, 8)}
    examples = [*dataset.split("train").examples[:_TRAINED], *dataset.split("val").examples]
    kilobytes = {}
    for bits, store in stores.items():
        with RegionStore.create_or_resume(store, settings, int8=bits == 8):
            pass
        if bits == 16:
            extract(examples, settings, store, progress=False)
        else:
            _copied(stores[16], store)
        kilobytes[bits] = sum(file.stat().st_size for file in (store / "shards").iterdir()) / len(examples) / 1000
    figures = {f"kilobytes_{bits}_bits": size for bits, size in kilobytes.items()}
    figures["size_share"] = kilobytes[8] / kilobytes[16]
    options = InfoGround(negatives="none", schedule=Schedule(epochs=6, images_per_batch=16))
    for bits, store in stores.items():
        show(f"{data.parent.name}: training in {bits} bits")
        fit("infoground", options, FitSettings(data, folder / f"run-{bits}", regions=store))
        figures |= _scores(f"{bits}_bits", folder / f"run-{bits}", data, store)
    return figures | _scores("evaluated_in_8_bits", folder / "run-16", data, stores[8])


def _copied(source: Path, target: Path) -> None:
    """Add all images of a store to another one."""
    stored = RegionStore.open(source)
    with RegionStore.create_or_resume(target, stored.settings) as store:
        store.define_columns(stored.class_names, stored.source_names, stored.feature_blocks)
        for image_id in stored:
            store.append_stored(image_id, stored)


def _scores(name: str, run: Path, data: Path, store: Path) -> dict[str, float]:
    options = EvaluationOptions(regions=store, report=False, retrieval=True)
    found = evaluate_run(run, data, replace(options, split="val")).to_dict()
    return {f"phrases_{name}": found["recall_any"]["1"], f"rsum_{name}": found["retrieval"]["rsum"]}


def _timed(work: Callable[[], object]) -> tuple[float, RegionStore]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found  # type: ignore[return-value]
