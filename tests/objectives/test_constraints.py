"""CCR and CCS beside loops that build every attended vector, and what must hold for any reading of the paper."""

from __future__ import annotations

import pytest
import torch

from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.matched import MatchedAttention, matched_attention
from unboxed.attention.normalize import l2_normalize
from unboxed.objectives.constraints import CcrVariant, CcsVariant, ccr_loss, ccs_loss, sample_swaps

REGIONS, WORDS = [5, 2, 1, 4], [6, 3, 2, 4]  # the third pair has a single region
SCORERS = {
    "t2i": AttentionScorer.scan("t2i"),
    "i2t": AttentionScorer.scan("i2t"),
    "bfan": AttentionScorer.bfan("equal"),
}
every_scorer = pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS.keys())


def _matched(scorer: AttentionScorer, seed: int = 0, grad: bool = False) -> tuple[MatchedAttention, ...]:
    rng = torch.Generator().manual_seed(seed)
    regions_CRD = torch.randn(4, 5, 8, generator=rng, dtype=torch.float64).requires_grad_(grad)
    words_CQD = torch.randn(4, 6, 8, generator=rng, dtype=torch.float64).requires_grad_(grad)
    region_mask_CR = torch.arange(5) < torch.tensor(REGIONS)[:, None]
    word_mask_CQ = torch.arange(6) < torch.tensor(WORDS)[:, None]
    return matched_attention(
        scorer, l2_normalize(regions_CRD + 0.4), region_mask_CR, l2_normalize(words_CQD + 0.4), word_mask_CQ
    )


def _swaps(matched: tuple[MatchedAttention, ...], seed: int = 0) -> tuple[torch.Tensor, ...]:
    return sample_swaps(matched, torch.arange(4), torch.Generator().manual_seed(seed))


def _cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.cosine_similarity(first, second, dim=0))


def _mean(values: list[list[float]]) -> float:
    rows = [sum(row) / len(row) for row in values if row]
    return sum(rows) / len(rows)


@every_scorer
@pytest.mark.parametrize("variant", ["reversed", "topk"])
def test_ccr_equals_a_loop_that_builds_every_attended_vector(scorer: AttentionScorer, variant: CcrVariant) -> None:
    directions = []
    for attention in _matched(scorer):
        pairs = []
        for c in range(4):
            count = int(attention.context_mask_CN[c].sum())
            keys, losses = attention.contexts_CND[c, :count], []
            for q in range(int(attention.query_mask_CQ[c].sum())) if count > 1 else ():
                query, weights = attention.queries_CQD[c, q], attention.weights_CQN[c, q, :count]
                if variant == "reversed":
                    attended, ignored = weights @ keys, (1 - weights) / (count - 1) @ keys
                else:
                    order, half = weights.argsort(descending=True, stable=True), min(2, count // 2)
                    attended, ignored = keys[order[:half]].mean(dim=0), keys[order[-half:]].mean(dim=0)
                losses.append(max(0.0, 0.5 + _cosine(query, ignored) - _cosine(query, attended)))
            pairs.append(losses)
        directions.append(_mean(pairs))
    fast = ccr_loss(_matched(scorer), margin=0.5, variant=variant, keys=2)
    assert float(fast) == pytest.approx(sum(directions) / len(directions), abs=1e-10)


@every_scorer
@pytest.mark.parametrize("variant", ["query", "content"])
def test_ccs_equals_a_loop_that_builds_every_attended_vector(scorer: AttentionScorer, variant: CcsVariant) -> None:
    matched = _matched(scorer)
    swaps = _swaps(matched)
    directions = []
    for attention, swap_CQ in zip(matched, swaps, strict=True):
        embeddings = attention.queries_CQD.flatten(0, 1)
        pairs = []
        for c in range(4):
            keys, losses = attention.contexts_CND[c], []
            real = int(attention.query_mask_CQ[c].sum())
            swapped = embeddings[swap_CQ[c, :real]]
            padded = torch.zeros_like(attention.queries_CQD[c])
            padded[:real] = swapped
            everything = torch.zeros_like(attention.similarity_CQN)
            everything[c] = padded @ keys.T
            swapped_weights = attention.weigh(everything)[c]
            for q in range(real):
                query, attended = attention.queries_CQD[c, q], attention.weights_CQN[c, q] @ keys
                other = (
                    _cosine(swapped[q], attended) if variant == "query" else _cosine(query, swapped_weights[q] @ keys)
                )
                losses.append(max(0.0, 0.3 + other - _cosine(query, attended)))
            pairs.append(losses)
        directions.append(_mean(pairs))
    fast = ccs_loss(matched, swaps, margin=0.3, variant=variant)
    assert float(fast) == pytest.approx(sum(directions) / len(directions), abs=1e-10)


def test_uniform_attention_reversed_is_itself_so_that_ccr_is_the_margin() -> None:
    uniform = _matched(AttentionScorer(sharpness=0.0))
    assert float(ccr_loss(uniform, margin=0.2)) == pytest.approx(0.2)


def test_a_mean_of_no_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="keys is 0; it must be at least 1"):
        ccr_loss(_matched(AttentionScorer()), variant="topk", keys=0)


def test_a_query_swapped_for_itself_leaves_the_margin() -> None:
    matched = _matched(AttentionScorer.bfan())
    itself = [torch.arange(attention.query_mask_CQ.numel()).view_as(attention.query_mask_CQ) for attention in matched]
    for variant in ("query", "content"):
        assert float(ccs_loss(matched, itself, margin=0.2, variant=variant)) == pytest.approx(0.2)


