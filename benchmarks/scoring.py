"""All-pairs scoring against a loop over captions.

256 images of 36 regions x 1,280 captions of 8 to 20 words, width 1024, float32. `ratio` is the time of the loop that
the originals run (each caption repeated for every image, contents of the joint width, shards of 128 images) over ours;
`floor_ratio` is our time over that of the bare matrix product `[images x regions, D] x [D, all real words]` into memory
that is there already; `limit` is the loop's time over that product, the most that any exact method could reach as
`ratio`; `max_difference` is the largest difference of a score from the loop's. BFAN is `focal_equal`, the leaner one in
the original; its rule is a step, and where a weight is within rounding of the mean one may keep what the other drops,
and the scores differ by more than rounding: `differing` is the share of pairs that differ by more than 1e-6. The loop
is run once, in slices, between which ours and the product take their turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks import reference
from benchmarks.harness import Result, Target
from benchmarks.inputs import draw
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import AttentionScorer

TARGETS = (
    Target("t2i: times the loop", "t2i.ratio", "at least", 16, "x"),
    Target("t2i: over the bare product", "t2i.floor_ratio", "at most", 1.35, "x"),
    Target("i2t: times the loop", "i2t.ratio", "at least", 14, "x"),
    Target("i2t: over the bare product", "i2t.floor_ratio", "at most", 1.6, "x"),
    Target("BFAN: times the loop", "bfan.ratio", "at least", 14, "x"),
    Target("BFAN: over the bare product", "bfan.floor_ratio", "at most", 1.6, "x"),
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
    """Ratios for each method."""
    codes = draw(images, captions)
    padded = codes.regions_BRD, codes.mask_BR, codes.words_CWD, codes.mask_CW
    rows_ND, words_TD = codes.regions_BRD.flatten(0, 1), torch.cat(codes.captions)
    product_NT = rows_ND.new_empty(len(rows_ND), len(words_TD))
    slices = [codes.captions[start::_SLICES] for start in range(_SLICES)]
    result: Result = {}
    torch.mm(rows_ND, words_TD.T, out=product_NT)
    for name, scorer in _SCORERS.items():
        ours_BC = score_matrix(scorer, *padded)
        reference.sharded(name, codes.regions_BRD, slices[0][:2])
        loop, ours, floor = 0.0, [], []
        difference_BC = torch.zeros_like(ours_BC)
        for number, part in enumerate(slices):
            seconds, loop_BC = _timed(lambda part=part, name=name: reference.sharded(name, codes.regions_BRD, part))
            loop += seconds
            difference_BC[:, number::_SLICES] = (loop_BC - ours_BC[:, number::_SLICES]).abs()
            ours.append(_timed(lambda scorer=scorer: score_matrix(scorer, *padded))[0])
            floor.append(_timed(lambda: torch.mm(rows_ND, words_TD.T, out=product_NT))[0])
        own, bare = statistics.median(ours), statistics.median(floor)
        result[name] = {
            "ratio": loop / own,
            "floor_ratio": own / bare,
            "limit": loop / bare,
            "max_difference": float(difference_BC.max()),
            "differing": float((difference_BC > 1e-6).float().mean()),
        }
        show(f"{name}: loop {loop:.1f} s, ours {own:.2f} s, product {bare:.2f} s")
    return result


def _timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result
