"""Recipes x seeds x datasets in one command: trained in processes of their own, kept, and put in one table.

    FOLDER/regions/DATASET     regions, found once for all cells
    FOLDER/negatives/DATASET   negatives, made once for all cells of a seed
    FOLDER/runs, FOLDER/cells  see `cells`
    FOLDER/results.md, FOLDER/results.html

Called again with more recipes, seeds or datasets, only what is missing is trained.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.errors import EvaluationError, UnboxedError
from unboxed.evaluation.baselines import untrained_baselines
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.evaluate import can_be_grounded
from unboxed.evaluation.grounding import GroundingScores
from unboxed.experiments.cells import Cell, Outcome, parse_recipe, run_cell
from unboxed.experiments.claims import BASELINE, CLAIMS, Claim, judge, tried_notes
from unboxed.experiments.comparison import HEADLINE, Comparison, DatasetResult, RecipeResult
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.pages import write_results
from unboxed.recipes import RecipeConfig
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store.region_store import RegionStore
from unboxed.scenes.writing import DETECTOR
from unboxed.training.fit import training_and_validation
from unboxed.types import Example, Regions

__all__ = ["compare"]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A dataset that is ready to be trained on.

    Attributes:
        name, kind, options, split: see `DatasetResult` and `CompareSettings`.
        dataset: itself.
        store: its default regions, or those that were given.
        examples: of the evaluated split.
        wanted: all images that need regions.
        training_photos: how many.
    """

    name: str
    kind: str
    options: str
    split: str
    dataset: Dataset
    store: Path
    examples: tuple[Example, ...]
    wanted: tuple[Example, ...]
    training_photos: int


def compare(settings: CompareSettings, show: Callable[[str], None] = lambda line: None) -> Comparison:
    """Train what is missing, and write `results.md` and `results.html` to `settings.out`.

    Raises:
        EvaluationError: nothing to compare, options that do not fit, or no cell that could be finished.
        UnboxedError: anything wrong with a dataset or a store, with the fix named.
    """
    if not settings.data or not (settings.recipes or settings.claims):
        raise EvaluationError("There is nothing to compare; name --data and --recipes, or ask for --claims.")
    several = {"--regions": settings.regions, "--options": settings.options, "--split": settings.split}
    for name, given in several.items():
        if len(given) not in {0, len(settings.data)} and not (name != "--regions" and len(given) == 1):
            raise EvaluationError(f"{len(given)} {name} for {len(settings.data)} --data; give one for each.")
    for recipe in settings.recipes:  # a slip of the pen is named before any region is looked for
        parse_recipe(recipe.rpartition("@")[0] or recipe)
    prepared = [_prepare(settings, number, show) for number in range(len(settings.data))]
    cells: dict[tuple[str, str], list[Cell]] = {}
    unfit: dict[str, str] = {}
    for dataset in prepared:
        asked = settings.recipes_for(dataset.name)
        for recipe in dict.fromkeys((*asked, *_claimed(settings, dataset.kind))):
            try:
                _, choices, _ = parse_recipe(recipe, dataset.options)
                store = _store_of(dataset, choices, settings, show)
            except UnboxedError as error:
                if recipe in asked:
                    raise
                unfit[recipe] = str(error)
                continue
            data = str(dataset.dataset.path.resolve())
            cells[dataset.name, recipe] = [
                Cell(recipe, dataset.options, seed, dataset.name, data, dataset.split, str(store))
                for seed in range(settings.seeds if recipe in asked else settings.claim_seeds)
            ]
    failed = _run([cell for own in cells.values() for cell in own], settings, show)
    results = tuple(_result(dataset, settings, cells, unfit, failed) for dataset in prepared)
    comparison = Comparison(settings, results, failed)
    write_results(comparison)
    show(f"Results: {settings.out / 'results.md'} and {settings.out / 'results.html'}")
    if failed:
        first = next(iter(failed))
        raise EvaluationError(
            f"{len(failed)} of {sum(map(len, cells.values()))} cells failed; the first, {first}: {failed[first]} "
            f"({settings.out / 'cells' / first}.log). The results are of the others."
        )
    return comparison


