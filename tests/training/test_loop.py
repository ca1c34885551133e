"""What the loop writes, when it stops, and what it keeps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from unboxed.data.dataset import load_dataset
from unboxed.errors import RunError
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.experiments.learning import LearningCurve
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.hub import model_card
from unboxed.inference.ranks import rsum
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store import RegionStore
from unboxed.runtime.seeds import seed_of
from unboxed.training import loop
from unboxed.training.fitting import FitSettings, fit
from unboxed.training.loop import _is_better, optimizer_of
from unboxed.training.options import Logger
from unboxed.training.splits import training_and_validation


def _fit(
    data: Path, store: Path, run: Path, logger: Logger | None = None, **schedule: object
) -> list[dict[str, float]]:
    options = InfoGround(negatives="none", joint_width=16, schedule=Schedule(images_per_batch=8, **schedule))  # type: ignore[arg-type]
    entries: list[dict[str, float]] = []
    fit("infoground", options, FitSettings(data, run, store, logger=logger), report=entries.append)
    assert entries == [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if "val_loss" in entry]


def test_the_loss_falls_and_the_best_epoch_is_kept(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    epochs = _fit(tiny_dataset, tiny_run / "store", tmp_path / "run", epochs=8)
    assert len(epochs) == 8
    best = json.loads((tmp_path / "run" / "config.json").read_text())["facts"]["best"]
    assert best["val_loss"] == min(entry["val_loss"] for entry in epochs) < epochs[0]["val_loss"]
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_epochs_count_from_0_in_files_and_from_1_in_text(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    options = InfoGround(negatives="none", joint_width=16, schedule=Schedule(images_per_batch=8, epochs=2))
    lines: list[str] = []
    settings = FitSettings(tiny_dataset, tmp_path / "run", tiny_run / "store")
    config = fit("infoground", options, settings, show=lines.append).config
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    chosen = [entry["epoch"] for entry in entries if entry.get("best")][-1]
    assert [entry["epoch"] for entry in entries if "val_loss" in entry] == [0, 1]
    assert config.facts["best"]["epoch"] == chosen
    assert any(line.endswith(f"best epoch {chosen + 1}") for line in lines)
    assert LearningCurve.of_run(tmp_path / "run", options.schedule).best_epoch == chosen + 1
    assert f"| chosen | epoch {chosen + 1}, " in model_card(config)


@pytest.mark.parametrize(("select_on", "figure"), [("loss", "val_loss"), ("retrieval", "val_rsum")])
def test_training_stops_early_when_the_chosen_figure_no_longer_improves(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path, select_on: str, figure: str
) -> None:
    epochs = _fit(
        tiny_dataset, tiny_run / "store", tmp_path / "run",
        epochs=30, patience=2, learning_rate=0.3, curve="constant", select_on=select_on,
    )  # fmt: skip
    assert len(epochs) < 30
    sign = 1 if select_on == "loss" else -1
    figures = [sign * entry[figure] for entry in epochs]
    assert min(figures[:-2]) == min(figures)


def test_a_loss_that_is_no_number_is_not_the_best() -> None:
    schedule = Schedule(select_on="loss")
    losses, best, kept = [math.nan, 3.0, math.nan, 2.0, 2.5], None, []
    for loss in losses:
        if _is_better({"val_loss": loss}, best, schedule):
            best = {"val_loss": loss}
            kept.append(loss)
    assert kept[1:] == [3.0, 2.0]


def test_a_training_that_diverged_says_so(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    for clip, figure in ((0.0, "weights are"), (1.0, "gradients of step 1 are")):
        with pytest.raises(RunError, match=f"The {figure} not .*: the training diverged"):
            _fit(tiny_dataset, tiny_run / "store", tmp_path / f"{clip}", epochs=2, learning_rate=1e30, clip=clip)


def test_tensorboard_event_files_are_an_option(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason='tensorboard is not installed: pip install "unboxed[tensorboard]"')
    _fit(tiny_dataset, tiny_run / "store", tmp_path / "run", logger="tensorboard", epochs=1)
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_the_learning_rate_rises_and_falls_in_one_cycle() -> None:
    schedule = Schedule(learning_rate=1.0)
    rates = [schedule.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


def test_the_learning_rate_falls_by_a_factor_every_few_epochs() -> None:
    """SCAN on Flickr30K: 2e-4, a tenth of it from epoch 15 of 30 on; BFAN's 15 epochs never reach the step."""
    schedule = Schedule(learning_rate=2e-4, curve="step", epochs=30)
    rates = [schedule.rate(epoch * 7, 210, epoch) for epoch in range(30)]
    assert rates == pytest.approx([2e-4] * 15 + [2e-5] * 15)
    twice = Schedule(learning_rate=1.0, curve="step", step_epochs=2, step_factor=0.5)
    assert [twice.rate(0, 1, epoch) for epoch in range(5)] == [1, 1, 0.5, 0.5, 0.25]


