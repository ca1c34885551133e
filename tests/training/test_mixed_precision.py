"""Mixed precision: which numbers are halves, and that a fit with them learns."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from unboxed.data.dataset import load_dataset
from unboxed.errors import RunError
from unboxed.inference.batching import Batcher
from unboxed.inference.grounder import RunConfig
from unboxed.recipes import RECIPES
from unboxed.recipes.pairs import TrainingStep
from unboxed.recipes.scan import SCAN
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store import RegionStore
from unboxed.text.tokens import Vocabulary
from unboxed.training.fitting import fit
from unboxed.training.mixed_precision import half_precision
from unboxed.training.options import FitSettings
from unboxed.training.split_loader import SplitLoader

World = tuple[Path, Path]
SMALL = {"joint_width": 16, "embedding_width": 12, "hidden_width": 8, "negatives": "none", "dropout": 0.0}
SCHEDULE = Schedule(epochs=6, images_per_batch=8, captions_per_image=5, learning_rate=4e-3, select_on="loss")


def test_only_the_product_is_half_and_only_while_it_is_open() -> None:
    torch.manual_seed(0)
    linear, rows = nn.Linear(64, 8), torch.randn(5, 64)
    exact = linear(rows)
    with half_precision(nn.Sequential(linear)):
        half = linear(rows)
        half.square().sum().backward()
    products = rows.bfloat16() @ linear.weight.bfloat16().T + linear.bias.bfloat16()
    torch.testing.assert_close(half, products.float(), rtol=2**-7, atol=2**-7)  # a bfloat16 has 8 bits
    assert half.dtype == torch.float32 and not torch.equal(half, exact)
    assert linear.weight.grad is not None and linear.weight.grad.dtype == torch.float32
    assert torch.equal(linear(rows), exact)


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("ckd", "npair", "sprm")])
def test_every_recipe_loses_almost_the_same_and_has_finite_gradients(name: str, tiny_world: World) -> None:
    choices = RECIPES[name](**{**SMALL, "schedule": SCHEDULE})  # type: ignore[arg-type]
    store, examples = RegionStore.open(tiny_world[1]), load_dataset(tiny_world[0]).split("train").examples
    vocabulary = Vocabulary.from_captions((c.text for e in examples for c in e.captions), 1)
    config = RunConfig(name, choices, store.settings, store.feature_blocks, store.class_names, {})
    batch = next(iter(SplitLoader(examples, store, Batcher(config, vocabulary)).batches(SCHEDULE, 0)))
    torch.manual_seed(0)
    model = choices.build(vocabulary, config.region_width).eval()
    exact = model.loss(batch, TrainingStep(0, 10))["loss"].detach()
    with half_precision(model):
        losses = model.loss(batch, TrainingStep(0, 10))
        losses["loss"].backward()
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    loss = losses["loss"].detach()
    assert loss != exact and float(loss) == pytest.approx(float(exact), rel=0.02)
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert gradients and all(grad.dtype == torch.float32 and torch.isfinite(grad).all() for grad in gradients)


def test_a_fit_in_mixed_precision_learns_and_goes_on_only_as_one(tiny_world: World, tmp_path: Path) -> None:
    choices = SCAN(**{**SMALL, "schedule": SCHEDULE})  # type: ignore[arg-type]
    settings = FitSettings(tiny_world[0], tmp_path / "run", tiny_world[1], precision="bf16-mixed")
    fit("scan", choices, settings)
    entries = [json.loads(line) for line in (settings.out / "log.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for entry in entries for value in entry.values())
    losses = [entry["val_loss"] for entry in entries if "val_loss" in entry]
    assert losses[-1] < 0.98 * losses[0]
    config = json.loads((settings.out / "config.json").read_text())
    config["facts"]["finished"] = False
    (settings.out / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="--precision bf16-mixed"):
        fit("scan", choices, replace(settings, precision="32", resume=True))
