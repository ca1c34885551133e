"""`unboxed fit`: what it passes on and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning_fabric.utilities.rank_zero import rank_zero_only

import unboxed
import unboxed.experiments.comparison
import unboxed.training.auto
from unboxed.cli import main
from unboxed.regions.settings import RegionSettings
from unboxed.training.options import FitSettings


def test_fit_trains_with_defaults_and_prints_the_next_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        unboxed.training.auto, "default_fit", lambda settings, **options: given.extend((settings, options))
    )
    main(["fit", "--data", "photos.csv", "--out", "run", "--epochs", "3", "--detector", "d.onnx"])
    settings, options = given
    assert settings == FitSettings(Path("photos.csv"), Path("run"))
    assert (options["epochs"], options["seed"]) == (3, 0)
    assert options["sources"] == RegionSettings(detectors=(Path("d.onnx"),))
    assert capsys.readouterr().err.splitlines() == [
        "Run: run. Next:",
        '  unboxed ground run IMAGE "A caption of it." --save boxed.png',
        "  unboxed index run photos.csv --out index",
        "  unboxed label photos.csv --run run --out coco.json --review review.html",
        "  unboxed studio run --images photos.csv",
    ]


def test_a_recipe_is_trained_with_its_own_options(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    options = "--epochs 1 --images-per-batch 8 --joint-width 32 --negatives none"
    command = ["fit", "infoground", "--data", str(tiny_dataset), "--out", str(run), *options.split()]
    main(command)
    next_command = f"unboxed evaluate {run} --data {tiny_dataset} --split val"
    assert capsys.readouterr().err.splitlines()[-1] == f"Run: {run}. Next: {next_command}"
    assert (run / "model.safetensors").is_file()
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    main([*command, "--resume", "--json"])  # a further process of this fit
    printed = capsys.readouterr()
    assert printed.out == "" and next_command not in printed.err


@pytest.mark.parametrize("recipe", [[], ["infoground", "--negatives", "none", "--joint-width", "32"]])
def test_the_options_of_regions_are_those_of_the_run(
    recipe: list[str], tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    given = ["fit", *recipe, "--data", str(tiny_dataset), "--epochs", "1", "--grid", "2", "--no-colour"]
    main([*given, "--out", str(run)])
    capsys.readouterr()
    grounder = unboxed.load(run)
    assert grounder.config.regions == RegionSettings(grid=2, colour=False)
    image = sorted((tiny_dataset.parent / "photos").iterdir())[0]
    assert set(grounder.regions_of(image).sources) == {"image", "grid"}
    with pytest.raises(SystemExit):
        main([*given, "--out", str(tmp_path / "other"), "--regions", str(run / "store")])
    assert "has its regions already" in capsys.readouterr().err