def _claims(kind: str) -> tuple[Claim, ...]:
    return tuple(claim for claim in CLAIMS if kind in claim.kinds)


def _claimed(settings: CompareSettings, kind: str) -> list[str]:
    return [recipe for claim in _claims(kind) for recipe in claim.recipes] if settings.claims else []


def _prepare(settings: CompareSettings, number: int, show: Callable[[str], None]) -> _Prepared:
    data = settings.data[number].resolve()
    dataset = load_dataset(data)
    named = [load_dataset(path).name for path in settings.data]
    name = re.sub(r"[^A-Za-z0-9_]+", "_", dataset.name)
    if named.count(dataset.name) > 1:  # two of one name: their places tell them apart
        name += "_" + hashlib.sha256(str(data).encode()).hexdigest()[:6]
    training, validation = training_and_validation(dataset)
    split = dataset.split(settings.split_of(number))
    show(f"{name}: {training.describe()}; {split.describe()}")
    wanted = {e.image_id: e for part in (training, validation, split) for e in part.examples}
    options = settings.options[number if len(settings.options) > 1 else 0] if settings.options else ""
    store = (settings.regions[number] if settings.regions else settings.out / "regions" / name).resolve()
    prepared = _Prepared(
        name,
        _kind(dataset),
        options,
        split.name,
        dataset,
        store,
        split.examples,
        tuple(wanted.values()),
        len(training.examples),
    )
    if not settings.regions:
        _extract(prepared, RegionSettings.default_for(dataset), store, show)
    RegionStore.open(store)  # one that cannot be read is named before anything is trained
    return prepared


def _store_of(
    dataset: _Prepared, choices: RecipeConfig, settings: CompareSettings, show: Callable[[str], None]
) -> Path:
    """The dataset's regions, or those that the recipe wants instead, such as the cells of a map."""
    default = RegionSettings.default_for(dataset.dataset)
    wanted = choices.region_settings(dataset.dataset)
    if wanted[0].fingerprint() == default[0].fingerprint():
        return dataset.store
    store = (settings.out / "regions" / f"{dataset.name}-{wanted[0].fingerprint()[:10]}").resolve()
    if not settings.finished_only:
        _extract(dataset, wanted, store, show)
    return store


def _extract(dataset: _Prepared, wanted: tuple[RegionSettings, str], store: Path, show: Callable[[str], None]) -> None:
    settings, which = wanted
    show(f"{dataset.name}: {which}")
    for image_id, reason in extract(dataset.wanted, settings, store).skipped:
        show(f"Skipped {image_id}: {reason}")


def _kind(dataset: Dataset) -> str:
    """`drawn` for a world of `unboxed scenes`, which brings its own detector; else `photographs`."""
    detector = dataset.regions.detector if dataset.regions is not None else None
    drawn = detector is not None and detector.is_file() and detector.read_bytes() == DETECTOR.read_bytes()
    return "drawn" if drawn else "photographs"


