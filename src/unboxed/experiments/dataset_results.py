"""The result of one dataset of a comparison: the outcomes of its cells, the baselines, and the judged claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from unboxed.errors import EvaluationError
from unboxed.evaluation.baselines import untrained_baselines
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.grounded_split import can_be_grounded
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.zero_shot_baseline import named_detector, zero_shot_baseline
from unboxed.experiments.cells import Cell
from unboxed.experiments.claims import BASELINE, tried_notes
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.outcomes import Outcome
from unboxed.experiments.plan import Plan, PreparedDataset, chosen_candidate, claims_about
from unboxed.experiments.results import DatasetResult, RecipeResult
from unboxed.experiments.verdicts import GridRow, Side, judge
from unboxed.regions.store import RegionStore
from unboxed.runtime.progress import counted
from unboxed.types import Example, Regions

__all__ = ["result_of"]

GRID_METRICS = ("rsum", "attention_f1")


def result_of(dataset: PreparedDataset, settings: CompareSettings, plan: Plan) -> DatasetResult:
    """The result of a dataset, of the cells that are finished."""
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
        for (data, recipe), reason in plan.unusable.items():  # the recipe, or those with the options of its grid
            if data == dataset.name and (recipe == name or recipe.startswith(f"{name} ")):
                reasons.append(reason)
        raise EvaluationError("; ".join(dict.fromkeys(reasons)) or f"“{name}” was not run.")

    notes, requested = tried_notes(), settings.recipes_for(dataset.name)
    reference = settings.reference_for(dataset.name)
    claims = claims_about(dataset.kind, settings)
    chosen = {claim.name: chosen_candidate(claim, dataset, settings, plan) for claim in claims}
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
        reference=results.get(reference) if reference else None,
    )


def _grid_row(recipe: str, outcome: Outcome | None, chosen: bool) -> GridRow:
    if outcome is None:
        return GridRow(recipe, {})
    metrics = {name: outcome.metrics[name].value for name in GRID_METRICS if name in outcome.metrics}
    return GridRow(recipe, metrics, outcome.curve.still_rising, chosen)


def _finished(dataset: PreparedDataset, settings: CompareSettings, plan: Plan) -> dict[str, RecipeResult]:
    """The results of the recipes whose cells are all finished; with `finished_only`, of those with any."""
    results = {}
    captions = [caption for example in dataset.examples for caption in example.captions]
    gold = sum(len(phrase.boxes) > 0 for caption in captions for phrase in caption.phrases)
    in_store = gold if can_be_grounded(dataset.examples, RegionStore.open(dataset.store)) else 0
    now = _Counts(tuple(example.image_id for example in dataset.examples), len(captions), gold)
    now_in_store = now._replace(phrases=in_store)
    for (name, recipe), cells in plan.cells.items():
        if name != dataset.name:
            continue
        outcomes = {}
        for cell in cells:
            expected = now_in_store if Path(cell.regions) == dataset.store else now
            if (outcome := _outcome(cell, expected, dataset.split, settings.out)) is not None:
                outcomes[cell.seed] = outcome
        if outcomes and (settings.finished_only or len(outcomes) == len(cells)):
            results[recipe] = RecipeResult.of(recipe, outcomes)
    return results


class _Counts(NamedTuple):
    """The images of a split, and the numbers of its captions and of its phrases with gold boxes."""

    image_ids: tuple[str, ...]
    captions: int
    phrases: int

    def __str__(self) -> str:
        images = counted(len(self.image_ids), "image")
        phrases = counted(self.phrases, "phrase")
        return f"{images}, {counted(self.captions, 'caption')} and {phrases} with gold boxes"


def _outcome(cell: Cell, now: _Counts, split: str, out: Path) -> Outcome | None:
    """The outcome of a finished cell, else None. `now` is of the split as it is now.

    Raises:
        EvaluationError: it is of other images, captions or phrases than the split has now.
    """
    outcome = cell.outcome(out)
    if outcome is None:
        return None
    grounded = outcome.grounding.phrases if outcome.grounding is not None else 0
    found = _Counts(outcome.image_ids, len(outcome.retrieval.rank_C), grounded)
    if found != now:
        file = out / "cells" / f"{cell.name}.json"
        raise EvaluationError(
            f"{file} is of {found}, and the split {split} now has others: {now}. Compare in another --out; or, if only "
            f"{split} has changed, delete the file, and the cell is evaluated again."
        )
    return outcome


def _baselines(dataset: PreparedDataset) -> dict[str, GroundingScores]:
    store = RegionStore.open(dataset.store)
    if not can_be_grounded(dataset.examples, store):
        return {}

    def regions_of(example: Example) -> Regions | None:
        return store[example.image_id] if example.image_id in store else None  # noqa: SIM401, a store has no `get`

    return untrained_baselines(dataset.examples, regions_of)


def _detectors(
    dataset: PreparedDataset, settings: CompareSettings, others: Mapping[str, GroundingScores]
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
