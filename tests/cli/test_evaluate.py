"""`unboxed evaluate`: what it prints with gold boxes, and without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unboxed.cli import main


def test_evaluate_prints_a_table_for_gold_boxes_and_the_report(
    tiny_run: Path, tiny_world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    data, _ = tiny_world
    main(["evaluate", str(run), "--data", str(data), "--split", "test", "--no-retrieval"])
    printed = capsys.readouterr()
    assert "pointing_any" in printed.out
    assert printed.err.splitlines()[-1] == f"Report: {run / 'report-test.html'}"


def test_evaluate_without_gold_boxes_prints_retrieval_only(
    tiny_run: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["evaluate", str(tiny_run), "--data", str(tiny_dataset)])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "rsum" in printed.err
    assert "Report:" not in printed.err