@pytest.mark.parametrize(
    "name", ["epochs", "images_per_batch", "captions_per_image", "checkpoint_steps", "step_epochs"]
)
def test_a_schedule_has_at_least_one_of_everything(name: str) -> None:
    with pytest.raises(RunError, match=f"--{name.replace('_', '-')} is 0; it must be at least 1"):
        Schedule(**{name: 0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0), ("learning_rate", math.nan), ("step_factor", -1.0), ("clip", -1.0),
        ("clip", math.nan), ("weight_decay", -0.1), ("patience", -1), ("batches_per_epoch", -1),
        ("validation_captions", -5), ("seed", -1), ("weight_decay", math.inf), ("clip", math.inf),
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_refused_by_the_name_of_its_option(name: str, value: float) -> None:
    with pytest.raises(RunError, match=f"--{name.replace('_', '-')} is {value}"):
        Schedule(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("adamw", torch.optim.AdamW, {"weight_decay": 0.1}),
        ("adam", torch.optim.Adam, {"weight_decay": 0.1}),
        ("sgd", torch.optim.SGD, {"weight_decay": 0.1, "momentum": 0.9}),
    ],
)
def test_the_optimizers_are_those_of_torch_with_its_defaults(
    name: Literal["adamw", "adam", "sgd"], kind: type[torch.optim.Optimizer], options: dict[str, float]
) -> None:
    model = nn.Linear(3, 2)
    schedule = Schedule(optimizer=name, learning_rate=1e-3, weight_decay=0.1)
    optimizer = optimizer_of(model, schedule)
    assert type(optimizer) is kind
    reference = kind([model.weight], lr=1e-3, fused=True, **options)  # type: ignore[call-arg]
    matrices, vectors = optimizer.param_groups
    assert (matrices["params"], vectors["params"]) == ([model.weight], [model.bias])
    expected = {key: value for key, value in reference.param_groups[0].items() if key != "params"}
    assert {key: value for key, value in matrices.items() if key != "params"} == expected
    assert {key: value for key, value in vectors.items() if key != "params"} == {**expected, "weight_decay": 0.0}


