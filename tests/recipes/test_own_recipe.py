"""What a new recipe costs: the recipe, its test, and one line in `RECIPES`. The rest derives from it."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unboxed
from unboxed.cli import main
from unboxed.data import load_dataset
from unboxed.errors import RunError
from unboxed.recipes import RECIPES, Schedule, recipe_from_dict, recipe_table, recipe_to_dict
from unboxed.training import FitSettings, fit

ROOT = Path(__file__).resolve().parents[2]


def _toy() -> Any:
    """The class of the recipe, in a module of its own, where the types of its options are looked up."""
    spec = spec_from_file_location("toy_recipe", ROOT / "tests" / "assets" / "toy_recipe.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["toy_recipe"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Toy


Toy: Any = _toy()


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that makes the recipe known."""
    monkeypatch.setitem(RECIPES, "toy", Toy)


def test_the_command_line_trains_it_with_its_option_and_those_of_all_recipes(
    tiny_world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, store = tiny_world
    with pytest.raises(SystemExit):
        main(["fit", "toy", "--help"])
    shown = capsys.readouterr().out
    assert "--margin FLOAT" in shown and "of the hinge" in shown
    assert all(option in shown for option in ("--joint-width", "--prior", "--distillation", "--negatives", "--epochs"))

    widths = ["--joint-width", "8", "--embedding-width", "8", "--hidden-width", "4"]
    options = [
        *widths,
        "--epochs",
        "1",
        "--images-per-batch",
        "8",
        "--margin",
        "0.3",
        "--prior",
        "semantic",
        "--distillation",
        "0.5",
    ]
    main(["fit", "toy", "--data", str(data), "--regions", str(store), "--out", str(tmp_path / "run"), *options])
    recipe = unboxed.load(tmp_path / "run").config.options
    assert isinstance(recipe, Toy)
    assert (recipe.margin, recipe.prior, recipe.distillation.distillation) == (0.3, "semantic", 0.5)


def test_a_saved_run_grounds_the_same_and_is_not_resumed_with_other_options(
    tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    data, store = tiny_world
    options = Toy(joint_width=8, embedding_width=8, hidden_width=4, schedule=Schedule(epochs=1, images_per_batch=8))
    settings = FitSettings(data, tmp_path / "run", regions=store, resume=True)
    trained = fit("toy", options, settings)
    loaded = unboxed.load(tmp_path / "run")
    example = load_dataset(data).split("test").examples[0]
    caption = example.captions[0]
    first, second = (grounder.ground(example.path, caption) for grounder in (trained, loaded))
    assert first.to_dict() == second.to_dict()
    np.testing.assert_array_equal(trained.score([example.path], [caption]), loaded.score([example.path], [caption]))
    with pytest.raises(RunError, match=r"margin was 0\.5 and now is 0\.1"):
        fit("toy", replace(options, margin=0.1), settings)


def test_its_options_go_through_json() -> None:
    assert recipe_from_dict("toy", recipe_to_dict(Toy(margin=0.1))) == Toy(margin=0.1)
    assert "attention" not in recipe_to_dict(Toy())  # descriptions are no options


def test_the_table_of_the_guide_has_a_line_for_it() -> None:
    assert recipe_table().splitlines()[-1] == "| `toy` | words | best region | hinge | a test |"


def test_the_guide_has_the_table_of_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RECIPES, "toy")
    assert recipe_table() in (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_its_own_numbers_may_be_negative_but_have_to_be_finite() -> None:
    assert Toy(margin=-0.3).margin == -0.3
    with pytest.raises(RunError, match="--margin is nan; it must be a finite number"):
        Toy(margin=float("nan"))
    with pytest.raises(RunError, match="--dropout is -1; it must be a number at least 0"):
        Toy(dropout=-1)
