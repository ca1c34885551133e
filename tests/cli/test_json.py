"""`--json`: every command that ends prints one JSON object on standard output, and everything else beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from unboxed.cli import COMMANDS, main


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "studio"])  # it runs until it is stopped
def test_every_command_has_the_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert "--json" in capsys.readouterr().out


def test_from_a_folder_to_labels(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def found(*arguments: object) -> dict[str, Any]:
        main([*map(str, arguments), "--json"])
        printed = capsys.readouterr()
        assert printed.out.count("\n") == 1 and printed.err
        return json.loads(printed.out)

    store, run, out, toml = (tmp_path / name for name in ("store", "run", "boxes.csv", "data.toml"))
    folder = tmp_path / "folder"
    shutil.copytree(tiny_dataset.parent / "photos", folder)
    shutil.copy(tiny_dataset.parent / "captions.csv", folder)
    surveyed = found("init", folder, "--out", toml, "--no-measure")
    assert surveyed["data"] == str(toml) and set(surveyed["splits"]) == {"train", "val"}
    regions = found("regions", tiny_dataset, "--out", store, "--grid", 2)
    assert regions == {"store": str(store), "photos": 40, "reused": 0, "skipped": {}}
    small = ["--joint-width", 8, "--hidden-width", 8, "--epochs", 2, "--negatives", "none"]
    trained = found("fit", "infoground", "--data", tiny_dataset, "--regions", store, "--out", run, *small)
    assert (trained["run"], trained["recipe"], trained["epochs"]) == (str(run), "infoground", 2)
    assert trained["train"]["photos"] == 32 and trained["best"]["epoch"] in (0, 1)
    labelled = found("label", tiny_dataset, "--run", run, "--out", out, "--format", "csv", "--min-confidence", 0)
    assert labelled["photos"] == 40 and labelled["boxes"] == len(out.read_text().splitlines()) - 1
    assert labelled["categories"] == ["box"] and labelled["skipped"] == {}


def test_drawn_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["scenes", str(tmp_path / "drawn"), "--train", "2", "--val", "1", "--test", "1", "--json"])
    splits = {"train": 2, "val": 1, "test": 1}
    assert json.loads(capsys.readouterr().out) == {"data": str(tmp_path / "drawn" / "data.toml"), "splits": splits}
