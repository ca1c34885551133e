"""Training steps in chunks of captions: losses and gradients are those of the whole batch, in less memory."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from unboxed.attention.base import Aligner
from unboxed.attention.batch_statistics import BatchNorm
from unboxed.attention.chunks import in_chunks, rows_in_chunks
from unboxed.attention.sgraf import SimilarityReasoning
from unboxed.attention.sgraf_heads import AttentionFilter
from unboxed.data.dataset import load_dataset
from unboxed.errors import RegionsError, RunError
from unboxed.inference.batching import Batcher
from unboxed.inference.run_config import RunConfig
from unboxed.priors.semantic import SemanticPrior
from unboxed.priors.settings import PriorSettings
from unboxed.recipes import RECIPES
from unboxed.recipes.model import MatchingModel
from unboxed.recipes.pairs import TrainingStep
from unboxed.recipes.schedule import Schedule
from unboxed.recipes.sgr import SAF
from unboxed.regions.store import RegionStore
from unboxed.text.tokens import Vocabulary
from unboxed.training.fitting import FitSettings, fit
from unboxed.training.split_loader import SplitLoader
from unboxed.types import PairedBatch

World = tuple[Path, Path]
SCHEDULE = Schedule(epochs=1, images_per_batch=12, captions_per_image=4)
SMALL = {"joint_width": 16, "embedding_width": 12, "hidden_width": 8, "negatives": "none", "dropout": 0.0}
CASES: dict[str, dict[str, Any]] = {
    "infoground": {},
    "ckd": {},
    "scan": {"warm_up": 0.0},
    "scan, dropout": {"warm_up": 0.0, "dropout": 0.3},
    "ckd, dropout": {"dropout": 0.3},
    "bfan": {"contrast": "npair"},
    "sgr": {"reasoning_dropout": 0.0},
    "saf": {"reasoning_dropout": 0.0},
    "saf, gates by caption": {"reasoning_dropout": 0.0, "gates_by_caption": True},
    "npair": {"map": "features", "hidden": 0.0},
    "sprm": {"contrast": "infonce"},
}


@cache
def _world(world: World, name: str) -> tuple[MatchingModel, PairedBatch]:
    """A model in training and a batch of 48 captions, in double precision."""
    options = RECIPES[name.partition(",")[0]](**{**SMALL, "schedule": SCHEDULE, **CASES.get(name, {})})
    store, examples = RegionStore.open(world[1]), load_dataset(world[0]).split("train").examples
    captions = [caption.text for example in examples for caption in example.captions]
    vocabulary = Vocabulary.from_captions(captions, 1)
    config = RunConfig(name.partition(",")[0], options, store.settings, store.feature_blocks, store.class_names, {})
    prior = None
    if options.needs_prior:
        prior = SemanticPrior.build(PriorSettings(), store.class_names, captions=captions, images=())
    batch = next(iter(SplitLoader(examples, store, Batcher(config, vocabulary, prior)).batches(SCHEDULE, 0)))
    torch.manual_seed(0)
    model = options.build(vocabulary, config.region_width).double()
    return model, replace(batch, images=_doubled(batch.images), captions=_doubled(batch.captions))


def _doubled(part: Any) -> Any:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    floating = (n for n, v in values.items() if isinstance(v, torch.Tensor) and v.is_floating_point())
    return replace(part, **{name: values[name].double() for name in floating})


def _step(model: MatchingModel, batch: PairedBatch, chunk: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss and the gradients."""
    model.train().zero_grad()
    torch.manual_seed(1)
    loss = model.loss(batch, TrainingStep(0, 10, epoch=9, chunk=chunk))["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", CASES)
def test_gradients_in_chunks_are_those_of_the_whole_batch(name: str, tiny_world: World) -> None:
    model, batch = _world(tiny_world, name)
    if name == "npair":  # whose regions are the cells of a square
        cells = {f.name: getattr(batch.images, f.name) for f in fields(batch.images)}
        batch = replace(batch, images=replace(batch.images, **{n: v[:, :9] for n, v in cells.items() if v is not None}))
    whole, gradients = _step(model, batch, 0)
    loss, others = _step(model, batch, 8)
    torch.testing.assert_close(loss, whole, rtol=1e-9, atol=0)
    assert others.keys() == gradients.keys() and gradients
    for key, gradient in gradients.items():
        torch.testing.assert_close(others[key], gradient, rtol=1e-6, atol=1e-9)


def _kept(model: MatchingModel, batch: PairedBatch, chunk: int) -> int:
    """The bytes that the scores of all pairs keep for the backward pass, besides the embeddings."""
    pairs = model.train().pairs(batch, TrainingStep(0, 10, chunk=chunk))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = pairs.match if model.options.units != "words" else pairs.score_BC
    assert found is not None
    return sum(kept.values())


@pytest.mark.parametrize("name", ["ckd", "infoground", "scan", "saf"])
def test_only_the_pairs_of_a_chunk_are_in_memory(name: str, tiny_world: World) -> None:
    model, batch = _world(tiny_world, name)
    assert _kept(model, batch, 4) < 0.2 * _kept(model, batch, 0)


