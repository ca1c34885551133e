"""The pages of a comparison show its numbers."""

from __future__ import annotations

import json
import re
from csv import DictReader
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import PairedDifference
from unboxed.experiments.claims import CLAIMS
from unboxed.experiments.comparison import compare
from unboxed.experiments.learning import LearningCurve
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.pages import command_line, results_markdown, write_results
from unboxed.experiments.results import Comparison, RecipeResult
from unboxed.experiments.tables import comparison_latex
from unboxed.experiments.verdicts import ClaimResult


def test_the_markdown_page_has_all_tables(comparison: Comparison) -> None:
    page = results_markdown(comparison)
    assert comparison.best is not None
    assert re.findall(r"^best: `(.*)`$", page, flags=re.MULTILINE) == [comparison.best.recipe]
    assert "full, 6 images and 30 captions" in page
    assert "Drawn images: 16 for training, evaluated on the 6 of `val` with" in page
    for result in comparison.datasets[0].recipes:
        low, high = result.metrics["recall_any@1"].interval()
        row = f"| `{result.recipe}` | 2 | {result.metrics['recall_any@1'].value:.1f} ({low:.1f}–{high:.1f}) |"
        assert row in page
        seeds = ", ".join(f"{value:.1f}" for value in result.seed_values("recall_any@1"))
        assert f"`{result.recipe}` {seeds}" in page
    assert "minus each other recipe, paired over seeds and images" in page
    assert "| detector name |" in page
    assert "| all |" in page


def test_the_html_page_has_every_recipe_and_loads_nothing(comparison: Comparison, settings: CompareSettings) -> None:
    write_results(comparison)
    page = (settings.out / "results.html").read_text(encoding="utf-8")
    assert all(f"<code>{recipe}</code>" in page for recipe in settings.recipes)
    assert page.count('<circle class="dot"') == 2 * 3  # two recipes in three plots
    options = sum(recipe.count(" --") for recipe in settings.recipes)
    assert page.count('<span class="option">--') == options * 3  # beside the plots no name is broken at a hyphen
    assert page.count('<circle class="seed"') == 2 * 3 * 2
    assert (
        page.count('aria-label="validation rsum by epoch"') == page.count('aria-label="validation loss by epoch"') == 2
    )
    assert page.count("still rising</span>") == sum(result.still_rising for result in comparison.datasets[0].recipes)
    assert "://" not in page


def test_the_pages_have_no_link_to_a_file_that_is_not_beside_them(
    comparison: Comparison, settings: CompareSettings
) -> None:
    write_results(comparison)
    for page in (settings.out / "results.md", settings.out / "results.html"):
        targets = re.findall(r"\]\(([^)]+)\)|href=\"([^\"]+)\"", page.read_text("utf-8"))
        assert [target for pair in targets for target in pair if target and not (settings.out / target).exists()] == []


def test_the_html_page_hides_what_is_long_about_a_claim(comparison: Comparison, settings: CompareSettings) -> None:
    note, claim = "Tried before. " * 40, CLAIMS[0]
    judged = ClaimResult(claim, "drawn", "reproduced", 51.2, 48.7, 3, PairedDifference(2.5, 1.2, 6.1, 1.0), "", note)
    not_run = ClaimResult(CLAIMS[1], "drawn", "not run", reason=f"“{CLAIMS[1].first}” was not run.")
    (dataset,) = comparison.datasets
    write_results(replace(comparison, datasets=(replace(dataset, claims=(judged, not_run)),)))
    page = (settings.out / "results.html").read_text(encoding="utf-8")
    shown = re.sub(
        r"<details>.*?</details>(?=\n|</td>)", "", page[page.index("Claims of the papers") :], flags=re.DOTALL
    )
    assert claim.text in shown and "+2.5" in shown and "Tried before." in page
    assert "Tried before." not in shown and "was not run." not in shown
    assert "<summary>Not run: 1 of 2 claims</summary>" in page and f"“{CLAIMS[1].first}” was not run." in page


def test_the_best_of_each_column_is_marked_and_nothing_else(comparison: Comparison, settings: CompareSettings) -> None:
    write_results(comparison)
    page = (settings.out / "results.html").read_text(encoding="utf-8")
    (dataset,) = comparison.datasets
    columns = [
        "recall_any@1",
        "recall_any@5",
        "recall_any@10",
        "recall_union@1",
        "pointing_any",
        "rsum",
        "attention_f1",
    ]
    found = 0
    for metric in columns:
        values = [result.metrics[metric].value for result in dataset.recipes]
        values += [scores[metric] for scores in dataset.baselines.values() if metric in scores.estimates]
        found += sum(round(value, 1) == round(max(values), 1) for value in values)
    assert page.count('<td class="best">') == found
    assert page.index("<h1>") < page.index("<table>") < page.index("<pre>unboxed compare")  # the command is at the end


