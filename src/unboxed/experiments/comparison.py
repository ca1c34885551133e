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

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.errors import EvaluationError, UnboxedError
from unboxed.evaluation.baselines import untrained_baselines
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.grounded_split import can_be_grounded
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.zero_shot_baseline import named_detector, zero_shot_baseline
from unboxed.experiments.cells import Cell, Outcome, parse_recipe
from unboxed.experiments.claims import BASELINE, CLAIMS, Claim, DatasetKind, tried_notes
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.pages import require_known_formats, write_results
from unboxed.experiments.results import HEADLINE, Comparison, DatasetResult, RecipeResult
from unboxed.experiments.verdicts import GridRow, Side, judge
from unboxed.experiments.workers import run_cells
from unboxed.recipes import RecipeConfig
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.locks import folder_lock, waiting
from unboxed.training.splits import training_and_validation
from unboxed.types import Example, Regions

__all__ = ["compare"]

Show = Callable[[str], None]

VALIDATION = "val"
GRID_METRICS = ("rsum", "attention_f1")


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A dataset that is ready for training.

    Attributes:
        name, kind: see `DatasetResult`.
        options: of its recipes, see `CompareSettings`.
        split: name of the evaluated split.
        dataset: the loaded dataset.
        store: regions of the images: the given store, or the dataset's default regions.
        examples: of the evaluated split.
        images: all images that need regions.
        training_images: number of training images.
    """

    name: str
    kind: DatasetKind
    options: str
    split: str
    dataset: Dataset
    store: Path
    examples: tuple[Example, ...]
    images: tuple[Example, ...]
    training_images: int


@dataclass(frozen=True, eq=False)
class _Plan:
    """The cells of a comparison.

    Attributes:
        cells: by dataset name and recipe, one for each seed.
        grids: by dataset name and recipe, the cells that choose the options of claims.
        unusable: recipes of claims that cannot be trained on a dataset, with the reason.
        failed: names of cells that failed, with the reason.
    """

    cells: dict[tuple[str, str], list[Cell]]
    grids: dict[tuple[str, str], Cell]
    unusable: dict[tuple[str, str], str]
    failed: dict[str, str]

    @property
    def all_cells(self) -> list[Cell]:
        """The cells of all datasets and recipes, without those of the grids."""
        return [cell for cells in self.cells.values() for cell in cells]


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
    _check(settings)
    with waiting(settings.wait), folder_lock(settings.out, show=show):
        return _compare(settings, show, is_drawn)


def _compare(settings: CompareSettings, show: Show, is_drawn: Callable[[Dataset], bool]) -> Comparison:
    """`compare` under the lock of the folder."""
    prepared = [_prepare(settings, number, show, is_drawn) for number in range(len(settings.data))]
    plan = _Plan({}, {}, {}, {})
    for dataset in prepared:
        _add_cells(dataset, settings, plan, show)
    if settings.claims:
        own = [cell for dataset in prepared for cell in _own_cells(dataset, settings, plan)]
        show(_planned(own, plan, settings))
        _run(own, plan, settings, show, "of the recipes")
    if plan.grids:
        _run([*plan.grids.values()], plan, settings, show, "that choose options of claims")
        for dataset in prepared:
            _add_chosen(dataset, settings, plan)
    _run(plan.all_cells, plan, settings, show)
    results = tuple(_result(dataset, settings, plan) for dataset in prepared)
    comparison = Comparison(settings, results, plan.failed)
    write_results(comparison)
    show(f"Results: {settings.out / 'results.md'} and {settings.out / 'results.html'}")
    if plan.failed:
        first, reason = next(iter(plan.failed.items()))
        raise EvaluationError(
            f"{len(plan.failed)} of {len(plan.all_cells) + len(plan.grids)} cells failed; the first, {first}: {reason} "
            f"({settings.out / 'cells' / first}.log). The results are of the others."
        )
    return comparison


def _check(settings: CompareSettings) -> None:
    """Raises `EvaluationError` for settings that contradict each other, before any work starts."""
    require_known_formats(settings.write)
    if not settings.data or not (settings.recipes or settings.claims):
        raise EvaluationError("There is nothing to compare; name --data and --recipes, or use --claims.")
    several = {"--regions": settings.regions, "--options": settings.options, "--split": settings.split}
    for name, given in several.items():
        if len(given) not in {0, len(settings.data)} and not (name != "--regions" and len(given) == 1):
            raise EvaluationError(f"{len(given)} {name} for {len(settings.data)} --data; give one for each.")
    for recipe in settings.recipes:
        parse_recipe(recipe.rpartition("@")[0] or recipe)
    for baseline in settings.baseline:
        named_detector(baseline)


def _prepare(settings: CompareSettings, number: int, show: Show, is_drawn: Callable[[Dataset], bool]) -> _Prepared:
    data = settings.data[number].resolve()
    dataset = load_dataset(data)
    name = re.sub(r"[^A-Za-z0-9_]+", "_", dataset.name)
    if [load_dataset(path).name for path in settings.data].count(dataset.name) > 1:
        name += "_" + hashlib.sha256(str(data).encode()).hexdigest()[:6]  # datasets of one name differ by their paths
    training, validation = training_and_validation(dataset)
    split = dataset.split(settings.split_of(number))
    show(f"{name}: {training.describe()}; {split.describe()}")
    images = {example.image_id: example for part in (training, validation, split) for example in part.examples}
    prepared = _Prepared(
        name=name,
        kind="drawn" if is_drawn(dataset) else "real",
        options=settings.options[number if len(settings.options) > 1 else 0] if settings.options else "",
        split=split.name,
        dataset=dataset,
        store=(settings.regions[number] if settings.regions else settings.out / "regions" / name).resolve(),
        examples=split.examples,
        images=tuple(images.values()),
        training_images=len(training.examples),
    )
    if not settings.regions:
        _extract(prepared, RegionSettings.default_for(dataset), prepared.store, show)
    RegionStore.open(prepared.store)  # raises for an unreadable store before anything is trained
    return prepared


def _add_cells(dataset: _Prepared, settings: CompareSettings, plan: _Plan, show: Show) -> None:
    """Adds the cells of a dataset to the plan."""
    requested = settings.recipes_for(dataset.name)
    claimed = [recipe for claim in _claims(dataset.kind) for recipe in claim.recipes] if settings.claims else []
    for recipe in dict.fromkeys((*requested, *claimed)):
        try:
            store = _store_of(dataset, parse_recipe(recipe, dataset.options).config, settings, show)
        except UnboxedError as error:
            if recipe in requested:
                raise
            plan.unusable[dataset.name, recipe] = str(error)
            continue
        seeds = settings.seeds if recipe in requested else settings.claim_seeds
        plan.cells[dataset.name, recipe] = [_cell(dataset, recipe, seed, store) for seed in range(seeds)]
    for recipe in _candidates(dataset) if settings.claims else ():
        store = _store_of(dataset, parse_recipe(recipe, dataset.options).config, settings, show)
        plan.grids[dataset.name, recipe] = replace(_cell(dataset, recipe, 0, store), split=VALIDATION)


def _own_cells(dataset: _Prepared, settings: CompareSettings, plan: _Plan) -> list[Cell]:
    """The cells of the recipes that the settings name, which are trained before those of the claims."""
    recipes = dict.fromkeys(settings.recipes_for(dataset.name))
    return [cell for recipe in recipes for cell in plan.cells[dataset.name, recipe]]


def _planned(own: list[Cell], plan: _Plan, settings: CompareSettings) -> str:
    """How many cells a comparison with claims trains, before any of them is trained."""
    every = [*plan.all_cells, *plan.grids.values()]
    finished = sum(cell.is_finished(settings.out) for cell in every)
    more = ""
    if plan.grids:
        chosen = len({claim.first for claim in CLAIMS if claim.grid}) * settings.claim_seeds
        more = f" The options that are chosen may take {chosen} more on each dataset."
    return (
        f"Cells: {len(own)} of the recipes, {len(plan.all_cells) - len(own)} of the claims, {len(plan.grids)} that "
        f"choose options of claims; {finished} of the {len(every)} are finished already.{more}"
    )


def _cell(dataset: _Prepared, recipe: str, seed: int, store: Path | str) -> Cell:
    data = str(dataset.dataset.path.resolve())
    return Cell(recipe, dataset.options, seed, dataset.name, data, dataset.split, str(store))


def _candidates(dataset: _Prepared) -> list[str]:
    """What the grids of the claims try, each once; nothing without a validation split."""
    if VALIDATION not in dataset.dataset.split_names:
        return []
    return list(dict.fromkeys(recipe for claim in _claims(dataset.kind) for recipe in claim.candidates))


def _add_chosen(dataset: _Prepared, settings: CompareSettings, plan: _Plan) -> None:
    """Adds the cells of the options that the grids have chosen."""
    for claim in _claims(dataset.kind):
        chosen = _chosen(claim, dataset, settings, plan)
        if chosen is not None:
            cell = plan.grids[dataset.name, chosen]
            cells = [_cell(dataset, chosen, seed, cell.regions) for seed in range(settings.claim_seeds)]
            plan.cells.setdefault((dataset.name, chosen), cells)


def _chosen(claim: Claim, dataset: _Prepared, settings: CompareSettings, plan: _Plan) -> str | None:
    """The candidate with the highest rsum on the validation split; None without a finished one."""
    cells = {recipe: plan.grids.get((dataset.name, recipe)) for recipe in claim.candidates}
    outcomes = {recipe: cell.outcome(settings.out) for recipe, cell in cells.items() if cell is not None}
    rsums = {recipe: found.metrics["rsum"].value for recipe, found in outcomes.items() if found is not None}
    return max(rsums, key=rsums.__getitem__, default=None)


def _claims(kind: DatasetKind) -> list[Claim]:
    return [claim for claim in CLAIMS if kind in claim.kinds]


def _store_of(dataset: _Prepared, config: RecipeConfig, settings: CompareSettings, show: Show) -> Path:
    """The dataset's regions, or those that the recipe needs instead, such as the cells of a feature map."""
    default, needed = RegionSettings.default_for(dataset.dataset), config.region_settings(dataset.dataset)
    if needed[0].fingerprint() == default[0].fingerprint():
        return dataset.store
    store = (settings.out / "regions" / f"{dataset.name}-{needed[0].fingerprint()[:10]}").resolve()
    if not settings.finished_only:
        _extract(dataset, needed, store, show)
    return store


