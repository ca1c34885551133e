"""From a drawn world to a scored run, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unboxed.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained for a moment on a small drawn world beside it, regions found by the packaged detector."""
    folder = tmp_path_factory.mktemp("world")
    main(["scenes", str(folder / "scenes"), "--train", "16", "--val", "4", "--test", "6"])
    data, run = str(folder / "scenes" / "data.toml"), folder / "run"
    flags = ["--epochs", "2", "--images-per-batch", "8", "--joint-width", "32", "--negatives", "random"]
    main(["fit", "infoground", "--data", data, "--out", str(run), *flags])
    return run


def test_evaluate_prints_one_json_object_and_writes_a_report(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = run.parent / "scenes" / "data.toml"
    main(["evaluate", str(run), "--data", str(data), "--split", "test", "--json"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["run"] == str(run)
    assert scores["data"] == str(data)
    assert scores["split"] == "test"
    assert scores["photos"] == 6
    assert scores["phrases"] > 30
    for reading in ("recall_any", "recall_union"):
        assert list(scores[reading]) == ["1", "5", "10"]
        assert 0 <= scores[reading]["1"] <= scores[reading]["5"] <= scores[reading]["10"] <= 100
    assert scores["recall_any"]["10"] <= scores["upper_bound_any"]
    assert scores["upper_bound_any"] > 90
    assert {"pointing_any", "pointing_union", "upper_bound_union", "interval"} <= set(scores)
    for figures in scores["by_type"].values():
        assert set(figures) == {"phrases", "recall_any", "pointing_any"}
    page = (run / "report-test.html").read_text(encoding="utf-8")
    assert "pointing_any" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_regions_of_a_dataset_not_seen_before_are_found_by_itself(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["scenes", str(tmp_path / "other"), "--seed", "5", "--train", "2", "--val", "3", "--test", "2"])
    main(
        [
            "evaluate",
            str(run),
            "--data",
            str(tmp_path / "other" / "data.toml"),
            "--split",
            "val",
            "--json",
            "--no-report",
        ]
    )
    assert json.loads(capsys.readouterr().out)["photos"] == 3


def test_a_phrase_is_grounded_in_a_drawing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = next((run.parent / "scenes" / "images").iterdir())
    main(["ground", str(run), str(image), "A man in a red hat.", "--json"])
    assert [phrase["text"] for phrase in json.loads(capsys.readouterr().out)["phrases"]] == ["A man", "a red hat"]
