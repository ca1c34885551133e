"""Compares recipes over seeds and datasets: trains what is missing, keeps the outcomes, and writes one results page.

    FOLDER/regions/DATASET     regions, extracted once for all cells
    FOLDER/negatives/DATASET   negatives, made once for all cells of a seed
    FOLDER/runs, FOLDER/cells  see `cells`
    FOLDER/results.md, FOLDER/results.html

Called again with more recipes, seeds or datasets, a comparison trains only the missing cells. Where a claim has a grid
of options, its cells are run first, on the validation split with one seed, and the best options are run like the other
recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.errors import EvaluationError
from unboxed.evaluation.zero_shot_baseline import named_detector
from unboxed.experiments.cells import Cell, parse_recipe
from unboxed.experiments.dataset_results import result_of
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.outcomes import Outcome
from unboxed.experiments.pages import require_known_formats, write_results
from unboxed.experiments.plan import (
    Plan,
    add_cells,
    add_chosen,
    dataset_names,
    own_cells,
    planned,
    prepare,
    selected_claims,
)
from unboxed.experiments.results import HEADLINE, Comparison
from unboxed.experiments.workers import log_file, run_cells
from unboxed.runtime.atomic import require_output
from unboxed.runtime.locks import folder_lock, remove_left_overs, waiting
from unboxed.runtime.progress import Show, counted

__all__ = ["compare"]

_FOLDERS = ("cells", "runs", "regions", "negatives")


def compare(
    settings: CompareSettings,
    show: Show = lambda line: None,
    *,
    is_drawn: Callable[[Dataset], bool] = lambda dataset: False,
) -> Comparison:
    """Trains the missing cells, and writes `results.md` and `results.html` to `settings.out`.

    Args:
        settings: what to compare.
        show: called with a line of text at every stage.
        is_drawn: whether a dataset has the drawn images of `unboxed scenes`; some claims are about one kind of images.

    Raises:
        BusyError: another process writes the comparison.
        EvaluationError: nothing to compare, options that do not fit, or cells that failed; the results of the others
            are written.
        UnboxedError: a dataset or a store is unusable; the message names the fix.
    """
    names = dataset_names(settings)
    _check(settings, names)
    with waiting(settings.wait), folder_lock(settings.out, show=show):
        if (settings.out / "cells").is_dir():  # otherwise it is new, or another folder
            remove_left_overs(settings.out, _FOLDERS)
        else:
            _require_free(settings.out)
        return _compare(settings, names, show, is_drawn)


def _compare(
    settings: CompareSettings, names: Sequence[str], show: Show, is_drawn: Callable[[Dataset], bool]
) -> Comparison:
    """`compare` of datasets of these names, under the lock of the folder."""
    prepared = [prepare(settings, number, name, show, is_drawn) for number, name in enumerate(names)]
    plan = Plan({}, {}, {}, {})
    for dataset in prepared:
        add_cells(dataset, settings, plan, show)
    if settings.claims:
        of_recipes = [cell for dataset in prepared for cell in own_cells(dataset, settings, plan)]
        show(planned(of_recipes, plan, settings))
        _run(of_recipes, plan, settings, show, "of the recipes")
    if plan.grids:
        _run([*plan.grids.values()], plan, settings, show, "that choose options of claims")
        for dataset in prepared:
            add_chosen(dataset, settings, plan)
    _run(plan.all_cells, plan, settings, show)
    results = tuple(result_of(dataset, settings, plan) for dataset in prepared)
    comparison = Comparison(settings, results, plan.failed)
    write_results(comparison)
    show(f"Results: {settings.out / 'results.md'} and {settings.out / 'results.html'}")
    if plan.failed:
        first, reason = next(iter(plan.failed.items()))
        log = log_file(settings.out, first)
        where = f" ({log})" if settings.jobs > 1 and log.is_file() else ""
        raise EvaluationError(
            f"{len(plan.failed)} of {len(plan.all_cells) + len(plan.grids)} cells failed; the first, {first}: "
            f"{reason.removesuffix('.')}{where}. The results are of the others."
        )
    return comparison


def _require_free(out: Path) -> None:
    """Raises `EvaluationError` where a folder that is no comparison has what a comparison would write into."""
    others = [name for name in (*_FOLDERS, "results.md", "results.html") if (out / name).exists()]
    if others:
        raise EvaluationError(
            f"{out} is no comparison and holds {others[0]}, which would be written into; choose another folder."
        )


def _check(settings: CompareSettings, names: Sequence[str]) -> None:
    """Raises `EvaluationError` for settings that contradict each other, before any work starts."""
    require_known_formats(settings.write)
    if not settings.data or not (settings.recipes or settings.claims):
        raise EvaluationError("There is nothing to compare; name --data and --recipes, or use --claims.")
    if settings.claims_of and not settings.claims:
        raise EvaluationError("--claims-of selects among the claims; use it together with --claims.")
    selected_claims(settings)
    several = {"--regions": settings.regions, "--options": settings.options, "--split": settings.split}
    for name, given in several.items():
        if len(given) not in {0, len(settings.data)} and not (name != "--regions" and len(given) == 1):
            raise EvaluationError(f"{len(given)} {name} for {len(settings.data)} --data; give one for each.")
    _check_recipes(settings, names)
    for baseline in settings.baseline:
        named_detector(baseline)
    for path in settings.write:
        require_output(path, *(file for data in settings.data for file in load_dataset(data).files))


def _check_recipes(settings: CompareSettings, names: Sequence[str]) -> None:
    """Raises `EvaluationError` for recipes that do not exist, lack an option, or are for no dataset of these names."""
    for recipe, name in settings.named_datasets:
        if name not in names:
            raise EvaluationError(f"“{recipe}” is for a dataset that --data does not have; it has {', '.join(names)}.")
    for number, name in enumerate(names):
        for recipe in settings.recipes_for(name):
            parse_recipe(recipe, settings.options_of(number), idle=settings.finished_only)
    if settings.reference is not None and settings.reference not in settings.recipes:
        named = ", ".join(settings.recipes) or "none are named"
        raise EvaluationError(f"--reference “{settings.reference}” is none of --recipes: {named}.")


def _run(cells: list[Cell], plan: Plan, settings: CompareSettings, show: Show, which: str = "in all") -> None:
    """Runs the cells that are not finished, unless `settings.finished_only`; adds failed ones to `plan.failed`."""
    folder = settings.out
    missing = [cell for cell in cells if not cell.is_finished(folder)]
    show(f"{counted(len(cells), 'cell')} {which}, {len(cells) - len(missing)} finished already")
    if settings.finished_only:
        return
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    done = 0
    missing = [cell for cell in missing if cell.name not in plan.failed]  # one that fails is not tried twice

    def finished(cell: Cell, reason: str) -> None:
        nonlocal done
        done += 1
        if reason:
            plan.failed[cell.name] = reason
        outcome = cell.outcome(folder)
        result = f" failed: {reason}" if outcome is None else f": {_summary(outcome)}"
        show(f"[{done}/{len(missing)}] {cell.recipe}, seed {cell.seed}, {cell.dataset}{result}")

    run_cells(missing, folder, settings.jobs, finished)


def _summary(outcome: Outcome) -> str:
    metrics = outcome.metrics
    shown = [f"{name} {metrics[name].value:.1f}" for name in (HEADLINE, "rsum") if name in metrics]
    return f"{', '.join(shown)}, {outcome.seconds / 60:.1f} min of training"
