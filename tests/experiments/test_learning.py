"""Learning curves: which runs were still improving when they ended, and reading a log."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import nan
from pathlib import Path

import pytest

from unboxed.experiments.learning import LearningCurve
from unboxed.recipes import Schedule

RISING, FLAT = (100.0, 200, 250, 280, 290, 295, 320, 340), (100.0, 200, 300, 330, 340, 345, 348, 350)
FALLING = (4.0, 3.0, 2.5, 2.2, 2.0, 1.9, 1.8, 1.7)


def curve(rsums: tuple[float, ...], planned: int | None = None) -> LearningCurve:
    losses = tuple(1.0 for _ in rsums)
    return LearningCurve("retrieval", len(rsums) if planned is None else planned, losses, rsums)


@pytest.mark.parametrize(
    ("found", "rising"),
    [
        (curve(RISING), True),  # the last two of eight epochs add 45 of 240
        (curve(FLAT), False),  # 5 of 250
        (curve(FLAT[::-1]), False),  # the first epoch was the best
        (curve(RISING, planned=20), False),  # patience ended it
        (curve((100.0,)), True),
        (curve((100.0, 200.0)), True),
        (curve((100.0, 90.0)), False),
        (curve((), planned=4), False),  # not trained
        (LearningCurve("loss", 8, FALLING, FLAT), True),  # 0.2 of 2.3, and its rsum chose nothing
        (LearningCurve("loss", 8, (*FALLING[:6], 1.85, 1.82), RISING), False),
    ],
)
def test_a_run_is_still_rising_where_its_last_quarter_adds_much(found: LearningCurve, rising: bool) -> None:
    assert found.still_rising is rising


def test_the_chosen_epoch_is_the_best_by_what_it_was_chosen_on() -> None:
    assert curve((1.0, 3.0, 2.0)).best_epoch == 2
    assert LearningCurve("loss", 3, (3.0, 2.0, 1.0), (3.0, 2.0, 1.0)).best_epoch == 3
    assert curve(()).best_epoch == 0


def test_an_epoch_whose_loss_is_no_number_is_not_the_best() -> None:
    found = LearningCurve("loss", 3, (nan, 3.0, 2.0), (1.0, 1.0, 1.0))
    assert found.best_epoch == 3
    assert LearningCurve("loss", 2, (nan, nan), (1.0, 1.0)).best_epoch == 1, "as training keeps the first one"


def test_it_is_read_from_the_log_of_a_run_and_kept_as_json(tmp_path: Path) -> None:
    assert LearningCurve.of_run(tmp_path, Schedule(epochs=4)) == LearningCurve("loss", 4)
    entries = [{"step": 1, "loss": 2.0}, {"step": 1, "val_loss": 2.5, "val_rsum": 200.0}, {"step": 2, "loss": 1.0}]
    entries.append({"step": 2, "val_loss": 1.5, "val_rsum": 300})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    found = LearningCurve.of_run(tmp_path, Schedule(epochs=4, select_on="retrieval"))
    assert found == LearningCurve("retrieval", 4, (2.5, 1.5), (200.0, 300.0))
    assert LearningCurve.from_dict(json.loads(json.dumps(asdict(found)))) == found
