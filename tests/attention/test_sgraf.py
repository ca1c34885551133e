"""SGR and SAF beside the paper's formulas for one image and one caption without padding."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.normalize import CaptionBatchNorm
from unboxed.attention.sgraf import GlobalVector, Reasoning, ReasoningSettings, SimilarityReasoning
from unboxed.attention.sgraf_heads import AttentionFilter, GraphReasoning, GraphStep
from unboxed.errors import RegionsError

REGIONS, WORDS = [5, 2, 1], [6, 3, 1, 4]
both = pytest.mark.parametrize("reasoning", ["graph", "filter"])


def _model(reasoning: Reasoning, block_bytes: int = 2**28, dropout: float = 0.4) -> SimilarityReasoning:
    torch.manual_seed(0)
    settings = ReasoningSettings(reasoning, similarity_width=6, dropout=dropout)
    model = SimilarityReasoning(7, 9, joint_width=8, settings=settings).double()
    model.block_bytes = block_bytes
    for module in model.modules():  # as after training: no bias is 0, no statistic what it starts with
        if isinstance(module, torch.nn.Linear) and module.bias is not None:
            torch.nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    return model


def _inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    inputs_BRV = torch.randn(3, 5, 7, generator=rng, dtype=torch.float64)
    states_CQH = torch.randn(4, 6, 9, generator=rng, dtype=torch.float64)
    region_mask_BR = torch.arange(5) < torch.tensor(REGIONS)[:, None]
    word_mask_CQ = torch.arange(6) < torch.tensor(WORDS)[:, None]
    return inputs_BRV, torch.zeros(3, 5, 4).double(), region_mask_BR, states_CQH, word_mask_CQ


def _encode(model: SimilarityReasoning) -> tuple[RegionEmbeddings, QueryEmbeddings]:
    inputs_BRV, edges_BR4, region_mask_BR, states_CQH, word_mask_CQ = _inputs()
    return model.embed_regions(inputs_BRV, edges_BR4, region_mask_BR), model.embed_queries(states_CQH, word_mask_CQ)


def _normed(norm: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What batch norm does in evaluation, channel by channel; a single channel is everyone's."""
    if isinstance(norm, torch.nn.Identity):
        return x
    assert isinstance(norm, torch.nn.BatchNorm1d) and norm.running_mean is not None and norm.running_var is not None
    return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def _whole(pool: GlobalVector, rows: torch.Tensor) -> torch.Tensor:
    local = torch.tanh(_normed(pool.local_norm, pool.local(rows)))
    whole = torch.tanh(_normed(pool.whole_norm, pool.whole(rows.mean(dim=0))))
    weight = pool.weigh(local * whole)[:, 0].softmax(dim=0)
    return normalize(weight @ rows, dim=0)


def _score(model: SimilarityReasoning, inputs_RV: torch.Tensor, states_WH: torch.Tensor) -> torch.Tensor:
    regions = normalize(model.region_encoder.map(inputs_RV), dim=1)
    words = normalize(model.query_encoder.map(states_WH), dim=1)
    clipped_RW = torch.nn.functional.leaky_relu(regions @ words.T, 0.1)
    attention_WR = (9 * normalize(clipped_RW, dim=1).T).softmax(dim=1)
    content_WD = normalize(attention_WR @ regions, dim=1)
    vectors = [normalize(model.compare_local((c - e) ** 2), dim=0) for c, e in zip(content_WD, words, strict=True)]
    whole = (_whole(model.whole_image, regions) - _whole(model.whole_caption, words)) ** 2
    nodes = torch.stack([normalize(model.compare_whole(whole), dim=0), *vectors])
    if isinstance(model.head, GraphReasoning):
        for step in model.head.steps:
            edges = (step.query(nodes) @ step.key(nodes).T).softmax(dim=1)
            nodes = torch.relu(step.value(edges @ nodes))
        result = nodes[0]
    else:
        gate = torch.sigmoid(_normed(model.head.norm, model.head.gate(nodes)[:, 0]))
        result = normalize((gate / gate.sum()) @ nodes, dim=0)
    return torch.sigmoid(model.score(result))[0]


