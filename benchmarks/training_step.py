"""A training step of cross attention against a loop over captions.

SCAN t2i: scores of all pairs, the hinge with hardest negatives, and the gradients of regions and words: 128 images of
36 regions, 128 captions of 20 words each, width 1024, float32, on the CPU. The reference is the originals' loop.
`ratio` is its time over ours, taken in turns in one process; `memory_share` is our peak of memory above the inputs over
its peak, each measured in a process of its own; `max_difference` is the largest difference of a gradient of a fixed
weighted sum of the scores, relative to the largest entry: which negative is hardest turns on the last bit of a score.
Gradients are compared along the sphere that unit vectors lie on: ours takes their length as given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks import reference
from benchmarks.harness import Result, Target, alternate
from benchmarks.inputs import Codes, draw
from benchmarks.memory import cost
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import AttentionScorer

TARGETS = (
    Target("t2i: times the loop", "t2i.ratio", "at least", 6, "x"),
    Target("t2i: memory, of the loop's", "t2i.memory_share", "at most", 0.2),
    Target("t2i: largest difference of a gradient", "t2i.max_difference", "at most", 1e-4),
)
_SCORERS = {"t2i": AttentionScorer.scan("t2i")}


def measure(show: Callable[[str], None]) -> Result:
    """Ratios of time and memory."""
    codes = draw(128, 128, shortest=20)
    result: Result = {}
    for name in _SCORERS:
        both = (_step(way, name, codes, _weighted)() for way in ("ours", "loop"))
        pairs = zip(*(_along_sphere(codes, gradients) for gradients in both), strict=True)
        difference = max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
        seconds = alternate({way: _step(way, name, codes) for way in ("loop", "ours")}, 1)
        peak = {way: cost("training_step", "work", way, name).peak_bytes for way in ("loop", "ours")}
        result[name] = {
            "ratio": seconds["loop"] / seconds["ours"],
            "memory_share": peak["ours"] / peak["loop"],
            "max_difference": difference,
            "seconds": seconds["ours"],
            "peak_mb": peak["ours"] / 1e6,
        }
        show(f"{name}: loop {seconds['loop']:.1f} s and {peak['loop'] / 1e6:,.0f} MB, "
            f"ours {seconds['ours']:.2f} s and {peak['ours'] / 1e6:,.0f} MB")  # fmt: skip
    return result


def work(way: str, name: str) -> Callable[[], object]:
    """For `memory.cost`."""
    return _step(way, name, draw(128, 128, shortest=20))


def _along_sphere(codes: Codes, gradients: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    vectors = (codes.regions_BRD, codes.words_CWD)
    return [g - (g * v).sum(dim=-1, keepdim=True) * v for g, v in zip(gradients, vectors, strict=True)]


def _weighted(score_BC: torch.Tensor) -> torch.Tensor:
    weight_BC = torch.randn(score_BC.shape, generator=torch.Generator().manual_seed(0))
    return (weight_BC * score_BC).sum()


def _step(
    way: str, name: str, codes: Codes, loss: Callable[[torch.Tensor], torch.Tensor] = reference.hinge
) -> Callable[[], tuple[torch.Tensor, ...]]:
    def ours() -> tuple[torch.Tensor, ...]:
        regions_BRD = codes.regions_BRD.detach().requires_grad_()
        words_CWD = codes.words_CWD.detach().requires_grad_()
        score_BC = score_matrix(_SCORERS[name], regions_BRD, codes.mask_BR, words_CWD, codes.mask_CW)
        return torch.autograd.grad(loss(score_BC), (regions_BRD, words_CWD))

    def loop() -> tuple[torch.Tensor, ...]:
        regions_BRD = codes.regions_BRD.detach().requires_grad_()
        words_CWD = codes.words_CWD.detach().requires_grad_()
        score_BC = reference.cosine_scores(name, regions_BRD, words_CWD.unbind(0))
        return torch.autograd.grad(loss(score_BC), (regions_BRD, words_CWD))

    return {"ours": ours, "loop": loop}[way]
