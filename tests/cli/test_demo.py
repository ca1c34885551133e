"""The demo trains on Scenes and writes a report, and continues where it stopped."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

import unboxed.scenes
from unboxed.cli import demo, main
from unboxed.cli.demo import demo_config, run_demo
from unboxed.recipes.ckd import CKD
from unboxed.recipes.schedule import Schedule
from unboxed.scenes import write_scenes


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of a few images and one epoch."""
    monkeypatch.setattr(unboxed.scenes, "write_scenes", partial(write_scenes, train=16, val=4, test=4))
    schedule = Schedule(epochs=1, images_per_batch=8)
    monkeypatch.setattr(demo, "demo_config", lambda seed: CKD(prior="semantic", joint_width=32, schedule=schedule))


@pytest.mark.usefixtures("small")
def test_the_demo_writes_a_report_and_reuses_what_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["demo", "--out", str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Drawing 2,600 scenes"
    assert lines[-1] == f"Report: {tmp_path / 'run' / 'report-test.html'}"
    assert (tmp_path / "run" / "report-test.html").is_file()
    log: list[dict[str, Any]] = []
    shown: list[str] = []
    run_demo(tmp_path, show=shown.append, report=log.append)
    assert "Drawing 2,600 scenes" not in shown
    assert log == []  # no step is trained again
    (scores,) = [line for line in shown if line.startswith("pointing_any ")]
    assert scores in lines  # with the same result


def test_the_seed_is_that_of_training() -> None:
    assert demo_config(3).schedule.seed == 3
    assert demo_config(3).prior == "semantic"