def _run(cells: Sequence[Cell], settings: CompareSettings, show: Callable[[str], None]) -> dict[str, str]:
    """Run what is not finished; returns the names of cells that failed, with the last line that they said."""
    folder = settings.out
    waiting = [cell for cell in cells if not cell.is_finished(folder)]
    total, failed = len(waiting), dict[str, str]()
    show(f"{len(cells)} cells, {len(cells) - total} of them finished already")
    if settings.finished_only:
        return failed
    (folder / "cells").mkdir(parents=True, exist_ok=True)

    def done(cell: Cell, error: str) -> None:
        if error:
            failed[cell.name] = error
        outcome = cell.outcome(folder)
        value = "" if outcome is None else f": {_short(outcome)}"
        number = total - len(waiting) - len(running)
        show(f"[{number}/{total}] {cell.recipe}, seed {cell.seed}, {cell.dataset}{value}{error}")

    running: dict[subprocess.Popen[bytes], Cell] = {}
    if settings.jobs <= 1:
        while waiting:
            cell = waiting.pop(0)
            try:
                run_cell(cell, folder)
                done(cell, "")
            except UnboxedError as error:
                done(cell, f" failed: {error}")
        return failed
    threads = max(_cores() // settings.jobs, 1)
    try:
        while waiting or running:
            while waiting and len(running) < settings.jobs:
                cell = waiting.pop(0)
                running[_start(cell, folder, threads)] = cell
            time.sleep(0.2)
            for process in [process for process in running if process.poll() is not None]:
                cell = running.pop(process)
                done(cell, "" if process.returncode == 0 else f" failed: {_last_line(folder, cell)}")
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return failed


def _start(cell: Cell, folder: Path, threads: int) -> subprocess.Popen[bytes]:
    order = folder / "cells" / f"{cell.name}.order"
    order.write_text(json.dumps({"folder": str(folder.resolve()), "cell": asdict(cell)}), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    with (folder / "cells" / f"{cell.name}.log").open("ab") as log:
        command = [sys.executable, "-m", "unboxed.experiments.cells", str(order)]
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)


def _last_line(folder: Path, cell: Cell) -> str:
    lines = (folder / "cells" / f"{cell.name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it was killed"


def _short(outcome: Outcome) -> str:
    metrics = outcome.metrics
    shown = [f"{name} {metrics[name].value:.1f}" for name in (HEADLINE, "rsum") if name in metrics]
    return f"{', '.join(shown)}, {outcome.seconds / 60:.1f} min of training"


def _result(
    dataset: _Prepared,
    settings: CompareSettings,
    cells: dict[tuple[str, str], list[Cell]],
    unfit: dict[str, str],
    failed: dict[str, str],
) -> DatasetResult:
    results: dict[str, RecipeResult] = {}
    for (name, recipe), own in cells.items():
        outcomes = {cell.seed: cell.outcome(settings.out) for cell in own if name == dataset.name}
        finished = {seed: outcome for seed, outcome in outcomes.items() if outcome is not None}
        if finished and (settings.finished_only or len(finished) == len(own)):
            results[recipe] = RecipeResult.of(recipe, finished)
    baselines = _baselines(dataset)
    untrained = {name: scores.per_image() for name, scores in baselines.items()}

    def metrics(side: str, other: str) -> dict[str, PerImageMetric]:
        if side in results:
            return (results[side].sharing_seeds(results[other]) if other in results else results[side]).metrics
        if side.startswith(BASELINE):
            return _baseline_metrics(side.removeprefix(BASELINE), untrained)
        errors = [failed[cell.name] for cell in cells.get((dataset.name, side), []) if cell.name in failed]
        raise EvaluationError(unfit.get(side) or "; ".join(errors) or f"“{side}” was not run.")

    notes, asked = tried_notes(), settings.recipes_for(dataset.name)
    return DatasetResult(
        name=dataset.name,
        kind=dataset.kind,
        split=dataset.split,
        images=len(dataset.examples),
        training_photos=dataset.training_photos,
        recipes=tuple(results[recipe] for recipe in dict.fromkeys(asked) if recipe in results),
        others=tuple(own for recipe, own in results.items() if recipe not in asked),
        baselines=baselines,
        claims=tuple(judge(claim, dataset.name, metrics, notes.get(claim.name, "")) for claim in _claims(dataset.kind))
        if settings.claims
        else (),
    )


def _baselines(dataset: _Prepared) -> dict[str, GroundingScores]:
    store = RegionStore.open(dataset.store)
    if not can_be_grounded(dataset.examples, store):
        return {}
    return untrained_baselines(dataset.examples, lambda example: _regions(store, example))


def _regions(store: RegionStore, example: Example) -> Regions | None:
    return store[example.image_id] if example.image_id in store else None  # noqa: SIM401, a store is no mapping


def _baseline_metrics(which: str, untrained: dict[str, dict[str, PerImageMetric]]) -> dict[str, PerImageMetric]:
    if which != "best":
        return untrained.get(which, {})
    metrics = next(iter(untrained.values()), {})
    return {metric: max((own[metric] for own in untrained.values()), key=lambda own: own.value) for metric in metrics}


def _cores() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