@pytest.mark.parametrize(("name", "share"), [("scan", 0.3), ("infoground", 0.6), ("sgr", 0.4)])
def test_only_a_chunk_is_in_the_memory_of_the_encoders(name: str, share: float, tiny_world: World) -> None:
    model, batch = _world(tiny_world, name)
    kept = []
    for chunk in (0, 4):
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            pairs = model.train().pairs(batch, TrainingStep(0, 10, chunk=chunk))
        assert pairs.images.regions.tensors[0].requires_grad
        kept.append(sum(sizes.values()))
    assert kept[1] < share * kept[0]


@pytest.mark.parametrize("name", ["infoground", "sgr"])
def test_running_statistics_of_norms_over_images_are_those_of_the_whole_batch(name: str, tiny_world: World) -> None:
    model, batch = _world(tiny_world, name)
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    found = []
    for chunk in (0, 5):
        for norm in norms:
            norm.reset_running_stats()
        _step(model, batch, chunk)
        found.append([buffer.clone() for norm in norms for buffer in norm.buffers()])
    assert norms and all(bool(count == 1) for count in found[1][2::3])
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)


def test_each_pass_of_chunks_with_norms_has_the_same_random_numbers() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    drawn: list[torch.Tensor] = []

    def compute(rows: slice) -> tuple[torch.Tensor, ...]:
        drawn.append(torch.rand(rows.stop - rows.start, 3))
        return (model(drawn[-1] * values[rows]),)

    values = torch.randn(6, 3, requires_grad=True)
    (result,) = rows_in_chunks(model, compute, 6, 4, torch.device("cpu"))
    assert [len(numbers) for numbers in drawn] == [4, 2] * 3  # a pass for each norm, and the last
    assert all(torch.equal(numbers, drawn[i % 2]) for i, numbers in enumerate(drawn))
    assert not torch.equal(drawn[0][:2], drawn[1])
    torch.testing.assert_close(result, model(torch.cat(drawn[:2]) * values))


@pytest.mark.parametrize("name", ["saf", "saf, gates by caption"])
def test_the_gates_of_a_chunk_are_normalized_with_those_of_all(name: str, tiny_world: World) -> None:
    model, batch = _world(tiny_world, name)
    aligner = cast(SimilarityReasoning, model.aligner)
    norm = cast(AttentionFilter, aligner.head).norm
    found: list[list[torch.Tensor]] = []
    for chunk, block_bytes in ((0, 2**28), (7, 2**28), (20, 1)):
        norm.reset_running_stats()
        aligner.block_bytes = block_bytes
        loss, gradients = _step(model, batch, chunk)
        found.append([loss, *gradients.values(), *(buffer.clone() for buffer in norm.buffers())])
    for others in found[1:]:  # the running statistics too: the second pass and the backward pass do not change them
        for one, other in zip(found[0], others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


class _OfPairs(SimilarityReasoning):
    """An attention with norms over pairs that does not say how to compute them in chunks."""

    scores_in_chunks = Aligner.scores_in_chunks


def test_norms_of_pairs_that_have_no_passes_for_chunks_are_refused(tiny_world: World) -> None:
    model, batch = _world(tiny_world, "saf")
    aligner = model.aligner
    try:
        aligner.__class__ = _OfPairs
        with pytest.raises(RunError, match="--chunk would change the norms of _OfPairs"):
            model.loss(batch, TrainingStep(0, 10, chunk=4))
    finally:
        aligner.__class__ = SimilarityReasoning


def test_what_does_not_fit_together_is_refused_before_anything_of_a_run_is_written(
    tiny_world: World, tmp_path: Path
) -> None:
    data, store = tiny_world
    settings = FitSettings(data, tmp_path / "run", store, chunk=4)
    with pytest.raises(RegionsError, match="With 36 channels every image has 36 regions"):
        fit("saf", SAF(region_channels=36), settings)
    assert not list((tmp_path / "run").glob("*.*"))
    fit("saf", SAF(schedule=Schedule(epochs=1, images_per_batch=8), joint_width=8), settings)


def test_a_negative_chunk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--chunk is -1"):
        FitSettings(tmp_path / "data.toml", tmp_path / "run", chunk=-1)


def test_results_are_joined_and_computed_again_for_the_gradient() -> None:
    calls: list[slice] = []
    numbers = torch.arange(7.0, requires_grad=True)

    def square(rows: slice) -> tuple[torch.Tensor, ...]:
        calls.append(rows)
        return (numbers[None, rows] ** 2, numbers[None, rows] * 3)

    squares, products = in_chunks(square, 7, 3)
    assert [(rows.start, rows.stop) for rows in calls] == [(0, 3), (3, 6), (6, 7)]
    (squares + products).sum().backward()  # type: ignore[no-untyped-call]
    assert len(calls) == 6
    assert numbers.grad is not None and torch.equal(numbers.grad, 2 * torch.arange(7.0) + 3)