def _extract(dataset: _Prepared, needed: tuple[RegionSettings, str], store: Path, show: Show) -> None:
    settings, description = needed
    show(f"{dataset.name}: {description}")
    for line in skipped_lines(dict(extract(dataset.images, settings, store).skipped)):
        show(line)


def _run(cells: list[Cell], plan: _Plan, settings: CompareSettings, show: Show, which: str = "in all") -> None:
    """Runs the cells that are not finished, unless `settings.finished_only`; adds failed ones to `plan.failed`."""
    folder = settings.out
    missing = [cell for cell in cells if not cell.is_finished(folder)]
    show(f"{len(cells)} cells {which}, {len(cells) - len(missing)} of them finished already")
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


def _result(dataset: _Prepared, settings: CompareSettings, plan: _Plan) -> DatasetResult:
    results = _finished(dataset, settings, plan)
    baselines = _baselines(dataset)
    per_image = {name: scores.per_image() for name, scores in baselines.items()}

    def side(name: str, other: str) -> Side:
        if name in results:
            found = results[name].sharing_seeds(results[other]) if other in results else results[name]
            return Side(found.metrics, len(found.runs), found.still_rising)
        if name.startswith(BASELINE):
            return Side(_baseline_metrics(name.removeprefix(BASELINE), per_image))
        cells = plan.cells.get((dataset.name, name), [])
        reasons = [plan.failed[cell.name] for cell in cells if cell.name in plan.failed]
        reason = plan.unusable.get((dataset.name, name)) or "; ".join(reasons)
        raise EvaluationError(reason or f"“{name}” was not run.")

    notes, requested = tried_notes(), settings.recipes_for(dataset.name)
    claims = _claims(dataset.kind) if settings.claims else []
    chosen = {claim.name: _chosen(claim, dataset, settings, plan) for claim in claims}
    judged = [replace(claim, first=chosen[claim.name] or claim.first) for claim in claims]
    return DatasetResult(
        name=dataset.name,
        kind=dataset.kind,
        split=dataset.split,
        images=len(dataset.examples),
        training_images=dataset.training_images,
        recipes=tuple(results[recipe] for recipe in dict.fromkeys(requested) if recipe in results),
        baselines=baselines | _detectors(dataset, settings, baselines),
        claims=tuple(judge(claim, dataset.name, side, notes.get(claim.name, "")) for claim in judged),
        grid=tuple(
            _grid_row(recipe, cell.outcome(settings.out), recipe in chosen.values())
            for (name, recipe), cell in plan.grids.items()
            if name == dataset.name
        ),
    )


