"""Options that have no effect beside the others are refused before any work, with what would give them one."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.errors import RunError
from unboxed.experiments import CompareSettings, compare, parse_recipe
from unboxed.recipes import RECIPES


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("scan --negative-count 3", "--negative-count has no effect without --negatives random or lm"),
        ("infoground --negatives random --negative-digits 3", "--negative-digits has no effect without --negatives lm"),
        ("scan --ramp-steps 3", "--ramp-steps has no effect without --distillation WEIGHT"),
        ("bfan --step-epochs 3", "--step-epochs has no effect without --curve step"),
        ("ckd --scaled-features", "--scaled-features has no effect without --region-inputs features"),
        ("scan --region-inputs features --no-class-inputs", "--class-inputs has no effect with --region-inputs feat"),
        ("scan --initial-vectors v.txt --embedding-init uniform", "--embedding-init has no effect with --initial-vect"),
        ("ckd --no-spatial --places released", "--places has no effect with --no-spatial"),
        ("sgr --scale 3", "--scale has no effect without --contrast npair"),
        ("vse --contrast npair --margin 0.1", "--margin has no effect without --contrast hinge"),
        ("pfan --constraint-weight 0.5", "--constraint-weight has no effect without --constraints ccr, ccs or both"),
        ("scan --constraints ccs --ccr-variant topk", "--ccr-variant has no effect without --constraints ccr or both"),
        ("scan --lambda-lse 3", "--lambda-lse has no effect without --aggregation lse"),
        ("sprm --contrast infonce --negative all", "--negative has no effect without --contrast difference"),
        ("sprm --prior semantic", "--prior has no effect in sprm, which always uses the prior"),
        ("npair --margin 0.2", "--margin has no effect without --contrast triplet"),
        ("npair --map features --patch 2", "--patch has no effect without --map pixels"),
        ("npair --context --words-weight 2", "--words-weight has no effect with --context"),
        ("npair --cell lstm", "--cell has no effect without --context"),
        ("scan --preset paper --step-epochs 3 --curve constant", "--step-epochs has no effect without --curve step"),
    ],
)
def test_options_without_effect_are_refused(recipe: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        parse_recipe(recipe, idle=False)
    parse_recipe(recipe)  # a finished cell of a comparison is read


@pytest.mark.parametrize(
    "recipe",
    [
        "scan --negatives random --negative-count 3",
        "bfan --curve step --step-epochs 3",
        "scan --aggregation lse --lambda-lse 3 --constraints both --ccr-variant topk",
        "vse --contrast npair --scale 3",
        "npair --context --cell lstm",
        "ckd --ramp-steps 3",
        "scan --preset paper --curve constant",
        *(f"{name} --preset paper" for name in RECIPES),
    ],
)
def test_options_with_an_effect_are_taken(recipe: str) -> None:
    parse_recipe(recipe, idle=False)


def test_options_of_all_recipes_of_a_comparison_may_be_idle_in_some() -> None:
    assert parse_recipe("npair", "--hidden-width 8 --cells 3", idle=False).config.hidden_width == 8
    with pytest.raises(RunError, match="--hidden-width has no effect without --context"):
        parse_recipe("npair --hidden-width 8", "--cells 3", idle=False)


def test_fit_refuses_them_before_it_reads_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "scan", "--scale", "3", "--data", str(tmp_path / "none.toml"), "--out", str(tmp_path / "run")])
    assert "--scale has no effect without --contrast npair; leave it out" in capsys.readouterr().err
    with pytest.raises(RunError, match="--scale has no effect"):
        compare(CompareSettings((tmp_path / "none.toml",), tmp_path / "out", ("scan --scale 3",)))
