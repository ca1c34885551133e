"""`unboxed fit`, `evaluate` and `compare`: what they print and pass on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import unboxed
import unboxed.experiments.comparison
import unboxed.training.auto
from unboxed.cli import main
from unboxed.cli.compare import _is_drawn
from unboxed.data.dataset import load_dataset
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
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = "--epochs 1 --images-per-batch 8 --joint-width 32 --negatives none"
    main(["fit", "infoground", "--data", str(tiny_dataset), "--out", str(run), *options.split()])
    next_command = f"unboxed evaluate {run} --data {tiny_dataset} --split val"
    assert capsys.readouterr().err.splitlines()[-1] == f"Run: {run}. Next: {next_command}"
    assert (run / "model.safetensors").is_file()


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


def test_compare_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        unboxed.experiments.comparison, "compare", lambda settings, show, is_drawn: given.append(settings)
    )
    main(["compare", "--data", "a.toml", "b.toml", "--out", "out", "--recipes", "ckd --distillation 3", "--seeds", "2"])
    (settings,) = given
    assert list(settings.data) == [Path("a.toml"), Path("b.toml")]
    assert (settings.recipes, settings.seeds) == (("ckd --distillation 3",), 2)


def test_datasets_of_scenes_are_recognized_by_their_detector(tiny_dataset: Path, tiny_world: tuple[Path, Path]) -> None:
    assert _is_drawn(load_dataset(tiny_world[0]))
    assert not _is_drawn(load_dataset(tiny_dataset))
