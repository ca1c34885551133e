"""A comparison from end to end: which cells are trained, what is reported of them, and what is refused."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.regions.zero_shot_models import save_owl

from unboxed.cli import main
from unboxed.errors import EvaluationError
from unboxed.evaluation.baselines import BASELINES
from unboxed.experiments import plan
from unboxed.experiments.cells import Cell
from unboxed.experiments.claims import BASELINE, CLAIMS, Claim
from unboxed.experiments.comparison import compare
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.results import Comparison, RecipeResult


def test_every_recipe_has_its_seeds_as_one_row(comparison: Comparison, settings: CompareSettings) -> None:
    (dataset,) = comparison.datasets
    assert dataset.kind == "drawn"
    assert (dataset.images, dataset.training_images) == (6, 16)
    assert [result.recipe for result in dataset.recipes] == list(settings.recipes)
    for result in dataset.recipes:
        assert len(result.runs) == 2
        assert result.grounding is not None
        assert result.grounding["recall_any@1"] == pytest.approx(np.mean(result.seed_values("recall_any@1")))
        assert result.metrics["rsum"].value == pytest.approx(np.mean(result.seed_values("rsum")))
        assert 0 < result.minutes < 5
        assert result.errors is not None
        assert sum(result.errors.total) == result.grounding.phrases
    by_recall = max(dataset.recipes, key=lambda result: result.metrics["recall_any@1"].value)
    assert dataset.best is comparison.best is by_recall
    assert dataset.differences("not a metric") == {}


def test_recipes_are_compared_on_the_seeds_that_both_have(comparison: Comparison) -> None:
    one, other = comparison.datasets[0].recipes[:2]
    second = RecipeResult.of(other.recipe, {1: other.runs[1]})
    shared = one.sharing_seeds(second)
    assert shared.seeds == (1,)
    assert shared.metrics["rsum"].value == pytest.approx(one.seed_values("rsum")[1])
    assert one.sharing_seeds(other) is one
    with pytest.raises(EvaluationError, match="no seed in common"):
        RecipeResult.of(one.recipe, {0: one.runs[0]}).sharing_seeds(second)


def test_finished_cells_are_kept_and_only_new_ones_run(comparison: Comparison, settings: CompareSettings) -> None:
    lines: list[str] = []
    files = {path: path.stat().st_mtime_ns for path in (settings.out / "cells").glob("*.npz")}
    page = settings.out / "docs.md"
    again = compare(replace(settings, recipes=settings.recipes[:1], write=(page,)), lines.append)
    assert "2 cells in all, 2 finished already" in lines
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert [result.recipe for result in again.datasets[0].recipes] == [settings.recipes[0]]
    assert page.read_text() == (settings.out / "results.md").read_text()


def test_only_what_is_finished_is_written_and_nothing_trained(
    comparison: Comparison, settings: CompareSettings
) -> None:
    found = compare(replace(settings, recipes=(settings.recipes[0], "vse --epochs 1"), seeds=3, finished_only=True))
    (dataset,) = found.datasets
    assert [(result.recipe, len(result.runs)) for result in dataset.recipes] == [(settings.recipes[0], 2)]


def two_datasets(settings: CompareSettings, folder: Path) -> CompareSettings:
    """The dataset and another one of other options, whose name is not one of files: my-scenes."""
    shutil.copytree(settings.data[0].parent, folder / "my-scenes")
    data = (settings.data[0], folder / "my-scenes" / settings.data[0].name)
    return replace(settings, data=data, regions=settings.regions * 2, out=folder / "out", finished_only=True)


@pytest.mark.usefixtures("comparison")
def test_a_recipe_may_be_for_one_dataset_alone(settings: CompareSettings, tmp_path: Path) -> None:
    options = (settings.options[0], "--margin 0.3")  # infoground has no margin
    recipes = (f"{settings.recipes[0]} @scenes", "scan @my-scenes")
    wanted = replace(two_datasets(settings, tmp_path), recipes=recipes, options=options, out=settings.out)
    assert (wanted.recipes_for("scenes"), wanted.recipes_for("my_scenes")) == ((settings.recipes[0],), ("scan",))
    first, second = compare(wanted).datasets
    assert [result.recipe for result in first.recipes] == [settings.recipes[0]]
    assert (second.name, second.recipes) == ("my_scenes", ())
    with pytest.raises(EvaluationError, match="--margin"):
        compare(replace(wanted, recipes=(settings.recipes[0],)))


@pytest.mark.parametrize("reference", [None, "vse @scene"])
def test_a_recipe_for_a_dataset_that_is_not_there_is_refused(
    settings: CompareSettings, tmp_path: Path, reference: str | None
) -> None:
    wanted = replace(two_datasets(settings, tmp_path), recipes=("vse @scene", settings.recipes[0]), reference=reference)
    with pytest.raises(EvaluationError, match=r"“vse @scene” is for a dataset .* it has scenes, my_scenes"):
        compare(wanted)


def test_a_reference_is_subtracted_from_each_other_recipe(comparison: Comparison, settings: CompareSettings) -> None:
    reference, other = settings.recipes
    found = compare(replace(settings, reference=reference, finished_only=True))
    (dataset,) = found.datasets
    difference = dataset.differences("rsum")
    of = {result.recipe: result.metrics["rsum"].value for result in dataset.recipes}
    assert list(difference) == [other]
    assert difference[other].difference == pytest.approx(of[other] - of[reference])
    page = (settings.out / "results.md").read_text(encoding="utf-8")
    assert f"Each other recipe minus `{reference}`, paired over seeds and images, in points:" in page
    assert f"| other | `recall_any@1` | `pointing_any` | `rsum` | `attention_f1` |\n| --- |{' ---: |' * 4}\n" in page
    assert f"--reference '{reference}'" in page
    assert f"Each other recipe minus {reference}</h3>" in (settings.out / "results.html").read_text(encoding="utf-8")
    with pytest.raises(EvaluationError, match="--reference “vse” is none of --recipes"):
        compare(replace(settings, reference="vse"))


def copy_of(settings: CompareSettings, folder: Path) -> CompareSettings:
    for name in ("cells", "runs"):
        shutil.copytree(settings.out / name, folder / name)
    return replace(settings, out=folder)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_that_fails_does_not_stop_the_others(
    comparison: Comparison, settings: CompareSettings, tmp_path: Path, jobs: int
) -> None:
    copy = replace(copy_of(settings, tmp_path), jobs=jobs)
    data, regions = str(settings.data[0].resolve()), str(settings.regions[0].resolve())
    unfinished = Cell(settings.recipes[0], settings.options[0], 1, "scenes", data, "val", regions)
    broken = replace(unfinished, recipe=settings.recipes[1])
    for cell in (unfinished, broken):
        for suffix in ("json", "npz"):
            (tmp_path / "cells" / f"{cell.name}.{suffix}").unlink()
    shutil.rmtree(tmp_path / "runs" / broken.run_name)
    (tmp_path / "runs" / broken.run_name).write_text("not a folder")
    lines: list[str] = []
    with pytest.raises(EvaluationError, match=f"1 of 4 cells failed; the first, {broken.name}") as failed:
        compare(copy, lines.append)
    log = tmp_path / "cells" / f"{broken.name}.log"
    assert ".." not in str(failed.value)
    assert log.is_file() == (f"({log})" in str(failed.value)) == (jobs == 2), "a log is named where there is one"
    ours, theirs = unfinished.outcome(tmp_path), unfinished.outcome(settings.out)
    assert ours is not None and theirs is not None
    assert ours.retrieval.rsum == theirs.retrieval.rsum
    assert sum(line.startswith(("[1/2]", "[2/2]")) for line in lines) == 2
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert f"best: `{settings.recipes[0]}`" in page  # the results are of the others
    assert f"* `{broken.name}` failed" in page


def test_claims_are_judged_where_both_sides_were_run(
    comparison: Comparison, settings: CompareSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    claims = (
        Claim("one", "Us", "one beats the other", *settings.recipes, "recall_any@1"),
        Claim("best", "Us", "training helps", settings.recipes[0], f"{BASELINE}best", "pointing_any"),
        Claim("centre", "Us", "training helps", settings.recipes[0], f"{BASELINE}image centre", "pointing_any"),
        Claim("unknown", "Us", "a recipe of tomorrow", "ckd --tomorrow", settings.recipes[0], "rsum"),
        Claim("missing", "Us", "a recipe that was not run", "vse", settings.recipes[0], "rsum"),
        Claim("elsewhere", "Us", "on real images only", *settings.recipes, "rsum", ("real",)),
    )
    monkeypatch.setattr(plan, "CLAIMS", claims)
    copy = replace(copy_of(settings, tmp_path), claims=True, finished_only=True)
    (dataset,) = compare(copy, is_drawn=lambda dataset: True).datasets
    results = {result.claim.name: result for result in dataset.claims}
    assert list(results) == ["one", "best", "centre", "unknown", "missing"]
    found = results["one"].difference
    assert found is not None
    assert found.difference == pytest.approx((results["one"].first or 0) - (results["one"].second or 0))
    assert results["best"].second == max(scores["pointing_any"] for scores in dataset.baselines.values())
    assert results["centre"].second == dataset.baselines["image centre"]["pointing_any"]
    assert results["unknown"].verdict == "not run"
    assert "--tomorrow" in results["unknown"].reason
    assert "was not run" in results["missing"].reason
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "## Claims of the papers" in page
    assert f"Not run: *Us, {dataset.name}*: a recipe of tomorrow; a recipe that was not run." in page
    assert "Claims of the papers" in (tmp_path / "results.html").read_text(encoding="utf-8")


def test_a_comparison_of_some_claims_plans_only_their_cells(settings: CompareSettings) -> None:
    some = replace(settings, claims=True, claims_of=("scan-vse", "ccr-bfan"))
    names = [claim.name for claim in plan.selected_claims(some)]
    assert names == [claim.name for claim in CLAIMS if claim.name == "scan-vse" or "ccr-bfan" in claim.name]
    assert {"scan-vse", "ccr-bfan-rsum", "ccr-bfan-npair-rsum"} < set(names)
    assert plan.selected_claims(replace(settings, claims=True)) == list(CLAIMS)
    assert plan.selected_claims(settings) == []


def test_claims_that_do_not_exist_are_refused_with_the_names_of_those_that_do(settings: CompareSettings) -> None:
    with pytest.raises(EvaluationError, match=r"'scan-vgg' names no claim; the claims are .*scan-vse"):
        compare(replace(settings, claims=True, claims_of=("scan-vgg",)))
    with pytest.raises(EvaluationError, match="'' names no claim"):
        compare(replace(settings, claims=True, claims_of=("",)))
    with pytest.raises(EvaluationError, match="together with --claims"):
        compare(replace(settings, claims_of=("scan-vse",)))


def test_the_options_of_a_claim_are_chosen_on_val_and_then_run(
    comparison: Comparison, settings: CompareSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    grid = ("--epochs 1", "--epochs 1 --dropout 0.5")
    first = f"{settings.recipes[0]} --joint-width 8"
    monkeypatch.setattr(plan, "CLAIMS", (Claim("one", "Us", "better", first, settings.recipes[0], "rsum", grid=grid),))
    wanted = replace(copy_of(settings, tmp_path), claims=True, split=("train",), seeds=1, recipes=settings.recipes[:1])
    lines: list[str] = []
    (dataset,) = compare(wanted, lines.append).datasets
    assert lines[1] == (
        "Cells: 1 of the recipes, 0 of the claims, 2 that choose options of claims; 0 of the 3 are finished already. "
        "The options that are chosen may take 1 more on each dataset."
    )
    assert [line for line in lines if line.endswith("finished already")] == [
        "1 cell of the recipes, 0 finished already",
        "2 cells that choose options of claims, 0 finished already",
        "2 cells in all, 1 finished already",  # the chosen one is new
    ]
    rows = {row.recipe: row for row in dataset.grid}
    assert list(rows) == [f"{first} {options}" for options in grid]
    best = max(rows.values(), key=lambda row: row.metrics["rsum"])
    assert [row for row in rows.values() if row.chosen] == [best]
    (result,) = dataset.claims
    assert result.claim.first == best.recipe
    assert result.first is not None
    cells = [path.name for path in (tmp_path / "cells").glob("*.json")]
    assert sum(name.endswith("-train.json") for name in cells) == 2
    assert f"| `{best.recipe}` |" in (tmp_path / "results.md").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "cells")
    (tmp_path / "cells").mkdir()
    (dataset,) = compare(replace(wanted, finished_only=True)).datasets
    assert [row.metrics for row in dataset.grid] == [{}, {}]
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "None of the 2 settings that are to be tried on `val`" in page and "trains what is missing" in page
    assert dataset.claims[0].verdict == "not run"


def test_a_grid_that_the_options_of_the_comparison_exclude_is_not_run(
    comparison: Comparison, settings: CompareSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    grid = ("--pooling median", "--no-such-option")
    first = f"{settings.recipes[0]} --joint-width 8"
    monkeypatch.setattr(plan, "CLAIMS", (Claim("one", "Us", "better", first, settings.recipes[0], "rsum", grid=grid),))
    wanted = replace(copy_of(settings, tmp_path), claims=True, recipes=settings.recipes[:1])
    (dataset,) = compare(wanted).datasets
    assert dataset.grid == () and dataset.claims[0].verdict == "not run"
    assert "median" in dataset.claims[0].reason


def test_recipes_get_the_regions_that_they_need(
    settings: CompareSettings, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    """Without stores, the default regions are extracted once, and those of a feature map beside them."""
    recipes = ("npair --cells 3 --patch 8 --channels 8",)
    wanted = CompareSettings((tiny_world[0],), tmp_path, recipes, split=("test",), options=settings.options, seeds=1)
    (dataset,) = compare(wanted).datasets
    stores = sorted(path.name for path in (tmp_path / "regions").iterdir() if path.is_dir())
    assert len(stores) == 2 and stores[1].startswith(f"{stores[0]}-")
    assert "pointing_heatmap" in dataset.recipes[0].metrics
    with pytest.raises(EvaluationError, match="--colour"):
        compare(replace(wanted, options=("--colour red",)))


def test_datasets_of_one_name_are_told_apart_by_their_paths(
    comparison: Comparison, settings: CompareSettings, tmp_path: Path
) -> None:
    shutil.copytree(settings.data[0].parent, tmp_path / "copy" / settings.data[0].parent.name)
    other = tmp_path / "copy" / settings.data[0].parent.name / settings.data[0].name
    both = replace(
        settings, data=(settings.data[0], other), regions=settings.regions * 2, out=tmp_path, finished_only=True
    )
    first, second = compare(both).datasets
    assert first.name != second.name
    assert first.name.startswith("scenes_") and second.name.startswith("scenes_")


def test_outcomes_on_other_images_than_the_split_has_now_are_refused(
    comparison: Comparison, settings: CompareSettings, tmp_path: Path
) -> None:
    """The name of a cell has the paths of its files, whose contents may change."""
    shutil.copytree(settings.out / "cells", tmp_path / "cells")
    shutil.copytree(settings.data[0].parent, tmp_path / "scenes")
    changed = tmp_path / "scenes" / settings.data[0].name
    old, new = (str(path.resolve()) for path in (settings.data[0], changed))
    for seed in range(settings.seeds):
        for recipe in settings.recipes:
            one = Cell(recipe, settings.options[0], seed, "scenes", old, "val", str(settings.regions[0].resolve()))
            for suffix in ("json", "npz"):
                file = tmp_path / "cells" / f"{one.name}.{suffix}"
                file.rename(file.with_name(f"{replace(one, data=new).name}.{suffix}"))
    wanted = replace(settings, data=(changed,), out=tmp_path, finished_only=True)
    assert [len(result.runs) for result in compare(wanted).datasets[0].recipes] == [2, 2]
    names = (tmp_path / "scenes" / "val.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "scenes" / "val.txt").write_text("\n".join(names[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"-0-val\.json is of 6 images, .* val now has others: 5 images"):
        compare(wanted)


def test_without_a_val_split_the_images_that_training_holds_out_are_evaluated(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    table = tmp_path / "data" / "captions.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",val\n", ",train\n"), encoding="utf-8")
    wanted = CompareSettings((tmp_path / "data" / tiny_dataset.name,), tmp_path / "out", ("vse --epochs 1",), seeds=1)
    (dataset,) = compare(replace(wanted, regions=(tiny_run / "store",))).datasets
    assert (dataset.split, dataset.images, dataset.training_images) == ("val", 4, 36)
    assert len(dataset.recipes[0].runs[0].image_ids) == 4


def test_without_gold_boxes_retrieval_decides(
    settings: CompareSettings, tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    recipes = ("vse", "infoground --negatives none")
    store = (tiny_run / "store",)
    found = compare(CompareSettings((tiny_dataset,), tmp_path, recipes, store, settings.options, seeds=1))
    (dataset,) = found.datasets
    assert (dataset.kind, dataset.headline, dataset.baselines) == ("real", "rsum", {})
    assert found.best is max(dataset.recipes, key=lambda result: result.metrics["rsum"].value)
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| recipe | seeds | `rsum` | epochs | minutes |" in page
    assert "Untrained baselines" not in page


def test_a_zero_shot_detector_is_a_row_among_the_baselines(
    comparison: Comparison, settings: CompareSettings, tmp_path: Path
) -> None:
    library = pytest.importorskip("transformers", reason="the hf extra is not installed")
    folder = save_owl(library, tmp_path / "owl", "Owlv2")
    shutil.copytree(settings.out, tmp_path / "out")
    wanted = replace(settings, out=tmp_path / "out", finished_only=True, baseline=(f"hf:{folder}",))
    (dataset,) = compare(wanted).datasets
    assert list(dataset.baselines) == [*BASELINES, "hf:owl"]
    assert dataset.baselines["hf:owl"].estimates.keys() == dataset.baselines["image centre"].estimates.keys()
    page = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| hf:owl | " in page
    assert "--baseline hf:owl" in page


def test_what_belongs_to_no_comparison_is_not_written_into(
    settings: CompareSettings, tiny_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "regions").mkdir(exist_ok=True)
    before = sorted(run.rglob("*"))
    with pytest.raises(EvaluationError, match="is no comparison and holds regions, which would be written into"):
        compare(replace(settings, out=run))
    assert sorted(run.rglob("*")) == before


def test_a_store_without_the_images_of_the_split_is_refused_before_a_cell_is_trained(
    settings: CompareSettings, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match="None of the 2 images of the split test of scenes has regions in"):
        compare(replace(settings, out=tmp_path / "out", split=("test",)))
    assert not (tmp_path / "out" / "runs").exists()


def test_bad_requests(capsys: pytest.CaptureFixture[str], settings: CompareSettings, tmp_path: Path) -> None:
    data = ["--data", str(settings.data[0]), "--out", str(tmp_path)]
    for more, expected in (
        ([], "nothing to compare"),
        (["--recipes", "infoground", "--options=--epochs 1", "--options=--epochs 2"], "2 --options for 1 --data"),
        (["--recipes", "infoground", "--regions", "one", "two"], "2 --regions for 1 --data"),
        (
            ["--recipes", "infoground", "--baseline", "owlv2"],
            "baseline 'owlv2' is not known; name a zero-shot detector",
        ),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["compare", *data, *more])
        assert ended.value.code == 2
        assert expected in capsys.readouterr().err


def test_the_command_recognizes_drawn_images(
    comparison: Comparison, settings: CompareSettings, tiny_dataset: Path, tiny_run: Path, tmp_path: Path
) -> None:
    for data, regions, kind in (
        (settings.data[0], settings.regions[0], "Drawn images"),
        (tiny_dataset, tiny_run / "store", "Real images"),
    ):
        main(
            ["compare", "--data", str(data), "--regions", str(regions), "--recipes", "vse", "--out", str(tmp_path),
             "--finished-only"]
        )  # fmt: skip
        assert f"{kind}: " in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_the_guide_runs() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "compare.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(code, {})
