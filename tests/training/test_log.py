"""The training log continues where a checkpoint does, and TensorBoard and Weights & Biases get the same values."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unboxed.errors import RunError
from unboxed.training.log import TrainingLog, read_log, require_logger


def _steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_entries_after_the_checkpoint_and_a_half_written_line_are_removed(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (10, 20, 30)]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, '{"step": 4', '{"loss": 1}', "[]"]) + "\n", encoding="utf-8")
    log = TrainingLog(tmp_path, 20, 0, None, lambda entry: None)
    log.write({"step": 21, "loss": 0.5})
    log.close()
    assert _steps(tmp_path) == [10, 20, 21]


def test_the_validation_of_an_epoch_that_is_validated_again_is_removed(tmp_path: Path) -> None:
    """A checkpoint of the last step of an epoch, of a process that was killed after it validated the epoch."""
    entries = [
        {"step": 10, "epoch": 0, "val_loss": 3.0},
        {"step": 20, "epoch": 1, "loss": 1.0},
        {"step": 20, "epoch": 1, "val_loss": 2.0},
    ]
    for epoch, kept in ((1, entries[:2]), (2, entries)):
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
        TrainingLog(tmp_path, 20, epoch, None, lambda entry: None).close()
        assert read_log(tmp_path) == kept


def test_every_entry_is_reported_and_plotted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plotted: list[tuple[str, float, int]] = []
    closed: list[bool] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "tensorboard")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            plotted.append((name, value, step))

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    reported: list[dict[str, Any]] = []
    log = TrainingLog(tmp_path, 0, 0, "tensorboard", reported.append)
    entry = {"step": 10, "steps": 90, "epoch": 0, "loss": 2.0, "best": True}
    log.write(entry)
    log.close()
    assert reported == [entry]
    assert plotted == [("loss", 2.0, 10)], "the position in training is the axis, not a curve"
    assert closed == [True]


def test_weights_and_biases_gets_the_same_run_again_on_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    logged: list[tuple[dict[str, float], int]] = []

    def init(**given: Any) -> SimpleNamespace:
        calls.append(given)
        return SimpleNamespace(log=lambda values, step: logged.append((values, step)), finish=lambda: None)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    config = {"recipe": "scan", "choices": {"joint_width": 8}, "facts": {"data": "/private/data.toml"}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for step in (10, 20):
        log = TrainingLog(tmp_path, step - 1, 0, "wandb", lambda entry: None)
        log.write({"step": step, "epoch": 0, "loss": 2.0})
        log.close()
    assert logged == [({"loss": 2.0}, 10), ({"loss": 2.0}, 20)]
    assert calls[0] == calls[1], "the same run is continued"
    assert calls[0]["project"] == "mine" and calls[0]["config"] == {"recipe": "scan", "joint_width": 8}


def test_a_login_that_fails_is_an_error_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> bool:
        raise ValueError("no API key")

    monkeypatch.setattr("unboxed.training.log.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(login=refused))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(RunError, match=r"no API key.*`wandb login` once, or set WANDB_MODE=offline"):
        require_logger("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    require_logger("wandb")
    require_logger(None)


def test_damaged_lines_of_a_log_are_left_out(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
    kept = {"step": 1, "val_loss": 0.5, "best": True}
    damaged = ["", "{", "[]", '{"step": "1"}', '{"loss": 1}', '{"step": 1, "loss": []}', "[" * 3000]
    damaged.append(f'{{"step": 1, "loss": {"9" * 400}}}')
    (tmp_path / "log.jsonl").write_bytes("\n".join([*damaged, json.dumps(kept)]).encode() + b"\n\xff\n")
    assert read_log(tmp_path) == [kept]