def test_tables_for_other_programs(comparison: Comparison, tmp_path: Path) -> None:
    files = tuple(tmp_path / f"x.{suffix}" for suffix in ("csv", "tex", "md", "html"))
    write_results(replace(comparison, settings=replace(comparison.settings, write=files)))
    assert files[2].read_text(encoding="utf-8").startswith("# Results") and "<!doctype" in files[3].read_text("utf-8")
    rows = list(DictReader(StringIO(files[0].read_text(encoding="utf-8"))))
    (dataset,) = comparison.datasets
    for result in dataset.recipes:
        row = next(row for row in rows if (row["recipe"], row["metric"]) == (result.recipe, "recall_any@1"))
        metric = result.metrics["recall_any@1"]
        assert (float(row["value"]), float(row["low"]), float(row["high"])) == (metric.value, *metric.interval())
        assert [float(value) for value in row["seed_values"].split()] == result.seed_values("recall_any@1")
    assert {row["recipe"] for row in rows if row["seeds"] == "0"} == set(dataset.baselines)
    latex = files[1].read_text(encoding="utf-8")
    assert all(f"\\{rule}" in latex for rule in ("toprule", "midrule", "bottomrule"))
    assert r"recall\_any@1" in latex and "infoground -{}-negatives none & 2 &" in latex
    widths = {line.count("&") for line in latex.splitlines() if line.endswith("\\")}
    assert len(widths) == 1 and latex.count("{lr" + "r" * (widths.pop() - 1) + "}") == 1


def test_the_results_as_one_json_object(comparison: Comparison) -> None:
    found = json.loads(json.dumps(comparison.to_dict()))
    (dataset,) = comparison.datasets
    first = found["datasets"][0]["recipes"][0]
    metric = dataset.recipes[0].metrics["rsum"]
    assert first["recipe"] == dataset.recipes[0].recipe and first["seeds"] == [0, 1]
    assert first["metrics"]["rsum"] == [metric.value, *metric.interval()]
    assert set(found["datasets"][0]["baselines"]) == set(dataset.baselines)


def test_a_file_of_another_ending_is_refused_before_any_work(settings: CompareSettings) -> None:
    with pytest.raises(EvaluationError, match=r"'x\.pdf'; let it end in \.md, \.html, \.csv, \.tex"):
        compare(replace(settings, write=(Path("x.pdf"),)))


def test_rising_validation_curves_are_marked(comparison: Comparison) -> None:
    (dataset,) = comparison.datasets
    result = dataset.recipes[0]
    rising, flat = (LearningCurve("loss", 4, losses, (0.0,) * 4) for losses in ((4, 3, 2, 1), (4.0, 2, 1, 1)))
    runs = {0: replace(result.runs[0], curve=flat), 1: replace(result.runs[1], curve=flat)}
    for last, epochs in ((flat, "| 3 of 4 |"), (rising, "| 3–4 of 4, rising |")):
        shown = RecipeResult.of(result.recipe, {**runs, 1: replace(runs[1], curve=last)})
        page = results_markdown(replace(comparison, datasets=(replace(dataset, recipes=(shown,)),)))
        assert epochs in page


def test_one_recipe_with_one_seed_has_no_differences_and_no_seeds(comparison: Comparison) -> None:
    (dataset,) = comparison.datasets
    best = dataset.recipes[0]
    single = type(best).of(best.recipe, {0: best.runs[0]})
    page = results_markdown(replace(comparison, datasets=(replace(dataset, recipes=(single,)),)))
    assert "minus each other" not in page
    assert "of each seed" not in page


def test_a_comparison_without_finished_recipes_has_only_baselines(comparison: Comparison) -> None:
    (dataset,) = comparison.datasets
    page = results_markdown(replace(comparison, datasets=(replace(dataset, recipes=()),)))
    assert "best: " not in page
    assert "Untrained baselines:" in page


@pytest.mark.parametrize("claims", [True, False])
def test_the_command_names_files_without_folders(comparison: Comparison, claims: bool) -> None:
    line = command_line(replace(comparison, settings=replace(comparison.settings, claims=claims)))
    assert line.startswith("unboxed compare --data scenes/data.toml --recipes 'infoground --negatives none'")
    assert "--regions store --split val --seeds 2" in line
    assert ("--claims" in line) is claims
    assert line.endswith("--out FOLDER")


def test_the_command_names_the_folder_of_a_dataset_file_that_was_given_without_it(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawn").mkdir()
    monkeypatch.chdir(tmp_path / "drawn")
    line = command_line(replace(comparison, settings=replace(comparison.settings, data=(Path("data.toml"),))))
    assert line.startswith("unboxed compare --data drawn/data.toml --recipes")


def test_the_table_of_one_seed_has_intervals_over_images_alone(comparison: Comparison) -> None:
    (dataset,) = comparison.datasets
    first = tuple(replace(result, runs=result.runs[:1]) for result in dataset.recipes)
    for recipes, text in ((dataset.recipes, "Mean over seeds"), (first, "One seed")):
        latex = comparison_latex(replace(comparison, datasets=(replace(dataset, recipes=recipes),)), ["recall_any@1"])
        over = "seeds and images" if text == "Mean over seeds" else "images"
        assert rf"{text}, 95\,\% bootstrap interval over {over}.}}" in latex