@both
@pytest.mark.parametrize("block_bytes", [2**28, 1])
def test_scores_and_gradients_equal_a_loop_over_images_and_captions(reasoning: Reasoning, block_bytes: int) -> None:
    model = _model(reasoning, block_bytes).eval()
    score_BC = model.align(*_encode(model)).score_BC
    inputs_BRV, _, _, states_CQH, _ = _inputs()
    rows = [
        [_score(model, inputs_BRV[b, :r], states_CQH[c, :w]) for c, w in enumerate(WORDS)]
        for b, r in enumerate(REGIONS)
    ]
    slow_BC = torch.stack([torch.stack(row) for row in rows])
    torch.testing.assert_close(score_BC, slow_BC, rtol=0, atol=1e-10)
    weight_BC = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights = list(model.parameters())
    fast = torch.autograd.grad((score_BC * weight_BC).sum(), weights)
    slow = torch.autograd.grad((slow_BC * weight_BC).sum(), weights, allow_unused=True, materialize_grads=True)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@both
def test_blocks_change_nothing_in_training(reasoning: Reasoning) -> None:
    results = []
    for block_bytes in (2**28, 1):
        model = _model(reasoning, block_bytes, dropout=0).train()
        score_BC = model.align(*_encode(model)).score_BC
        gradients = torch.autograd.grad(score_BC.square().sum(), list(model.parameters()))
        results.append((score_BC, *gradients, *model.buffers()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@both
def test_matched_pairs_equal_the_diagonal_of_all_and_permuting_permutes(reasoning: Reasoning) -> None:
    model = _model(reasoning, block_bytes=1).eval()
    regions, queries = _encode(model)
    everything = model.align(regions, queries)
    image_of_C = torch.tensor([2, 0, 0, 1])
    paired = model.align(regions.of(image_of_C), queries, paired=True)
    for alone, among in zip(paired, everything, strict=True):
        torch.testing.assert_close(alone[0], among[image_of_C, torch.arange(4)])
    order = torch.tensor([3, 0, 2, 1])
    permuted = QueryEmbeddings(tuple(tensor[order] for tensor in queries.tensors), queries.mask_CQ[order])
    permuted_BC = model.align(regions.of(torch.tensor([1, 2, 0])), permuted).score_BC
    torch.testing.assert_close(permuted_BC, everything.score_BC[[1, 2, 0]][:, order])


@both
def test_one_image_one_caption_and_rows_of_zeros_can_be_trained_on(reasoning: Reasoning) -> None:
    model = SimilarityReasoning(7, 9, joint_width=8, settings=ReasoningSettings(reasoning, similarity_width=6)).train()
    for words in (1, 0):  # a caption of phrases may have none
        regions = model.embed_regions(torch.zeros(1, 2, 7), torch.zeros(1, 2, 4), torch.tensor([[True, False]]))
        queries = model.embed_queries(torch.zeros(1, 2, 9), torch.arange(2)[None] < words)
        score_BC = model.align(regions, queries).score_BC
        assert score_BC.shape == (1, 1) and 0 < score_BC.item() < 1
        model.zero_grad()
        score_BC.sum().backward()
        assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)
        assert all(torch.isfinite(buffer).all() for buffer in model.buffers())


def test_padding_does_not_enter_the_statistics() -> None:
    means = []
    for filler in (0.0, 1e3):
        model = _model("filter", dropout=0).train()
        inputs_BRV, edges_BR4, region_mask_BR, states_CQH, word_mask_CQ = _inputs()
        regions = model.embed_regions(
            inputs_BRV.masked_fill(~region_mask_BR[..., None], filler), edges_BR4, region_mask_BR
        )
        queries = model.embed_queries(states_CQH.masked_fill(~word_mask_CQ[..., None], filler), word_mask_CQ)
        score_BC = model.align(regions, queries).score_BC
        means.append((score_BC, *model.buffers()))
    for one, other in zip(*means, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_gates_batch_norm_sees_the_real_nodes_of_all_pairs() -> None:
    head = AttentionFilter(6).double().train()
    nodes_BCNS = torch.randn(2, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask_CN = torch.arange(4) < torch.tensor([4, 2, 1])[:, None]
    head(nodes_BCNS, mask_CN)
    rows = [nodes_BCNS[b, c, n] for b in range(2) for c in range(3) for n in range(4) if mask_CN[c, n]]
    mean = sum(head.gate(row).item() for row in rows) / len(rows)
    assert head.norm.running_mean is not None
    assert head.norm.running_mean.item() == pytest.approx(0.1 * mean)


def test_a_caption_without_real_values_has_finite_gradients() -> None:
    norm = CaptionBatchNorm()
    value_BCN = torch.randn(2, 3, 4, requires_grad=True)
    mask_BCN = torch.ones(2, 3, 4, dtype=torch.bool)
    mask_BCN[:, 1] = False
    (norm.by_caption(value_BCN, mask_BCN) * mask_BCN).sum().backward()
    assert value_BCN.grad is not None and value_BCN.grad.isfinite().all()


def test_by_caption_the_gates_of_one_caption_do_not_change_those_of_another() -> None:
    nodes_BCNS = torch.randn(2, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask_CN = torch.arange(4) < torch.tensor([4, 2, 3])[:, None]
    head = AttentionFilter(6, by_caption=True).double().train()
    result_BCS = head(nodes_BCNS, mask_CN)
    assert head.norm.num_batches_tracked == 3
    alone = AttentionFilter(6).double().train()
    for c in range(3):
        alone.load_state_dict({name: value.clone() for name, value in head.state_dict().items()})
        torch.testing.assert_close(alone(nodes_BCNS[:, [c]], mask_CN[[c]]), result_BCS[:, [c]])
    assert not torch.allclose(alone(nodes_BCNS, mask_CN), result_BCS)
    torch.testing.assert_close(alone.eval()(nodes_BCNS, mask_CN), _with(head, alone).eval()(nodes_BCNS, mask_CN))


def _with(head: AttentionFilter, other: AttentionFilter) -> AttentionFilter:
    head.load_state_dict(other.state_dict())
    return head


def test_with_a_channel_for_each_region_all_images_have_that_many() -> None:
    pool = GlobalVector(6, normalized=True, dropout=0, channels=3).double().train()
    rows_NRD = torch.randn(4, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask_NR = torch.ones(4, 3, dtype=torch.bool)
    assert pool(rows_NRD, mask_NR).shape == (4, 6)
    expected_R = 0.1 * pool.local(rows_NRD).mean(dim=(0, 2))
    torch.testing.assert_close(pool.local_norm.running_mean, expected_R)
    mask_NR[2, 2] = False
    with pytest.raises(RegionsError, match=r"every image has 3 regions, not \[2, 3\]"):
        pool(rows_NRD * mask_NR[..., None], mask_NR)


def test_the_merged_map_of_a_graph_step_is_the_product_of_queries_and_keys() -> None:
    step = GraphStep(6).double()
    torch.nn.init.normal_(step.query.bias)
    key_bias = torch.randn(6, dtype=torch.float64)  # the reference has one; it changes nothing
    nodes = torch.randn(3, 5, 6, dtype=torch.float64)
    attention = (step.query(nodes) @ (step.key(nodes) + key_bias).transpose(1, 2)).softmax(dim=2)
    expected = torch.relu(step.value(attention @ nodes))
    mask = torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(step(nodes, mask), expected)
    torch.testing.assert_close(step(nodes, mask, first_only=True), expected[:, :1])


def test_attention_for_constraints_is_that_of_words_over_regions() -> None:
    model = _model("graph").eval()
    regions, queries = _encode(model)
    image_of_C = torch.tensor([2, 0, 0, 1])
    (found,) = model.matched(regions.of(image_of_C), queries)
    attention = model.align(regions, queries).attention_BCQR[image_of_C, torch.arange(4)]
    real = queries.mask_CQ[..., None].expand_as(attention)
    torch.testing.assert_close(found.weights_CQN[real], attention[real])


@both
@pytest.mark.parametrize("block_bytes", [2**28, 1])
@pytest.mark.parametrize("training", [True, False])
def test_scores_with_a_gradient_are_those_of_the_alignment(
    reasoning: Reasoning, block_bytes: int, training: bool
) -> None:
    results = []
    for packed in (True, False):
        model = _model(reasoning, block_bytes, dropout=0).train(training)
        regions, queries = _encode(model)
        score_BC = model.scores(regions, queries) if packed else model.align(regions, queries).score_BC
        gradients = torch.autograd.grad(score_BC.square().sum(), list(model.parameters()))
        results.append((score_BC, *gradients, *model.buffers()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_an_unknown_kind_of_reasoning_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of \('graph', 'filter'\), not 'tree'"):
        ReasoningSettings("tree")  # type: ignore[arg-type]
