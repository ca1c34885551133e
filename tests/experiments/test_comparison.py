"""A comparison from end to end on a small drawn world: cells, what is kept, what is resumed, and the pages."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.cli import main
from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError
from unboxed.experiments.cells import Cell, Outcome, parse_recipe, run_cell
from unboxed.experiments.comparison import compare
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.pages import write_results
from unboxed.experiments.results import Comparison, RecipeResult
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.scenes import write_scenes
from unboxed.training import loop

OPTIONS = "--epochs 2 --images-per-batch 8 --joint-width 16 --hidden-width 16 --checkpoint-steps 1"
RECIPES = ("infoground --negatives none", "ckd --distillation 0")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "scenes"
    write_scenes(folder, train=16, val=6, test=2)
    return folder / "data.toml"


@pytest.fixture(scope="module")
def store(world: Path) -> Path:
    dataset = load_dataset(world)
    examples = [example for name in ("train", "val") for example in dataset.split(name).examples]
    extract(examples, RegionSettings.weight_free(), world.parent.parent / "store", progress=False)
    return world.parent.parent / "store"


@pytest.fixture(scope="module")
def settings(world: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> CompareSettings:
    out = tmp_path_factory.mktemp("compare")
    return CompareSettings((world,), out, RECIPES, (store,), (OPTIONS,), seeds=2)


@pytest.fixture(scope="module")
def comparison(settings: CompareSettings) -> Comparison:
    return compare(settings, is_drawn=lambda dataset: True)


def cell(settings: CompareSettings, seed: int = 0) -> Cell:
    data, regions = str(settings.data[0]), str(settings.regions[0])
    return Cell(RECIPES[0], OPTIONS, seed, "scenes", data, "val", regions)


def test_every_recipe_has_its_seeds_as_one_row(comparison: Comparison) -> None:
    (dataset,) = comparison.datasets
    assert dataset.kind == "drawn"
    assert (dataset.images, dataset.training_images) == (6, 16)
    assert [own.recipe for own in dataset.recipes] == list(RECIPES)
    for own in dataset.recipes:
        assert len(own.runs) == 2
        assert own.grounding is not None
        values = own.seed_values("recall_any@1")
        assert own.grounding["recall_any@1"] == pytest.approx(np.mean(values))
        assert own.metrics["rsum"].value == pytest.approx(np.mean(own.seed_values("rsum")))
        assert 0 < own.minutes < 5
        assert own.errors is not None
        assert sum(own.errors.total) == own.grounding.phrases
    assert dataset.best is comparison.best is max(dataset.recipes, key=lambda own: own.metrics["recall_any@1"].value)


def test_recipes_are_compared_on_the_seeds_that_both_have(comparison: Comparison) -> None:
    one, other = comparison.datasets[0].recipes[:2]
    second = RecipeResult.of(other.recipe, {1: other.runs[1]})
    shared = one.sharing_seeds(second)
    assert shared.seeds == (1,)
    assert shared.metrics["rsum"].value == pytest.approx(one.seed_values("rsum")[1])
    assert one.sharing_seeds(other) is one
    with pytest.raises(EvaluationError, match="no seed in common"):
        RecipeResult.of(one.recipe, {0: one.runs[0]}).sharing_seeds(second)


def test_the_page_says_what_was_found(comparison: Comparison, settings: CompareSettings) -> None:
    write_results(comparison)  # other tests of this module write theirs to the same files
    page = (settings.out / "results.md").read_text(encoding="utf-8")
    assert comparison.best is not None
    assert re.findall(r"^best: `(.*)`$", page, flags=re.MULTILINE) == [comparison.best.recipe]
    assert "full, 6 images and 30 captions" in page
    for own in comparison.datasets[0].recipes:
        low, high = own.metrics["recall_any@1"].interval()
        assert f"| `{own.recipe}` | 2 | {own.metrics['recall_any@1'].value:.1f} ({low:.1f}–{high:.1f}) |" in page
    assert "minus each other recipe, paired over images" in page
    assert "| detector name |" in page
    assert "| all |" in page
    html = (settings.out / "results.html").read_text(encoding="utf-8")
    assert all(f"<code>{recipe}</code>" in html for recipe in RECIPES)
    assert "://" not in html


def test_finished_cells_are_kept_and_only_new_ones_run(comparison: Comparison, settings: CompareSettings) -> None:
    said: list[str] = []
    files = {path: path.stat().st_mtime_ns for path in (settings.out / "cells").glob("*.npz")}
    page = settings.out / "docs.md"
    again = compare(replace(settings, recipes=RECIPES[:1], write=page), said.append)
    assert "2 cells, 2 of them finished already" in said
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert [own.recipe for own in again.datasets[0].recipes] == [RECIPES[0]]
    assert page.read_text() == (settings.out / "results.md").read_text()


def test_only_what_is_finished_is_written_and_nothing_trained(
    comparison: Comparison, settings: CompareSettings
) -> None:
    asked = replace(settings, recipes=(RECIPES[0], "vse --epochs 1"), seeds=3, finished_only=True)
    (dataset,) = compare(asked).datasets
    assert [(own.recipe, len(own.runs)) for own in dataset.recipes] == [(RECIPES[0], 2)]


def test_a_recipe_may_be_for_one_dataset_alone(comparison: Comparison, settings: CompareSettings) -> None:
    (name,) = (dataset.name for dataset in comparison.datasets)
    asked = replace(settings, recipes=(f"{RECIPES[0]} @{name}", "vse @another"))
    assert asked.recipes_for(name) == (RECIPES[0],)
    (dataset,) = compare(asked).datasets
    assert [own.recipe for own in dataset.recipes] == [RECIPES[0]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the log that the killed fit had open
def test_an_interrupted_cell_goes_on_and_ends_as_if_it_had_not_been(
    comparison: Comparison, settings: CompareSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def kill(entry: dict[str, object]) -> None:
        if "val_loss" in entry:  # the first epoch is over, the second not begun
            raise KilledError

    monkeypatch.setattr(loop, "LOG_STEPS", 1)
    own = cell(settings)
    with pytest.raises(KilledError):
        run_cell(own, tmp_path, report=kill)
    assert own.outcome(tmp_path) is None
    entries: list[dict[str, object]] = []
    run_cell(own, tmp_path, report=entries.append)
    assert {entry["epoch"] for entry in entries if "loss" in entry} == {1}
    whole, broken = own.outcome(settings.out), own.outcome(tmp_path)
    assert whole is not None
    assert broken is not None
    assert whole.grounding is not None
    assert broken.grounding is not None
    np.testing.assert_array_equal(broken.grounding.outcomes_MX, whole.grounding.outcomes_MX)
    np.testing.assert_array_equal(broken.retrieval.rank_C, whole.retrieval.rank_C)


def test_cells_in_processes_of_their_own_and_one_that_fails(
    comparison: Comparison, settings: CompareSettings, tmp_path: Path
) -> None:
    for name in ("cells", "runs"):
        shutil.copytree(settings.out / name, tmp_path / name)
    unfinished, broken = cell(settings, seed=1), replace(cell(settings, seed=1), recipe=RECIPES[1])
    for own in (unfinished, broken):
        for suffix in ("json", "npz"):
            (tmp_path / "cells" / f"{own.name}.{suffix}").unlink()
    shutil.rmtree(tmp_path / "runs" / broken.run_name)
    (tmp_path / "runs" / broken.run_name).write_text("not a folder")
    with pytest.raises(EvaluationError, match=f"1 of 4 cells failed; the first, {broken.name}"):
        compare(replace(settings, out=tmp_path, jobs=2))
    ours, theirs = unfinished.outcome(tmp_path), unfinished.outcome(settings.out)
    assert ours is not None
    assert theirs is not None
    assert ours.retrieval.rsum == theirs.retrieval.rsum
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert f"best: `{RECIPES[0]}`" in page  # the results are of the others
    assert f"* `{broken.name}` failed" in page


def test_claims_are_judged_where_both_sides_were_run(
    comparison: Comparison, settings: CompareSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unboxed.experiments import comparison as module
    from unboxed.experiments.claims import BASELINE, Claim

    claims = (
        Claim("one", "Us", "one beats the other", *RECIPES, "recall_any@1"),
        Claim("best", "Us", "training helps", RECIPES[0], f"{BASELINE}best", "pointing_any"),
        Claim("unknown", "Us", "a recipe of tomorrow", "ckd --tomorrow", RECIPES[0], "rsum"),
        Claim("elsewhere", "Us", "on images only", *RECIPES, "rsum", ("real",)),
    )
    monkeypatch.setattr(module, "CLAIMS", claims)
    again = compare(replace(settings, claims=True), is_drawn=lambda dataset: True)
    results = {result.claim.name: result for result in again.datasets[0].claims}
    assert list(results) == ["one", "best", "unknown"]
    found = results["one"].difference
    assert found is not None
    assert found.difference == pytest.approx((results["one"].first or 0) - (results["one"].second or 0))
    assert results["best"].second == max(own["pointing_any"] for own in again.datasets[0].baselines.values())
    assert results["unknown"].verdict == "not run"
    assert "--tomorrow" in results["unknown"].reason
    assert "## Claims of the papers" in (settings.out / "results.md").read_text(encoding="utf-8")


def test_an_outcome_is_read_back_as_it_was_written(comparison: Comparison, tmp_path: Path) -> None:
    outcome = comparison.datasets[0].recipes[0].runs[0]
    outcome.save(tmp_path / "cell", {"note": 1})
    again = Outcome.load(tmp_path / "cell")
    assert {name: metric.value for name, metric in again.metrics.items()} == {
        name: metric.value for name, metric in outcome.metrics.items()
    }
    assert json.loads((tmp_path / "cell.json").read_text())["note"] == 1
    (tmp_path / "cell.npz").write_bytes(b"")
    with pytest.raises(EvaluationError, match="damaged"):
        Outcome.load(tmp_path / "cell")


def test_what_decides_the_outcome_decides_the_name(settings: CompareSettings) -> None:
    own = cell(settings)
    assert own.name == cell(settings).name
    same = replace(own, options="", recipe=f"{RECIPES[0]} {OPTIONS}")
    assert same.run_name == own.run_name  # said otherwise, meant the same
    others = [
        replace(own, seed=1),
        replace(own, recipe=f"{RECIPES[0]} --dropout 0.2"),
        replace(own, recipe=f"{RECIPES[0]} --train-fraction 0.5"),
        replace(own, data="another.toml"),
    ]
    assert len({other.run_name for other in [own, *others]}) == 5
    assert replace(own, split="test").run_name == own.run_name
    assert replace(own, split="test").name != own.name


def test_recipes_are_parsed_as_on_the_command_line() -> None:
    name, choices, rest = parse_recipe("infoground --epochs 3 --negatives random", "--epochs 9 --train-fraction 0.1")
    assert (name, choices.schedule.epochs, choices.negatives, rest.train_fraction) == ("infoground", 3, "random", 0.1)
    with pytest.raises(EvaluationError, match="infoground"):
        parse_recipe("unheard-of")
    with pytest.raises(EvaluationError, match="--colour"):
        parse_recipe("infoground --colour red")


def test_without_gold_boxes_retrieval_decides(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    recipes = ("vse", "infoground --negatives none")
    store = (tiny_run / "store",)
    found = compare(CompareSettings((tiny_dataset,), tmp_path, recipes, store, (OPTIONS,), seeds=1))
    (dataset,) = found.datasets
    assert (dataset.kind, dataset.headline, dataset.baselines) == ("real", "rsum", {})
    assert found.best is max(dataset.recipes, key=lambda own: own.metrics["rsum"].value)
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| recipe | seeds | `rsum` | minutes |" in page
    assert "Untrained baselines" not in page


def test_bad_requests(capsys: pytest.CaptureFixture[str], settings: CompareSettings, tmp_path: Path) -> None:
    data = ["--data", str(settings.data[0]), "--out", str(tmp_path)]
    for more, expected in (
        ([], "nothing to compare"),
        (["--recipes", "infoground", "--options=--epochs 1", "--options=--epochs 2"], "2 --options for 1 --data"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["compare", *data, *more])
        assert ended.value.code == 2
        assert expected in capsys.readouterr().err


def test_the_guide_runs() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "compare.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(code, {})
