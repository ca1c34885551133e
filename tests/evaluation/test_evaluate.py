"""Images of one's own have captions and no gold boxes: what can be scored is, and the rest is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.evaluation.evaluate import evaluate_run


def test_retrieval_is_scored_where_there_are_no_boxes(tiny_run: Path, tiny_dataset: Path) -> None:
    said: list[str] = []
    result = evaluate_run(tiny_run, tiny_dataset, show=said.append)
    assert result.scores is None and result.report is None
    assert result.retrieval is not None and result.retrieval.rsum > 0
    assert any("it has no gold boxes" in line for line in said)


def test_a_table_without_val_is_evaluated_on_what_training_held_out(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_dataset.parent / "photos", tmp_path / "photos")
    rows = (tiny_dataset.parent / "captions.csv").read_text(encoding="utf-8").splitlines()
    unsplit = [row.rpartition(",")[0] for row in rows]
    table = tmp_path / "photos.csv"
    table.write_text("\n".join([unsplit[0], *(f"photos/{row}" for row in unsplit[1:])]) + "\n", encoding="utf-8")
    main(["evaluate", str(tiny_run), "--data", str(table), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["split"] == "val" and "recall_any@1" not in found and found["retrieval"]["rsum"] > 0
