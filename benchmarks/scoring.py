"""Scoring of all pairs against a loop over captions.

256 images of 36 regions x 1,280 captions of 8 to 20 words, width 1024, float32. `ratio` is the time of the loop of the
original implementations (each caption repeated for every image, attended features of the joint width, shards of 128
images) divided by ours. `floor_ratio` is our time divided by that of the bare matrix product `[images x regions, D] x
[D, all words]` into preallocated memory. `limit` is the time of the loop divided by that of the product: the largest
`ratio` that an exact method could reach. `max_difference` is the largest difference between scores of ours and of the
loop. BFAN is `focal_equal`, the faster variant of the original. Its rule is a step function: where a weight is within
rounding of the mean, one implementation may keep it and the other drop it, and the scores differ by more than rounding;
`differing` is the share of pairs that differ by more than 1e-6. The loop runs once, in slices that alternate with ours
and the product.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from benchmarks import reference
from benchmarks.harness import Result, Target
from benchmarks.inputs import random_embeddings
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import AttentionScorer

TARGETS = (
    Target("t2i: speed-up over the loop", "t2i.ratio", "at least", 16, "x"),
    Target("t2i: time over the bare product", "t2i.floor_ratio", "at most", 1.35, "x"),
    Target("i2t: speed-up over the loop", "i2t.ratio", "at least", 14, "x"),
    Target("i2t: time over the bare product", "i2t.floor_ratio", "at most", 1.6, "x"),
    Target("BFAN: speed-up over the loop", "bfan.ratio", "at least", 14, "x"),
    Target("BFAN: time over the bare product", "bfan.floor_ratio", "at most", 1.6, "x"),
    Target("t2i: largest difference", "t2i.max_difference", "at most", 1e-5),
    Target("i2t: largest difference", "i2t.max_difference", "at most", 1e-5),
    Target("BFAN: share of pairs that differ", "bfan.differing", "at most", 1e-3),
)
_SCORERS = {
    "t2i": AttentionScorer.scan("t2i"),
    "i2t": AttentionScorer.scan("i2t"),
    "bfan": AttentionScorer.bfan("equal"),
}
_SLICES = 4


@torch.inference_mode()
def measure(show: Callable[[str], None], images: int = 256, captions: int = 1280) -> Result:
    """Ratios for all methods."""
    inputs = random_embeddings(images, captions)
    padded = inputs.regions_BRD, inputs.mask_BR, inputs.words_CWD, inputs.mask_CW
    rows_ND, words_TD = inputs.regions_BRD.flatten(0, 1), torch.cat(inputs.captions)
    product_NT = rows_ND.new_empty(len(rows_ND), len(words_TD))
    slices = [inputs.captions[start::_SLICES] for start in range(_SLICES)]
    result: Result = {}
    torch.mm(rows_ND, words_TD.T, out=product_NT)
    for name, scorer in _SCORERS.items():
        ours_BC = score_matrix(scorer, *padded)
        reference.sharded(name, inputs.regions_BRD, slices[0][:2])
        loop, ours, floor = 0.0, [], []
        difference_BC = torch.zeros_like(ours_BC)
        for number, part in enumerate(slices):
            seconds, loop_BC = _timed(partial(reference.sharded, name, inputs.regions_BRD, part))
            loop += seconds
            difference_BC[:, number::_SLICES] = (loop_BC - ours_BC[:, number::_SLICES]).abs()
            ours.append(_timed(partial(score_matrix, scorer, *padded))[0])
            floor.append(_timed(lambda: torch.mm(rows_ND, words_TD.T, out=product_NT))[0])
        fast, product = statistics.median(ours), statistics.median(floor)
        result[name] = {
            "ratio": loop / fast,
            "floor_ratio": fast / product,
            "limit": loop / product,
            "max_difference": float(difference_BC.max()),
            "differing": float((difference_BC > 1e-6).float().mean()),
        }
        show(f"{name}: loop {loop:.1f} s, ours {fast:.2f} s, product {product:.2f} s")
    return result


def _timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result