def _grid_row(recipe: str, outcome: Outcome | None, chosen: bool) -> GridRow:
    if outcome is None:
        return GridRow(recipe, {})
    metrics = {name: outcome.metrics[name].value for name in GRID_METRICS if name in outcome.metrics}
    return GridRow(recipe, metrics, outcome.curve.still_rising, chosen)


def _finished(dataset: _Prepared, settings: CompareSettings, plan: _Plan) -> dict[str, RecipeResult]:
    """The results of the recipes whose cells are all finished; with `finished_only`, of those with any."""
    results = {}
    for (name, recipe), cells in plan.cells.items():
        if name != dataset.name:
            continue
        outcomes = {cell.seed: outcome for cell in cells if (outcome := cell.outcome(settings.out)) is not None}
        if outcomes and (settings.finished_only or len(outcomes) == len(cells)):
            results[recipe] = RecipeResult.of(recipe, outcomes)
    return results


def _baselines(dataset: _Prepared) -> dict[str, GroundingScores]:
    store = RegionStore.open(dataset.store)
    if not can_be_grounded(dataset.examples, store):
        return {}

    def regions_of(example: Example) -> Regions | None:
        return store[example.image_id] if example.image_id in store else None  # noqa: SIM401, a store has no `get`

    return untrained_baselines(dataset.examples, regions_of)


def _detectors(
    dataset: _Prepared, settings: CompareSettings, others: Mapping[str, GroundingScores]
) -> dict[str, GroundingScores]:
    """Scores of the zero-shot detectors, where the others have scores."""
    models = [named_detector(name) for name in settings.baseline if others]
    return {f"hf:{Path(model.name).name}": zero_shot_baseline(model, dataset.examples) for model in models}


def _baseline_metrics(name: str, per_image: dict[str, dict[str, PerImageMetric]]) -> dict[str, PerImageMetric]:
    """The metrics of one baseline, or of the `best`, which may be another one in each metric."""
    if name != "best":
        return per_image.get(name, {})
    metrics = next(iter(per_image.values()), {})
    return {
        metric: max((each[metric] for each in per_image.values()), key=lambda found: found.value) for metric in metrics
    }
