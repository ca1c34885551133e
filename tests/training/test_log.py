"""The training log continues where a checkpoint does, and TensorBoard gets the same values."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unboxed.training.log import TrainingLog


def _steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_entries_after_the_checkpoint_and_a_half_written_line_are_removed(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (10, 20, 30)]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, '{"step": 4', '{"loss": 1}', "[]"]) + "\n", encoding="utf-8")
    log = TrainingLog(tmp_path, 20, False, lambda entry: None)
    log.write({"step": 21, "loss": 0.5})
    log.close()
    assert _steps(tmp_path) == [10, 20, 21]


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
    log = TrainingLog(tmp_path, 0, True, reported.append)
    entry = {"step": 10, "steps": 90, "epoch": 0, "loss": 2.0, "best": True}
    log.write(entry)
    log.close()
    assert reported == [entry]
    assert plotted == [("loss", 2.0, 10)], "the position in training is the axis, not a curve"
    assert closed == [True]
