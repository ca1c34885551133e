"""Options that have no effect beside the others are refused before any work, with what would give them one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.errors import RunError
from unboxed.experiments import CompareSettings, compare, parse_recipe
from unboxed.priors.settings import PriorSettings
from unboxed.recipes import RECIPES, preset
from unboxed.recipes.ckd import CKD
from unboxed.recipes.scan import SCAN
from unboxed.recipes.schedule import Schedule
from unboxed.regions.settings import RegionSettings
from unboxed.training.fitting import FitSettings, fit, fit_given


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
        ("npair --reduction max-words --words-weight 2", "--words-weight has no effect with .*--reduction max-words"),
        ("npair --negatives random --words-weight 2", "--words-weight has no effect with .*--negatives"),
        ("npair --distillation 1 --words-weight 2", "--words-weight has no effect with .*--distillation"),
        ("ckd --sentence-weight 0 --no-both-ways", "--both-ways has no effect with --sentence-weight 0"),
        ("infoground --layers 1 --layer-width input", "--layer-width has no effect with --layers 1"),
        ("scan --temperature 0.3", "--temperature has no effect without --prior semantic, or --distillation WEIGHT of"),
        ("ckd --teacher run --temperature 0.3", "no effect without --prior semantic, or --distillation WEIGHT of the"),
        ("infoground --prior-weight 1", "--prior-weight has no effect without --prior semantic"),
        ("ckd --prior-weight 1", "--prior-weight has no effect without --prior semantic"),
        ("ckd --match names --part-weight 2", "--part-weight has no effect without parts in --match"),
        ("sprm --match names --no-unit-vectors", "--unit-vectors has no effect without vectors in --match"),
        ("ckd --match names --heads all", "--heads has no effect without vectors in --match"),
        ("ckd --affinities plain --vector-threshold 0.5", "--vector-threshold has no effect with --affinities plain"),
        ("ckd --pooling mean", "--pooling has no effect in recipes that compare whole phrases with regions"),
        ("sprm --phrase-words all", "--phrase-words has no effect in recipes that compare whole phrases"),
        ("sprm --untrained --contrast infonce", "--contrast has no effect with --untrained"),
        ("npair --exclusivity 0", "--exclusivity has no effect in npair, which reads boxes off a heat map"),
        ("npair --prior semantic --prior-weight 1", "--prior-weight has no effect in npair"),
        ("npair --map features --half", "--half has no effect without --map pixels"),
        ("npair --class-inputs", "--class-inputs has no effect without --map features"),
        ("scan --no-class-inputs --backbone-features", "--backbone-features has no effect with --no-class-inputs"),
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
        "npair --words-weight 2",
        "ckd --ramp-steps 3 --temperature 0.3 --prior semantic --prior-weight 1",
        "ckd --intra-caption 0.3 --prior-weight 1",
        "npair --prior semantic --intra-caption 0.3 --prior-weight 1",
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
    with pytest.raises(RunError, match="--negative-count is 0; give 1 or more, or contrast no words"):
        fit("ckd", CKD(negatives="random", negative_count=0), FitSettings(tmp_path / "none.toml", tmp_path / "run"))


def test_compare_refuses_them_before_it_finds_regions(tiny_world: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--scale has no effect"):
        compare(CompareSettings((tiny_world[0],), tmp_path / "out", ("scan --scale 3",)))
    assert not (tmp_path / "out").exists()


def test_fit_of_the_library_refuses_them_as_the_command_does(tiny_world: tuple[Path, Path], tmp_path: Path) -> None:
    data, store = tiny_world
    settings = FitSettings(data, tmp_path / "run", store)
    with pytest.raises(RunError, match="--scale has no effect without --contrast npair; leave it out"):
        fit("scan", SCAN(scale=3.0), settings)
    paper = preset("scan", "paper")
    idle = replace(paper.config, schedule=replace(paper.config.schedule, curve="constant", step_epochs=3))
    with pytest.raises(RunError, match="--step-epochs has no effect without --curve step"):
        fit("scan", idle, settings, preset="paper")
    with pytest.raises(RunError, match="--step-epochs has no effect without --curve step"):
        fit("scan", idle, settings)  # without the name, they are known to have begun as the preset
    with pytest.raises(RunError, match="fit takes a recipe's name, its options and settings"):
        fit("scan", paper, settings)  # type: ignore[arg-type]
    assert not list((tmp_path / "run").glob("*.*"))
    schedule = Schedule(epochs=1, images_per_batch=20)
    older = SCAN(scale=3.0, joint_width=8, region_hidden=8, schedule=schedule)
    fit_given("scan", older, settings)
    fit("scan", older, replace(settings, resume=True))  # a run that was started with them is resumed


def test_inputs_that_the_regions_do_not_have_are_refused(tiny_world: tuple[Path, Path], tmp_path: Path) -> None:
    data, store = tiny_world
    settings = FitSettings(data, tmp_path / "run", store)
    with pytest.raises(RunError, match="--backbone-features has no effect on regions without features of a backbone"):
        fit("scan", SCAN(backbone_features=True), settings)
    with pytest.raises(RunError, match="--backbone-features has no effect on regions without features of a backbone"):
        fit("scan", SCAN(backbone_features=True), replace(settings, regions=None))
    with pytest.raises(RunError, match="--label-beside has no effect on regions without classes of a labeler"):
        fit("ckd", CKD(semantic=PriorSettings(label_beside=0.3)), settings)
    grid = RegionSettings(grid=2)
    for options, message in (
        (SCAN(class_inputs=False), "--class-inputs has no effect on regions without names of classes"),
        (
            SCAN(backbone_features=True),
            "--backbone-features has no effect on regions without features of a backbone beside names",
        ),
    ):
        with pytest.raises(RunError, match=message):
            fit("scan", options, replace(settings, regions=None), sources=grid)
    assert not list((tmp_path / "run").glob("*.*"))


def test_a_comparison_refuses_options_about_what_its_regions_lack(
    tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    data, store = tiny_world
    compared = CompareSettings((data,), tmp_path / "out", ("vse --backbone-features",), regions=(store,))
    message = "--backbone-features has no effect on regions without features of a backbone"
    with pytest.raises(RunError, match=message):
        compare(compared)
    assert not list(tmp_path.rglob("*.safetensors"))
    parse_recipe("vse", "--backbone-features", idle=False, store=store)  # those of all recipes may be idle in some
    parse_recipe("vse --backbone-features", store=store)  # a finished cell is read
