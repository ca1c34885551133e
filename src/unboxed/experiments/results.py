"""Results of a comparison: the runs of each recipe averaged, on each dataset, and the differences of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import MetricOfRuns, PairedDifference, mean_metric, paired_difference
from unboxed.evaluation.error_analysis import ErrorTable
from unboxed.evaluation.grounding import GroundingScores, mean_scores
from unboxed.experiments.claims import DatasetKind
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.outcomes import Outcome
from unboxed.experiments.verdicts import ClaimResult, GridRow

__all__ = ["HEADLINE", "Comparison", "DatasetResult", "RecipeResult"]

HEADLINE = "recall_any@1"
"""The metric that selects the best recipe where there are gold boxes."""


@dataclass(frozen=True, eq=False)
class RecipeResult:
    """A recipe on a dataset: the mean over its seeds.

    Attributes:
        recipe: name and options.
        seeds: of its runs.
        runs: one outcome per seed.
        grounding: mean over the runs, with intervals; None without gold boxes.
        metrics: all metrics by name, mean over the runs; their intervals are over runs and images.
    """

    recipe: str
    seeds: tuple[int, ...]
    runs: tuple[Outcome, ...]
    grounding: GroundingScores | None
    metrics: dict[str, MetricOfRuns]

    @staticmethod
    def of(recipe: str, runs: Mapping[int, Outcome]) -> RecipeResult:
        """The result of at least one run, by seed."""
        scores = [run.grounding for run in runs.values() if run.grounding is not None]
        metrics = [run.metrics for run in runs.values()]
        means = {name: mean_metric([each[name] for each in metrics]) for name in metrics[0]}
        grounding = mean_scores(scores) if scores else None
        return RecipeResult(recipe, tuple(runs), tuple(runs.values()), grounding, means)

    def sharing_seeds(self, other: RecipeResult) -> RecipeResult:
        """The result over the seeds that both recipes were run with, because scores also depend on the seed.

        All seeds are kept where one of the two was not trained: then its runs are all the same.

        Raises:
            EvaluationError: there are no such runs.
        """
        if not (self.is_trained and other.is_trained):
            return self
        runs = {seed: run for seed, run in zip(self.seeds, self.runs, strict=True) if seed in other.seeds}
        if not runs:
            raise EvaluationError(f"“{self.recipe}” and “{other.recipe}” have no seed in common.")
        return self if len(runs) == len(self.runs) else RecipeResult.of(self.recipe, runs)

    @property
    def is_trained(self) -> bool:
        """Whether the recipe has a training phase."""
        return any(run.seconds > 0 for run in self.runs)

    @property
    def still_rising(self) -> bool:
        """Whether the validation curve of any run was still rising at its end; see `LearningCurve`."""
        return any(run.curve.still_rising for run in self.runs)

    @property
    def epochs(self) -> str:
        """The chosen epochs of the runs, such as `9–12`, and how many the schedule has: `9–12 of 14`."""
        chosen = sorted({run.curve.best_epoch for run in self.runs})
        planned = max(run.curve.planned for run in self.runs)
        if not planned or not chosen[-1]:
            return "–"
        text = "–".join(str(epoch) for epoch in dict.fromkeys((chosen[0], chosen[-1])))
        return f"{text} of {planned}" + (", rising" if self.still_rising else "")

    @property
    def minutes(self) -> float:
        """Duration of training, mean over the runs."""
        return float(np.mean([run.seconds for run in self.runs])) / 60

    @property
    def errors(self) -> ErrorTable | None:
        """Kinds of errors, mean over the runs."""
        tables = [run.errors for run in self.runs if run.errors is not None]
        return ErrorTable.mean(tables) if tables else None

    def seed_values(self, metric: str) -> list[float]:
        """The value of a metric for each run."""
        return [run.metrics[metric].value for run in self.runs]


@dataclass(frozen=True, eq=False)
class DatasetResult:
    """The results on one dataset.

    Attributes:
        name: of the dataset, unique in the comparison.
        kind: of its images.
        split: name of the evaluated split.
        images: number of images of the split.
        training_images: number of training images.
        recipes: the requested recipes that are finished, in the order of the request.
        baselines: scores of the untrained baselines; empty without gold boxes.
        claims: the judged claims, if requested.
        grid: the options that were tried for them.
        reference: the recipe that is subtracted from each other one; None: each other one is subtracted from the best.
    """

    name: str
    kind: DatasetKind
    split: str
    images: int
    training_images: int
    recipes: tuple[RecipeResult, ...]
    baselines: dict[str, GroundingScores] = field(default_factory=dict)
    claims: tuple[ClaimResult, ...] = ()
    grid: tuple[GridRow, ...] = ()
    reference: RecipeResult | None = None

    @property
    def headline(self) -> str:
        """The metric that selects the best recipe: recall_any@1, or rsum without gold boxes."""
        return HEADLINE if self.baselines else "rsum"

    @property
    def best(self) -> RecipeResult | None:
        """The recipe with the highest headline metric."""
        return max(self.recipes, key=lambda result: result.metrics[self.headline].value, default=None)

    def best_values(self, metrics: Sequence[str]) -> dict[str, float]:
        """The highest value of each metric among the recipes and the untrained baselines that have it."""
        of_recipes = [{name: metric.value for name, metric in result.metrics.items()} for result in self.recipes]
        values = [*of_recipes, *(scores.estimates for scores in self.baselines.values())]
        return {name: max((each[name] for each in values if name in each), default=nan) for name in metrics}

    def differences(self, metric: str) -> dict[str, PairedDifference]:
        """Each other recipe minus `reference`, or the best minus each other one, paired over seeds and images."""
        common = self.reference or self.best
        if common is None or metric not in common.metrics:
            return {}
        one = common.metrics[metric]
        others = {result.recipe: result.metrics[metric] for result in self.recipes if result is not common}
        if self.reference is None:
            return {recipe: paired_difference(one, other) for recipe, other in others.items()}
        return {recipe: paired_difference(other, one) for recipe, other in others.items()}


@dataclass(frozen=True, eq=False)
class Comparison:
    """The results of a comparison.

    Attributes:
        settings: of the comparison.
        datasets: one result per dataset.
        failed: names of the cells that failed, with the reason.
    """

    settings: CompareSettings
    datasets: tuple[DatasetResult, ...]
    failed: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """What `unboxed compare --json` prints: value, low and high of each metric of each recipe on each dataset."""
        return {
            "datasets": [
                {
                    "name": dataset.name,
                    "split": dataset.split,
                    "photos": dataset.images,
                    "recipes": [
                        {
                            "recipe": result.recipe,
                            "seeds": list(result.seeds),
                            "metrics": {name: [m.value, *m.interval()] for name, m in result.metrics.items()},
                        }
                        for result in dataset.recipes
                    ],
                    "baselines": {name: dict(scores.estimates) for name, scores in dataset.baselines.items()},
                }
                for dataset in self.datasets
            ],
            "failed": self.failed,
        }

    @property
    def best(self) -> RecipeResult | None:
        """The best recipe on the first dataset of real images that has one, else on the first of drawn images."""
        real_first = sorted(self.datasets, key=lambda dataset: dataset.kind != "real")
        return next((dataset.best for dataset in real_first if dataset.best is not None), None)
