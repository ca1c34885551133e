"""Scores in blocks equal those of whole alignments, whatever the blocks, the order and the padding.

`test_scan` shows that both equal loops that build every attended vector, gradients included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unboxed.attention import chunked_scores
from unboxed.attention.base import Aligner, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.best_region import BestRegion
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.key_value import KeyValueAttention
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.refinement import PriorRefinement
from unboxed.attention.scan import CrossAttention
from unboxed.attention.sgraf import ReasoningSettings, SimilarityReasoning
from unboxed.attention.vse import PooledEmbedding
from unboxed.runtime.core_pool import run_on_cores

IMAGES, CAPTIONS, REGIONS, WORDS, WIDTH = 13, 17, 9, 11, 16
SCORERS = {
    "t2i": AttentionScorer.scan("t2i"),
    "i2t lse": AttentionScorer.scan("i2t", "lse"),
    "bfan": AttentionScorer.bfan("prob"),
    "pfan": AttentionScorer.pfan(),
    "focal l1": AttentionScorer("both", norm="l1norm", focal="equal"),
    "sharp": AttentionScorer("both", norm="clipped", sharpness=90.0, aggregation="max"),
    "softmax": AttentionScorer("both", norm="softmax"),
}
ALIGNERS = {
    "best region": lambda: BestRegion(7, 6, joint_width=8, hidden_width=8, score="root"),
    "key value": lambda: KeyValueAttention(7, 6, joint_width=8),
    "refinement": lambda: PriorRefinement(7, 6, joint_width=8),
    "pooled": lambda: PooledEmbedding(7, 6, joint_width=8),
    "graph": lambda: SimilarityReasoning(7, 6, joint_width=8, settings=ReasoningSettings(similarity_width=5)),
    "filter": lambda: SimilarityReasoning(
        7, 6, joint_width=8, settings=ReasoningSettings("filter", similarity_width=5)
    ),
    "cross": lambda: CrossAttention(7, 6, joint_width=8, scorer=AttentionScorer("both")),
}
every_scorer = pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS.keys())


def _ragged(groups: int, size: int, seed: int) -> torch.Tensor:
    """Masks with holes, some full, one empty."""
    mask = torch.rand(groups, size, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[::3] = True
    mask[1] = False
    return mask


def _embeddings() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    regions_BRD = l2_normalize(torch.randn(IMAGES, REGIONS, WIDTH, generator=rng, dtype=torch.float64) + 0.4)
    words_CQD = l2_normalize(torch.randn(CAPTIONS, WORDS, WIDTH, generator=rng, dtype=torch.float64) + 0.3)
    return regions_BRD, _ragged(IMAGES, REGIONS, 1), words_CQD, _ragged(CAPTIONS, WORDS, 2)


def _whole(scorer: AttentionScorer, embeddings: tuple[torch.Tensor, ...]) -> torch.Tensor:
    regions_BRD, mask_BR, words_CQD, mask_CQ = embeddings
    model = CrossAttention(3, 3, joint_width=4, scorer=scorer)
    return model.align(RegionEmbeddings((regions_BRD,), mask_BR), QueryEmbeddings((words_CQD,), mask_CQ)).score_BC


@every_scorer
@pytest.mark.parametrize("budget_bytes", [1, 20_000, 2**28])
def test_blocks_of_any_size_give_the_scores_of_whole_alignments(scorer: AttentionScorer, budget_bytes: int) -> None:
    embeddings = _embeddings()
    score_BC = score_matrix(scorer, *embeddings, budget_bytes=budget_bytes)
    torch.testing.assert_close(score_BC, _whole(scorer, embeddings), rtol=0, atol=1e-10)
    assert (score_BC[1] == 0).all() and (score_BC[:, 1] == 0).all()
    every_region = (embeddings[0], torch.ones_like(embeddings[1]), *embeddings[2:])
    score_BC = score_matrix(scorer, *every_region, budget_bytes=budget_bytes)
    torch.testing.assert_close(score_BC, _whole(scorer, every_region), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["t2i", "i2t lse", "bfan"])
def test_cores_with_blocks_of_their_own_give_the_scores_of_one_core(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used, before, found = [], torch.get_num_threads(), []

    def recorded(work: Callable[[torch.Tensor], None], items: list[torch.Tensor], workers: int) -> None:
        used.append(workers)
        run_on_cores(work, items, workers)

    monkeypatch.setattr(chunked_scores, "run_on_cores", recorded)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(score_matrix(SCORERS[name], *_embeddings(), budget_bytes=4000))
    finally:
        torch.set_num_threads(before)
    assert set(used) == {1, 2}
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-12)


@every_scorer
def test_single_precision_is_within_a_millionth(scorer: AttentionScorer) -> None:
    regions_BRD, mask_BR, words_CQD, mask_CQ = _embeddings()
    score_BC = score_matrix(scorer, regions_BRD.float(), mask_BR, words_CQD.float(), mask_CQ)
    assert score_BC.dtype == torch.float32
    exact_BC = _whole(scorer, (regions_BRD, mask_BR, words_CQD, mask_CQ))
    torch.testing.assert_close(score_BC.double(), exact_BC, rtol=0, atol=1e-6)


@every_scorer
def test_gradients_are_those_of_whole_alignments_in_blocks_too(scorer: AttentionScorer) -> None:
    regions_BRD, mask_BR, words_CQD, mask_CQ = _embeddings()
    embeddings = regions_BRD.requires_grad_(), mask_BR, words_CQD.requires_grad_(), mask_CQ
    weight_BC = torch.randn(IMAGES, CAPTIONS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = []
    # With the small budget, what the gradient needs is computed again in the backward pass.
    for budget_bytes in (20_000, 2**28):
        score_BC = score_matrix(scorer, *embeddings, budget_bytes=budget_bytes)
        found.append(torch.autograd.grad((score_BC * weight_BC).sum(), (regions_BRD, words_CQD)))
    whole = torch.autograd.grad((_whole(scorer, embeddings) * weight_BC).sum(), (regions_BRD, words_CQD))
    for blocks in found:
        torch.testing.assert_close(blocks, whole, rtol=0, atol=1e-9)


@every_scorer
def test_the_order_of_images_and_captions_and_what_is_padded_change_nothing(scorer: AttentionScorer) -> None:
    regions_BRD, mask_BR, words_CQD, mask_CQ = _embeddings()
    score_BC = score_matrix(scorer, regions_BRD, mask_BR, words_CQD, mask_CQ)
    image_B, caption_C = torch.arange(IMAGES).flip(0), torch.arange(CAPTIONS).roll(5)
    noisy_BRD = regions_BRD.masked_fill(~mask_BR[..., None], float("nan"))
    noisy_CQD = words_CQD.masked_fill(~mask_CQ[..., None], float("nan"))
    turned_BC = score_matrix(scorer, noisy_BRD[image_B], mask_BR[image_B], noisy_CQD[caption_C], mask_CQ[caption_C])
    torch.testing.assert_close(turned_BC, score_BC[image_B][:, caption_C], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("images", "captions"), [(0, 3), (3, 0)])
def test_without_images_or_captions_there_are_no_scores(images: int, captions: int) -> None:
    regions_BRD, mask_BR, words_CQD, mask_CQ = _embeddings()
    parts = regions_BRD[:images], mask_BR[:images], words_CQD[:captions], mask_CQ[:captions]
    assert score_matrix(SCORERS["t2i"], *parts).shape == (images, captions)


def test_images_without_regions_score_0() -> None:
    regions_BRD, mask_BR, words_CQD, mask_CQ = _embeddings()
    scorer = AttentionScorer(aggregation="lse")
    padded_BC = score_matrix(scorer, regions_BRD, torch.zeros_like(mask_BR), words_CQD, mask_CQ)
    empty_BC = score_matrix(scorer, regions_BRD[:, :0], mask_BR[:, :0], words_CQD, mask_CQ)
    assert padded_BC.shape == empty_BC.shape and not padded_BC.any() and not empty_BC.any()


@pytest.mark.parametrize("name", ["t2i", "bfan"])
def test_no_tensor_is_larger_than_the_budget(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    images, captions, width, budget = 40, 60, 8, 2**17
    embeddings = (
        l2_normalize(torch.randn(images, 12, width, generator=rng)),
        l2_normalize(torch.randn(captions, 10, width, generator=rng)),
    )
    mask_BR, mask_CQ = _ragged(images, 12, 1), _ragged(captions, 10, 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # what is seen is what this thread makes
    with torch.no_grad(), _largest() as seen:
        score_matrix(SCORERS[name], embeddings[0], mask_BR, embeddings[1], mask_CQ, budget_bytes=budget)
    assert 4 * images * captions * 12 * 10 > 8 * budget
    assert max(seen) <= budget


@pytest.mark.parametrize("name", ALIGNERS)
def test_every_aligner_scores_in_blocks_as_it_aligns(name: str) -> None:
    torch.manual_seed(0)
    model: Any = ALIGNERS[name]().double().eval()
    rng = torch.Generator().manual_seed(1)
    mask_BR, mask_CQ = _ragged(6, 5, 1), _ragged(8, 4, 2)
    mask_BR[1, 2] = True  # an image without regions has no score in some of them
    inputs_BRV = torch.randn(6, 5, 7, generator=rng, dtype=torch.float64) * mask_BR[..., None]
    regions = model.embed_regions(inputs_BRV, torch.zeros(6, 5, 4).double(), mask_BR)
    queries = model.embed_queries(torch.randn(8, 4, 6, generator=rng, dtype=torch.float64), mask_CQ)
    _check_blocks(model, regions, queries)


@torch.no_grad()
def _check_blocks(model: Aligner, regions: RegionEmbeddings, queries: QueryEmbeddings) -> None:
    prior_BCQR = torch.randn(6, 8, 4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for prior in (None, prior_BCQR):
        whole_BC = model.align(regions, queries, prior_BCQR=prior).score_BC
        for budget_bytes in (1, 4000, 2**28):
            score_BC = model.scores(regions, queries, prior_BCQR=prior, budget_bytes=budget_bytes)
            torch.testing.assert_close(score_BC, whole_BC, rtol=0, atol=1e-10)


@contextmanager
def _largest() -> Iterator[list[int]]:
    """Collects the bytes of every new tensor that is made in the block."""
    seen: list[int] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            for one in result if isinstance(result, list | tuple) else [result]:
                if isinstance(one, torch.Tensor):
                    seen.append(one.numel() * one.element_size())
            return result

    with Recorder():
        yield seen
