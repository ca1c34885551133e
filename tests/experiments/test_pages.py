"""The pages of a comparison show its numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from unboxed.experiments.learning import LearningCurve
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.pages import command_line, results_markdown, write_results
from unboxed.experiments.results import Comparison, RecipeResult


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
    assert page.count('<circle class="seed"') == 2 * 3 * 2
    assert (
        page.count('aria-label="validation rsum by epoch"') == page.count('aria-label="validation loss by epoch"') == 2
    )
    assert page.count("still rising</span>") == sum(result.still_rising for result in comparison.datasets[0].recipes)
    assert "://" not in page


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
