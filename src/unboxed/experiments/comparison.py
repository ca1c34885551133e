"""What a comparison found: the runs of each recipe as one, on each dataset, and how far apart recipes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import PairedDifference, PerImageMetric, mean_metric, paired_difference
from unboxed.evaluation.error_analysis import ErrorTable
from unboxed.evaluation.grounding import GroundingScores, mean_scores
from unboxed.experiments.cells import Outcome
from unboxed.experiments.claims import ClaimResult
from unboxed.experiments.options import CompareSettings

__all__ = ["HEADLINE", "Comparison", "DatasetResult", "RecipeResult"]

HEADLINE = "recall_any@1"


@dataclass(frozen=True, eq=False)
class RecipeResult:
    """A recipe on a dataset: the runs of its seeds as one.

    Attributes:
        recipe: name and options.
        seeds: of its runs.
        runs: one outcome a seed.
        grounding: means over the runs, with intervals; None without gold boxes.
        metrics: every metric, mean over the runs.
    """

    recipe: str
    seeds: tuple[int, ...]
    runs: tuple[Outcome, ...]
    grounding: GroundingScores | None
    metrics: dict[str, PerImageMetric]

    @staticmethod
    def of(recipe: str, runs: Mapping[int, Outcome]) -> RecipeResult:
        """The result of these runs, by seed, at least one."""
        scores = [run.grounding for run in runs.values() if run.grounding is not None]
        metrics = [run.metrics for run in runs.values()]
        means = {name: mean_metric([own[name] for own in metrics]) for name in metrics[0]}
        grounding = mean_scores(scores) if scores else None
        return RecipeResult(recipe, tuple(runs), tuple(runs.values()), grounding, means)

    def sharing_seeds(self, other: RecipeResult) -> RecipeResult:
        """The runs with seeds that the other recipe has run with, too; seeds differ, and what is compared should not.

        Raises:
            EvaluationError: there are none.
        """
        runs = {seed: run for seed, run in zip(self.seeds, self.runs, strict=True) if seed in other.seeds}
        if not runs:
            raise EvaluationError(f"“{self.recipe}” and “{other.recipe}” have no seed in common.")
        return self if len(runs) == len(self.runs) else RecipeResult.of(self.recipe, runs)

    @property
    def minutes(self) -> float:
        """Of training, mean over the runs."""
        return float(np.mean([run.seconds for run in self.runs])) / 60

    @property
    def failures(self) -> ErrorTable | None:
        """What goes wrong, mean over the runs."""
        tables = [run.failures for run in self.runs if run.failures is not None]
        return ErrorTable.mean(tables) if tables else None

    def seed_values(self, metric: str) -> list[float]:
        """Each run's value of a metric."""
        return [run.metrics[metric].value for run in self.runs]


@dataclass(frozen=True, eq=False)
class DatasetResult:
    """What was found on one dataset.

    Attributes:
        name: of the dataset, unique in the comparison.
        kind: `drawn` or `photographs`.
        split: its name.
        images, training_photos: how many.
        recipes: those asked for, in that order, where finished.
        others: those that only claims compare.
        baselines: what learns nothing; empty without gold boxes.
        claims: judged, if asked for.
    """

    name: str
    kind: str
    split: str
    images: int
    training_photos: int
    recipes: tuple[RecipeResult, ...]
    others: tuple[RecipeResult, ...] = ()
    baselines: dict[str, GroundingScores] = field(default_factory=dict)
    claims: tuple[ClaimResult, ...] = ()

    @property
    def headline(self) -> str:
        """The metric that decides which recipe is best: recall_any@1, or rsum without gold boxes."""
        return HEADLINE if self.baselines else "rsum"

    @property
    def best(self) -> RecipeResult | None:
        """The recipe with the best headline."""
        return max(self.recipes, key=lambda own: own.metrics[self.headline].value, default=None)

    def behind_best(self, metric: str) -> dict[str, PairedDifference]:
        """How much better the best is than each other recipe, paired over images."""
        best = self.best
        others = [own for own in self.recipes if own is not best]
        if best is None or metric not in best.metrics:
            return {}
        return {own.recipe: paired_difference(best.metrics[metric], own.metrics[metric]) for own in others}


@dataclass(frozen=True, eq=False)
class Comparison:
    """All of it.

    Attributes:
        settings: what was asked for.
        datasets: what was found on each.
        failed: cells that ended with an error, with its last line.
    """

    settings: CompareSettings
    datasets: tuple[DatasetResult, ...]
    failed: dict[str, str]

    @property
    def best(self) -> RecipeResult | None:
        """The best recipe on images; where there are none, on the first dataset."""
        of_images = [own for own in self.datasets if own.kind == "photographs"]
        return next((own.best for own in (*of_images, *self.datasets) if own.best is not None), None)