def test_all_attention_on_the_right_one_of_orthogonal_contexts_costs_nothing() -> None:
    embeddings, mask = torch.eye(3, dtype=torch.float64)[None], torch.ones(1, 3, dtype=torch.bool)
    (sharp,) = matched_attention(AttentionScorer(sharpness=1e4), embeddings, mask, embeddings, mask)
    torch.testing.assert_close(sharp.weights_CQN, embeddings)
    assert float(ccr_loss([sharp], margin=1.0)) == pytest.approx(0.0, abs=1e-9)
    assert float(ccr_loss([sharp], margin=1.2)) == pytest.approx(0.2)


@every_scorer
def test_padding_gets_no_reversed_weight(scorer: AttentionScorer) -> None:
    # The same pair alone, cut to its true size, and in a batch where it is padded.
    batch = _matched(scorer)
    alone = matched_attention(
        scorer,
        (batch[0].contexts_CND if batch[0].direction == "t2i" else batch[0].queries_CQD)[1:2, :2],
        torch.ones(1, 2, dtype=torch.bool),
        (batch[0].queries_CQD if batch[0].direction == "t2i" else batch[0].contexts_CND)[1:2, :3],
        torch.ones(1, 3, dtype=torch.bool),
    )
    among = [_only(attention, 1) for attention in batch]
    for variant in ("reversed", "topk"):
        torch.testing.assert_close(ccr_loss(among, 0.5, variant), ccr_loss(alone, 0.5, variant))


def _only(attention: MatchedAttention, c: int) -> MatchedAttention:
    """`attention` with a single pair, still padded."""
    return MatchedAttention(
        attention.direction,
        *(
            getattr(attention, name)[c : c + 1]
            for name in (
                "weights_CQN",
                "similarity_CQN",
                "gram_CNN",
                "query_mask_CQ",
                "context_mask_CN",
                "queries_CQD",
                "contexts_CND",
            )
        ),
        attention.scorer,
    )


@every_scorer
def test_gradients_are_finite_and_reach_words_and_regions(scorer: AttentionScorer) -> None:
    matched = _matched(scorer, grad=True)
    loss = ccr_loss(matched, 1.0) + ccs_loss(matched, _swaps(matched), 1.0)
    leaves = torch.autograd.grad(loss, [attention.queries_CQD for attention in matched])
    assert all(torch.isfinite(grad).all() and bool((grad != 0).any()) for grad in leaves)


def test_where_nothing_counts_the_loss_is_zero_with_a_finite_gradient() -> None:
    embeddings = torch.zeros(1, 1, 4, requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    matched = matched_attention(AttentionScorer.bfan(), l2_normalize(embeddings), mask, l2_normalize(embeddings), mask)
    swaps = sample_swaps(matched, torch.tensor([0]), torch.Generator())
    assert all((swap == -1).all() for swap in swaps)
    loss = ccr_loss(matched) + ccs_loss(matched, swaps)
    loss.backward()
    assert loss.item() == 0.0
    assert embeddings.grad is not None and torch.isfinite(embeddings.grad).all()


def test_unknown_variants_are_refused() -> None:
    matched = _matched(AttentionScorer.scan("t2i"))
    with pytest.raises(ValueError, match="not 'mean'"):
        ccr_loss(matched, variant="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 'both'"):
        ccs_loss(matched, _swaps(matched), variant="both")  # type: ignore[arg-type]


class TestSwaps:
    IMAGE_OF_C = torch.tensor([0, 1, 0, 2])
    WORD_IDS = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 9, 0, 0, 0], [7, 8, 0, 0, 0, 0], [1, 7, 9, 10, 0, 0]])

    def _sample(self, seed: int, **options: torch.Tensor) -> torch.Tensor:
        matched = _matched(AttentionScorer.scan("t2i"))
        (swap_CQ,) = sample_swaps(matched, self.IMAGE_OF_C, torch.Generator().manual_seed(seed), **options)
        return swap_CQ

    def test_the_same_seed_gives_the_same_sample(self) -> None:
        assert torch.equal(self._sample(3), self._sample(3))
        assert not torch.equal(self._sample(3), self._sample(4))

    def test_swaps_are_real_queries_of_other_images_and_words_that_no_caption_of_the_image_contains(self) -> None:
        contained = {0: {1, 2, 3, 4, 5, 6, 7, 8}, 1: {1, 2, 9}, 2: {1, 7, 9, 10}}
        sampled: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
        for seed in range(60):
            swap_CQ = self._sample(seed, word_ids_CQ=self.WORD_IDS)
            for c in range(4):
                assert (swap_CQ[c, WORDS[c] :] == -1).all()
                for place in swap_CQ[c, : WORDS[c]].tolist():
                    other, q = divmod(place, 6)
                    assert q < WORDS[other] and self.IMAGE_OF_C[other] != self.IMAGE_OF_C[c]
                    sampled[int(self.IMAGE_OF_C[c])].add(int(self.WORD_IDS[other, q]))
        assert sampled == {0: {9, 10}, 1: {3, 4, 5, 6, 7, 8, 10}, 2: {2, 3, 4, 5, 6, 8}}
        assert not any(sampled[image] & contained[image] for image in contained)

    def test_words_that_are_not_eligible_are_never_sampled(self) -> None:
        words = self.WORD_IDS.flatten()
        for seed in range(30):
            swap_CQ = self._sample(seed, word_ids_CQ=self.WORD_IDS, eligible_CQ=self.WORD_IDS > 9)
            assert set(words[swap_CQ[0]].tolist()) == {10}

    def test_a_batch_of_one_image_has_none(self) -> None:
        matched = _matched(AttentionScorer.bfan())
        for swap_CQ in sample_swaps(matched, torch.zeros(4, dtype=torch.long), torch.Generator()):
            assert (swap_CQ == -1).all()