def test_gradients_are_clipped_only_where_the_schedule_says_so(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """One step of SGD moves the weights by rate times gradient: by at most rate times the clip, or by more without."""
    moved = {}
    for clip in (0.0, 1e-3):
        schedule = {"epochs": 1, "batches_per_epoch": 1, "optimizer": "sgd", "curve": "constant", "clip": clip}
        _fit(tiny_dataset, tiny_run / "store", tmp_path / f"{clip}", learning_rate=1e-2, weight_decay=0.0, **schedule)
        moved[clip] = load_file(tmp_path / f"{clip}" / "model.safetensors")
    run = Grounder.load(tmp_path / "0.0")
    torch.manual_seed(seed_of(0, "weights"))
    start = dict(run.config.options.build(run.vocabulary, run.config.region_width).named_parameters())
    norms = {
        clip: torch.cat([(weights[name] - value).flatten() for name, value in start.items()]).norm().item()
        for clip, weights in moved.items()
    }
    assert norms[1e-3] == pytest.approx(1e-2 * 1e-3, rel=1e-2)
    assert norms[0.0] > 10 * norms[1e-3]


def test_a_training_that_diverges_names_the_step_and_the_fix(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"The gradients of step \d+ are not finite.*smaller --learning-rate"):
        _fit(tiny_dataset, tiny_run / "store", tmp_path / "run", learning_rate=1e30, curve="constant", epochs=3)


def test_retrieval_on_the_split_is_that_of_all_its_pairs(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (epoch,) = _fit(tiny_dataset, tiny_run / "store", run, epochs=1, validation_captions=10**6)
    _, validation = training_and_validation(load_dataset(tiny_dataset))
    split = EmbeddedSplit(Grounder.load(run), RegionStore.open(tiny_run / "store"))
    pairs = score_pairs(split, validation.examples)
    assert epoch["val_rsum"] == pytest.approx(rsum(pairs.score_BC, pairs.image_of_C))


def test_retrieval_on_the_split_may_stop_after_its_first_captions(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """Two images with their captions: the third would exceed the number."""
    run = tmp_path / "run"
    _, validation = training_and_validation(load_dataset(tiny_dataset))
    first = sum(len(example.captions) for example in validation.examples[:2])
    (epoch,) = _fit(tiny_dataset, tiny_run / "store", run, epochs=1, validation_captions=first)
    split = EmbeddedSplit(Grounder.load(run), RegionStore.open(tiny_run / "store"))
    pairs = score_pairs(split, validation.examples[:2])
    assert epoch["val_rsum"] == pytest.approx(rsum(pairs.score_BC, pairs.image_of_C))


def test_the_state_of_the_optimizer_is_restored_where_the_weights_are(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setup moves the weights to the device, here to another precision; the state of AdamW has to follow them."""

    class StoppedError(Exception):
        pass

    def after_an_epoch(entry: dict[str, float]) -> None:
        if entry["epoch"] > 0:
            raise StoppedError

    resumed: list[loop._Training] = []

    def begin(training: loop._Training, *arguments: object) -> None:
        resumed.append(training)
        raise StoppedError

    def setup(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[object, torch.optim.Optimizer]:
        model.double()
        return SimpleNamespace(mark_forward_method=lambda name: None), optimizer

    options = InfoGround(negatives="none", joint_width=16, schedule=Schedule(images_per_batch=8, epochs=3))
    settings = FitSettings(tiny_dataset, tmp_path / "run", tiny_run / "store", resume=True)
    with pytest.raises(StoppedError):
        fit("infoground", options, settings, report=after_an_epoch)
    monkeypatch.setattr(loop, "fabric_on", lambda device: SimpleNamespace(device=device, setup=setup))
    monkeypatch.setattr(loop._Training, "run", begin)
    with pytest.raises(StoppedError):
        fit("infoground", options, settings)
    states = resumed[0].optimizer.state.values()
    assert states and all(state["exp_avg"].dtype == torch.float64 for state in states)


def test_a_fit_that_is_killed_after_a_validation_logs_each_epoch_once(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def killed_at_the_end_of_an_epoch(
        path: Path, model: nn.Module, optimizer: object, progress: dict[str, int]
    ) -> None:
        if progress["epoch"] == 1:
            raise KilledError
        save(path, model, optimizer, progress)  # type: ignore[arg-type]

    save = loop.save_checkpoint
    schedule = Schedule(images_per_batch=8, epochs=2, checkpoint_steps=1)
    options = InfoGround(negatives="none", joint_width=16, schedule=schedule)
    run, store = tmp_path / "run", tiny_run / "store"
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(loop, "save_checkpoint", killed_at_the_end_of_an_epoch)
        fit("infoground", options, FitSettings(tiny_dataset, run, store))
    fit("infoground", options, FitSettings(tiny_dataset, run, store, resume=True))
    fit("infoground", options, FitSettings(tiny_dataset, tmp_path / "at once", store))
    resumed, at_once = (LearningCurve.of_run(folder, schedule) for folder in (run, tmp_path / "at once"))
    assert resumed == at_once and resumed.epochs == 2
