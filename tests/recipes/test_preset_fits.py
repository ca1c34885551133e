"""`unboxed fit RECIPE --preset paper` on a drawn world: trains, keeps what was chosen, resumes, and can be changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import unboxed
from unboxed.cli import main
from unboxed.data.dataset import load_dataset
from unboxed.errors import UnboxedError
from unboxed.experiments.cells import Cell, run_cell
from unboxed.recipes import RECIPES, preset
from unboxed.recipes.presets import flat_options
from unboxed.regions.store import RegionStore

World = tuple[Path, Path]

NARROW = {"joint_width": 16, "embedding_width": 16, "hidden_width": 16}
BRIEF = {"epochs": 1, "images_per_batch": 16}
OTHER = {
    "sgr": {"region_channels": 0, "similarity_width": 8},  # the drawn images have fewer regions than 36
    "saf": {"region_channels": 0, "similarity_width": 8},
    "pfan": {"position_width": 8},
    "npair": {"cells": 6, "batches_per_epoch": 2},
}


def _arguments(recipe: str, world: World, run: Path, options: dict[str, object]) -> list[str]:
    regions = [] if recipe == "npair" else ["--regions", str(world[1])]
    given = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    return ["fit", recipe, "--preset", "paper", "--data", str(world[0]), "--out", str(run), *regions, *given]


def _config(run: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "infoground"])
def test_every_recipe_trains_with_the_settings_of_the_original(
    recipe: str, tiny_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {**NARROW, **BRIEF, **OTHER.get(recipe, {})}
    run = tmp_path / "run"
    main(_arguments(recipe, tiny_world, run, given))
    printed = capsys.readouterr().err
    assert f"Preset paper of {recipe}, " in printed
    assert "--epochs 1 " in printed and "given; paper: " in printed

    grounder, paper = unboxed.load(run), preset(recipe, "paper")
    assert grounder.config.facts["preset"] == "paper"
    kept = flat_options(grounder.config.options)
    assert kept == {**flat_options(paper.config), **given}
    last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert np.isfinite(last["val_loss"]) and 0 <= last["val_rsum"] <= 600

    example = load_dataset(tiny_world[0]).split("test").examples[0]
    store = RegionStore.open(run / "store" if recipe == "npair" else tiny_world[1])
    image = load_dataset(tiny_world[0]).split("train").examples[0] if recipe == "npair" else example
    (grounding,) = grounder.ground_regions(store[image.image_id], example.captions[:1])
    assert all(np.isfinite(phrase.scores).all() for phrase in grounding.phrases)


def test_infoground_trains_with_bert_and_its_negatives(tiny_world: World, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason='transformers is not installed: pip install "unboxed[hf]"')
    from ..negatives.test_transformers_lm import tiny_bert

    bert = str(tiny_bert(tmp_path / "bert", "BertForMaskedLM", 300))
    run = tmp_path / "run"
    given = {"joint_width": 16, **BRIEF, "text": bert, "language_model": bert}
    main(_arguments("infoground", tiny_world, run, given))
    options = unboxed.load(run).config.options
    assert (options.negatives, options.negative_count, options.schedule.learning_rate) == ("lm", 25, 1e-5)
    assert options.text_encoder.tokenizer == "treebank"


def test_a_run_with_a_preset_is_resumed_by_the_same_command(tiny_world: World, tmp_path: Path) -> None:
    arguments = _arguments("vse", tiny_world, tmp_path / "run", {**NARROW, **BRIEF})
    main(arguments)
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    main([*arguments, "--resume"])
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights
    without = [text for text in arguments if text not in ("--preset", "paper")]
    with pytest.raises(SystemExit):
        main([*without, "--resume"])


def test_other_options_than_those_of_the_preset_are_said_to_be_on_top_of_it(
    tiny_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _arguments("vse", tiny_world, tmp_path / "run", {**NARROW, **BRIEF})
    main(arguments)
    with pytest.raises(SystemExit):
        main([*arguments, "--resume", "--margin", "0.3"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert "started with other options on top of --preset paper: margin was 0.2 and now is 0.3" in error
    with pytest.raises(SystemExit):
        main([*(text for text in arguments if text not in ("--preset", "paper")), "--resume"])
    assert "was started with --preset paper; repeat it" in capsys.readouterr().err.splitlines()[-1]


def test_fast_is_a_fit_without_a_preset(tiny_world: World, tmp_path: Path) -> None:
    for name, options in (("named", ["--preset", "fast"]), ("unnamed", [])):
        arguments = _arguments("vse", tiny_world, tmp_path / name, BRIEF)
        main([*arguments[:2], *options, *arguments[4:]])
    named, unnamed = (_config(tmp_path / name) for name in ("named", "unnamed"))
    assert named["choices"] == unnamed["choices"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("named", "unnamed")]
    assert weights[0] == weights[1]


def test_a_file_that_is_missing_is_named(tiny_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(_arguments("ckd", tiny_world, tmp_path / "run", {**NARROW, **BRIEF}))
    scale = unboxed.load(tmp_path / "run").model.standardise
    assert scale.mean.unique().numel() == scale.deviation.unique().numel() == 1 != scale.deviation[0]  # two constants
    assert "Missing: --initial-vectors FILE: GloVe vectors of 300 numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "papr"], "There is no preset 'papr'; the presets are paper, fast."),
        (["--preset", "paper", "--joint-width", "8"], "set --hidden-width 8"),
        (["--preset", "paper", "--text", "bert"], "the preset paper of all recipes but infoground sets some"),
        (["--preset", "paper", "--clip", "-1"], "--clip is -1.0; it must be at least 0."),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_fix(
    arguments: list[str], message: str, tiny_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["fit", "scan", "--data", str(tiny_world[0]), "--out", str(tmp_path / "run"), *arguments])
    assert refused.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def test_a_preset_needs_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--preset", "paper", "--data", "photos", "--out", "run"])
    assert "A preset belongs to a recipe" in capsys.readouterr().err


def test_a_comparison_trains_a_recipe_with_its_preset(tiny_world: World, tmp_path: Path) -> None:
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in {**NARROW, **BRIEF}.items())
    cell = Cell("vse --preset paper", options, 0, "scenes", str(tiny_world[0]), "val", str(tiny_world[1]))
    run_cell(cell, tmp_path)
    run = unboxed.load(tmp_path / "runs" / cell.run_name)
    assert run.config.facts["preset"] == "paper"
    assert run.config.options == cell.parsed.config
    assert cell.is_finished(tmp_path)
    with pytest.raises(UnboxedError, match="no preset 'slow'"):
        _ = Cell("vse --preset slow", "", 0, "scenes", str(tiny_world[0]), "val", str(tiny_world[1])).run_name
