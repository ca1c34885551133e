"""`unboxed fit`: what it passes on and prints."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric.utilities.rank_zero import rank_zero_only

import unboxed
import unboxed.experiments.comparison
import unboxed.training.auto
import unboxed.training.fitting
from unboxed.cli import main
from unboxed.data import load_dataset
from unboxed.regions.settings import RegionSettings
from unboxed.training.options import FitSettings


def test_fit_trains_with_defaults(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        unboxed.training.auto, "default_fit", lambda settings, **options: given.extend((settings, options))
    )
    main(["fit", "--data", str(tiny_dataset), "--out", "a run", "--epochs", "3", "--detector", "d.onnx"])
    settings, options = given
    assert settings == FitSettings(tiny_dataset, Path("a run"))
    assert (options["epochs"], options["seed"]) == (3, 0)
    assert options["sources"] == RegionSettings(detectors=(Path("d.onnx"),))


def test_the_commands_that_a_fit_prints_run(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = str(tiny_dataset)
    main(["fit", "--data", data, "--out", "a run", "--epochs", "1"])
    commands = [shlex.split(line) for line in capsys.readouterr().err.partition("Run: a run. Next:\n")[2].splitlines()]
    example = load_dataset(tiny_dataset).split("val").examples[0]
    caption = min((caption.text for caption in example.captions), key=len)
    assert commands == [
        ["unboxed", "ground", "a run", str(example.path), caption, "--save", "boxed.png"],
        ["unboxed", "index", "a run", data, "--out", "index"],
        ["unboxed", "label", data, "--run", "a run", "--out", "coco.json", "--review", "review.html"],
        ["unboxed", "studio", "a run", "--images", data],
    ]
    for _, *arguments in commands[:3]:
        main(arguments)
    main(shlex.split(capsys.readouterr().err.partition("Next: unboxed ")[2].splitlines()[0]))  # the search of the index
    assert all(Path(name).is_file() for name in ("boxed.png", "coco.json", "review.html", "found.png"))


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
    trained = unboxed.load(run)
    monkeypatch.setattr(unboxed.training.fitting, "fit", lambda *given, **options: trained)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    main([*command, "--devices", "2", "--json"])  # a further process of this fit
    printed = capsys.readouterr()
    assert printed.out == "" and next_command not in printed.err
    main([*command, "--json"])  # a single process in which RANK is set
    assert json.loads(capsys.readouterr().out)["run"] == str(run)


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
