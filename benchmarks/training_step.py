"""Training steps: cross attention against a loop over captions, and every recipe against its bare products.

SCAN t2i: scores of all pairs, the hinge loss with hardest negatives, and the gradients of regions and words, for 128
images of 36 regions and 128 captions of 20 words, width 1024, float32, on the CPU. The reference is the loop of the
original implementation. `ratio` is its time divided by ours, in alternating runs in one process. `memory_share` is our
peak memory above the inputs divided by its peak, each measured in a separate process. `max_difference` is the largest
difference between gradients of a fixed weighted sum of the scores, relative to the largest entry; the hinge loss is not
used for it, because rounding may change which negative is hardest. Gradients are compared after projection onto the
tangent space of the unit vectors, because ours treats their norms as constant.

The recipes have their default options, with batches of drawn images: losses, gradients, clipping and the optimizer.
`step_ms` is the time of a step in milliseconds, `products_ms` that of its matrix products and convolutions alone,
forward and backward, with the same shapes, and `products` the step's time divided by the latter's: medians over
alternating runs, with one thread and with two. The rest is softmax, masks, the gates of the recurrent network, dropout
and the optimizer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from benchmarks import reference
from benchmarks.harness import Result, Target, alternate
from benchmarks.inputs import RandomEmbeddings, random_embeddings
from benchmarks.memory import cost
from benchmarks.steps import RecipeStep, recipe_steps
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.recipes import RECIPES

TARGETS = (
    Target("t2i: speed-up over the loop", "t2i.ratio", "at least", 6, "x"),
    Target("t2i: share of the loop's memory", "t2i.memory_share", "at most", 0.2),
    Target("t2i: largest difference of a gradient", "t2i.max_difference", "at most", 1e-4),
    *(
        Target(f"{name}, {threads}: a step over its products", f"{name}, {threads}.products", "at most", 2, "x")
        for name in RECIPES
        for threads in ("1 thread", "2 threads")
    ),
)
_ROUNDS = 15
_SCORERS = {"t2i": AttentionScorer.scan("t2i")}


def measure(show: Callable[[str], None]) -> Result:
    """Ratios of time and memory."""
    inputs = random_embeddings(128, 128, shortest=20)
    result: Result = {}
    for name in _SCORERS:
        both = (_step(implementation, name, inputs, _weighted)() for implementation in ("ours", "loop"))
        pairs = zip(*(_tangential(inputs, gradients) for gradients in both), strict=True)
        difference = max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
        seconds = alternate(
            {implementation: _step(implementation, name, inputs) for implementation in ("loop", "ours")}, 1
        )
        peak = {
            implementation: cost("training_step", "work", implementation, name).peak_bytes
            for implementation in ("loop", "ours")
        }
        result[name] = {
            "ratio": seconds["loop"] / seconds["ours"],
            "memory_share": peak["ours"] / peak["loop"],
            "max_difference": difference,
            "seconds": seconds["ours"],
            "peak_mb": peak["ours"] / 1e6,
        }
        show(f"{name}: loop {seconds['loop']:.1f} s and {peak['loop'] / 1e6:,.0f} MB, "
            f"ours {seconds['ours']:.2f} s and {peak['ours'] / 1e6:,.0f} MB")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, step in recipe_steps(Path(folder)):
            for threads in (1, 2):
                part = f"{name}, {threads} thread{'s' * (threads > 1)}"
                result[part] = _over_products(step, threads)
                show("{}: {step_ms:.0f} ms, {products:.2f} times its products".format(part, **result[part]))
    return result


def _over_products(step: RecipeStep, threads: int) -> dict[str, float]:
    """Medians over rounds, each of one step and its products, so that other load affects both alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        products = step.products()
        rounds = [alternate({"step": step, "products": products}, 1, warm_up=turn == 0) for turn in range(_ROUNDS)]
    finally:
        torch.set_num_threads(before)
    return {
        "step_ms": 1000 * median(seconds["step"] for seconds in rounds),
        "products_ms": 1000 * median(seconds["products"] for seconds in rounds),
        "products": median(seconds["step"] / seconds["products"] for seconds in rounds),
    }


def work(implementation: str, name: str) -> Callable[[], object]:
    """The training step, for `memory.cost`."""
    return _step(implementation, name, random_embeddings(128, 128, shortest=20))


def _tangential(inputs: RandomEmbeddings, gradients: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    vectors = (inputs.regions_BRD, inputs.words_CWD)
    return [g - (g * v).sum(dim=-1, keepdim=True) * v for g, v in zip(gradients, vectors, strict=True)]


def _weighted(score_BC: torch.Tensor) -> torch.Tensor:
    weight_BC = torch.randn(score_BC.shape, generator=torch.Generator().manual_seed(0))
    return (weight_BC * score_BC).sum()


def _step(
    implementation: str,
    name: str,
    inputs: RandomEmbeddings,
    loss: Callable[[torch.Tensor], torch.Tensor] = reference.hinge,
) -> Callable[[], tuple[torch.Tensor, ...]]:
    def ours() -> tuple[torch.Tensor, ...]:
        regions_BRD = inputs.regions_BRD.detach().requires_grad_()
        words_CWD = inputs.words_CWD.detach().requires_grad_()
        score_BC = score_matrix(_SCORERS[name], regions_BRD, inputs.mask_BR, words_CWD, inputs.mask_CW)
        return torch.autograd.grad(loss(score_BC), (regions_BRD, words_CWD))

    def loop() -> tuple[torch.Tensor, ...]:
        regions_BRD = inputs.regions_BRD.detach().requires_grad_()
        words_CWD = inputs.words_CWD.detach().requires_grad_()
        score_BC = reference.cosine_scores(name, regions_BRD, words_CWD.unbind(0))
        return torch.autograd.grad(loss(score_BC), (regions_BRD, words_CWD))

    return {"ours": ours, "loop": loop}[implementation]
