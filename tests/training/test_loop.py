"""What the loop writes, when it stops, and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unboxed.errors import RunError
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.training.fitting import FitSettings, fit


def _fit(data: Path, store: Path, run: Path, tensorboard: bool = False, **schedule: object) -> list[dict[str, float]]:
    options = InfoGround(negatives="none", joint_width=16, schedule=Schedule(images_per_batch=8, **schedule))  # type: ignore[arg-type]
    entries: list[dict[str, float]] = []
    fit("infoground", options, FitSettings(data, run, store, tensorboard=tensorboard), report=entries.append)
    assert entries == [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if "val_loss" in entry]


def test_the_loss_falls_and_the_best_epoch_is_kept(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    epochs = _fit(tiny_dataset, tiny_run / "store", tmp_path / "run", epochs=8)
    assert len(epochs) == 8
    best = json.loads((tmp_path / "run" / "config.json").read_text())["facts"]["best"]
    assert best["val_loss"] == min(entry["val_loss"] for entry in epochs) < epochs[0]["val_loss"]
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


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


def test_tensorboard_event_files_are_an_option(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason='tensorboard is not installed: pip install "unboxed[tensorboard]"')
    _fit(tiny_dataset, tiny_run / "store", tmp_path / "run", tensorboard=True, epochs=1)
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_the_learning_rate_rises_and_falls_in_one_cycle() -> None:
    schedule = Schedule(learning_rate=1.0)
    rates = [schedule.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


@pytest.mark.parametrize("name", ["epochs", "images_per_batch", "captions_per_image", "checkpoint_steps"])
def test_a_schedule_has_at_least_one_of_everything(name: str) -> None:
    with pytest.raises(RunError, match=f"--{name.replace('_', '-')} is 0; it must be at least 1"):
        Schedule(**{name: 0})
