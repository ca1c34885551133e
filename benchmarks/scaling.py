"""Scaling: training with one and two processes, and the cost of each stage.

*processes*: InfoGround on drawn images on the CPU, one thread a process. *strong* is the time of a step of 32 images in
one process divided by its time in two, ideally 2; *weak* is the time of a step of 32 images in one process divided by
that of 64 images in two, ideally 1. The runs follow each other on the same machine, and what else it does at that time
counts.

*image*, *caption* and *pair* are the costs of SCAN (default options, on regions of drawn images) for one of each:
operations counted with the shapes at hand, microseconds with one thread, and their quotient in billions of operations
a second; *bytes* are those of the regions in the store and of the embeddings in half precision. *step* is a training
step, forward and backward. *growth* is the time of all pairs of n images and n captions, divided by n^2 times the time
of a pair measured with 100 x 100: 1 means that the cost model holds. `unboxed bench growth` goes on to 10^8 pairs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Result, Target
from benchmarks.steps import RecipeStep, recipe_steps
from unboxed.data.dataset import load_dataset
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.scenes import write_scenes

TARGETS = (
    Target("growth of the time of all pairs, 316 x 316", "growth.316 x 316", "at most", 1.5, "x"),
    Target("two processes, a step of 32 images", "processes.strong", "at least", 1.2, "x"),
)

_ROUNDS = 3


def measure(show: Callable[[str], None]) -> Result:
    """Ratios, operations, microseconds and bytes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            show("costs")
            result = _costs(Path(folder))
            show("processes")
            return {"processes": _processes(Path(folder), show), **result}
    finally:
        torch.set_num_threads(threads)


def _processes(folder: Path, show: Callable[[str], None]) -> dict[str, float]:
    data = write_scenes(folder / "scenes", train=192, val=8, test=1)
    dataset = load_dataset(data)
    settings, _ = RegionSettings.default_for(dataset)
    examples = [example for name in dataset.split_names for example in dataset.split(name).examples]
    extract(examples, settings, folder / "store", progress=False)
    seconds = {}
    for devices, images in ((1, 32), (2, 32), (2, 64)):
        run = folder / f"run-{devices}-{images}"
        command = f"fit infoground --device cpu --devices {devices} --images-per-batch {images} --epochs {images // 16}"
        fixed = ["--negatives", "none", "--data", data, "--regions", folder / "store", "--out", run]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "unboxed", *command.split(), *map(str, fixed)]
        subprocess.run(words, check=True, capture_output=True, env=environment)
        logged = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
        last = [entry for entry in logged if "seconds" in entry][-1]  # of step 10 of 12
        seconds[devices, images] = last["seconds"] / last["step"]
        show(f"{devices} processes, {images} images: {1000 * seconds[devices, images]:.0f} ms a step")
    milliseconds = {f"ms_{d}_processes_{images}_images": 1000 * found for (d, images), found in seconds.items()}
    return {
        "strong": seconds[1, 32] / seconds[2, 32],
        "weak": seconds[1, 32] / seconds[2, 64],
        **milliseconds,
    }


def _costs(folder: Path) -> Result:
    step = next(step for _, step in recipe_steps(folder, ["scan"]))
    model, batch = step.model.eval(), step.batch
    with torch.no_grad():
        images, captions = model.encode_images(batch.images), model.encode_captions(batch.captions)
        regions = images.regions.mask_BR.sum(dim=1).float().mean().item()
        words = captions.queries.mask_CQ.sum(dim=1).float().mean().item()
        width = images.regions.tensors[0].shape[-1]
        found: Result = {
            "image": _stage(lambda: model.encode_images(batch.images), len(batch.images.mask_BR)),
            "caption": _stage(lambda: model.encode_captions(batch.captions), len(captions.queries.mask_CQ)),
            "pair": _pair(step, images, captions, 100) | {"regions": regions, "words": words, "width": float(width)},
        }
        pair_seconds = found["pair"]["microseconds"] / 1e6
        found["growth"] = {}
        for count in (32, 100, 316):
            measured = _pair(step, images, captions, count)["microseconds"] / 1e6
            found["growth"][f"{count:,} x {count:,}"] = measured / pair_seconds
    found["image"]["bytes_of_embeddings"] = 2 * regions * width
    found["caption"]["bytes_of_embeddings"] = 2 * words * width
    store = folder / "scan" / "store"
    size = sum(file.stat().st_size for file in (store / "shards").iterdir())
    found["image"]["bytes_in_the_store"] = size / len(RegionStore.open(store))
    found["step"] = _stage(step, len(batch.images.mask_BR))
    return found


def _stage(work: Callable[[], object], count: int) -> dict[str, float]:
    """The cost of one of `count` images or captions."""
    with FlopCounterMode(display=False) as counter:
        work()
    seconds = _seconds(work)
    return _cost(counter.get_total_flops() / count, seconds / count)


def _pair(step: RecipeStep, images: ImageEmbeddings, captions: CaptionEmbeddings, count: int) -> dict[str, float]:
    """The cost of one pair of `count` images and captions, which are those of the batch repeated."""
    rows_B, rows_C = (torch.arange(count) % len(mask) for mask in (images.regions.mask_BR, captions.queries.mask_CQ))
    many = images.of(rows_B)
    texts = captions.part(rows_C)
    regions, width = images.regions.tensors[0].shape[1:]
    words = texts.queries.mask_CQ.sum(dim=1).float().mean().item()
    # Similarities of words and regions, and of regions with regions, which the norm of the attended vector needs.
    operations = 2 * words * regions * (width + regions)
    return _cost(operations, _seconds(lambda: step.model.score(many, texts)) / count**2)


def _cost(operations: float, seconds: float) -> dict[str, float]:
    return {
        "million_operations": operations / 1e6,
        "microseconds": 1e6 * seconds,
        "billion_operations_a_second": operations / seconds / 1e9,
    }


def _seconds(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
