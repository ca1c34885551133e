"""The outcome of a cell of a comparison, phrase by phrase and query by query, and its two files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import EvaluationError, plain_reason
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.error_analysis import ERROR_KINDS, ErrorTable, count_errors
from unboxed.evaluation.grounded_split import (
    attention_metrics,
    can_be_grounded,
    ground_split,
    heatmap_metrics,
    score_groundings,
)
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.evaluation.retrieval import RetrievalScores, score_retrieval
from unboxed.experiments.learning import LearningCurve
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.regions.store import RegionStore
from unboxed.runtime.array_file import read_arrays
from unboxed.runtime.atomic import atomic_path, write_json
from unboxed.runtime.digests import ARCHIVE_ERRORS
from unboxed.types import Example

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of a cell, phrase by phrase and query by query.

    Attributes:
        seconds: duration of training, the sum of all parts when it was interrupted.
        retrieval: ranks of the split's images and captions.
        image_ids: the images of the split, in the order of `retrieval`.
        grounding: scores without intervals; None on a split without gold boxes.
        errors: kinds of errors; None on a split without gold boxes.
        more: metrics by name besides those of `grounding` and `retrieval`.
        curve: the validation figures by epoch; empty for a run that was not trained, and for outcomes of version 0.1.
    """

    seconds: float
    retrieval: RetrievalScores
    image_ids: tuple[str, ...]
    grounding: GroundingScores | None
    errors: ErrorTable | None
    more: dict[str, PerImageMetric]
    curve: LearningCurve = field(default_factory=LearningCurve)

    @property
    def metrics(self) -> dict[str, PerImageMetric]:
        """All metrics by name, image by image."""
        grounding = self.grounding.per_image() if self.grounding else {}
        return {**grounding, "rsum": self.retrieval.rsum_per_image(self.image_ids), **self.more}

    def save(self, stem: Path, about: dict[str, Any]) -> None:
        """Writes `stem.npz`, and then `stem.json`, whose existence means that both are complete."""
        with atomic_path(stem.with_name(f"{stem.name}.npz")) as path:
            np.savez_compressed(path, **self._arrays())  # type: ignore[arg-type]
        content = {
            **about,
            "seconds": self.seconds,
            "metrics": {name: round(metric.value, 3) for name, metric in self.metrics.items()},
            "retrieval": self.retrieval.to_dict(),
            "failures": asdict(self.errors) if self.errors else None,
            "curve": asdict(self.curve),
        }
        write_json(stem.with_name(f"{stem.name}.json"), content)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {
            "image_ids": np.array(self.image_ids),
            "rank_B": self.retrieval.rank_B,
            "rank_C": self.retrieval.rank_C,
            "image_of_C": self.retrieval.image_of_C,
        }
        if self.grounding is not None:
            arrays["grounded_ids"] = np.array(self.grounding.image_ids)
            arrays["image_of_M"] = self.grounding.image_of_M
            arrays["types_of_M"] = np.array(
                ["".join(f"{kind}\n" for kind in types) for types in self.grounding.types_of_M]
            )
            arrays["outcomes_MX"] = self.grounding.outcomes_MX
        for name, metric in self.more.items():
            arrays[f"more/{name}/ids"] = np.array(metric.image_ids)
            arrays[f"more/{name}/hits"], arrays[f"more/{name}/counts"] = metric.numerator_IT, metric.denominator_IT
        return arrays

    @staticmethod
    def load(stem: Path) -> Outcome:
        """Reads the files that `save` wrote.

        Raises:
            EvaluationError: a file is missing or damaged.
        """
        try:
            content = json.loads(stem.with_name(f"{stem.name}.json").read_text(encoding="utf-8"))
            arrays = read_arrays(stem.with_name(f"{stem.name}.npz"))
            one_fold_B = np.zeros(len(arrays["rank_B"]), dtype=np.intp)
            errors = content["failures"]  # None without gold boxes
            outcome = Outcome(
                seconds=float(content["seconds"]),
                retrieval=RetrievalScores(arrays["rank_B"], arrays["rank_C"], arrays["image_of_C"], one_fold_B),
                image_ids=tuple(arrays["image_ids"].tolist()),
                grounding=_grounding(arrays) if "outcomes_MX" in arrays else None,
                errors=None if errors is None else _error_table(errors),
                more={name.split("/")[1]: _metric(arrays, name) for name in arrays if name.endswith("/ids")},
                curve=LearningCurve.from_dict(content["curve"]) if "curve" in content else LearningCurve(),
            )
            if not all(_is_finite(metric) for metric in outcome.metrics.values()):
                raise ValueError("a metric has values that are no numbers")
            return outcome
        except (*ARCHIVE_ERRORS, EvaluationError) as error:
            raise EvaluationError(
                f"{stem}.json or .npz is damaged ({plain_reason(error)}); delete both, and the cell is evaluated again."
            ) from None


def _grounding(arrays: dict[str, npt.NDArray[Any]]) -> GroundingScores:
    # One type a line. Older files have words, which split a type such as "traffic light".
    lines_of_M = arrays["types_of_M"].tolist()
    types_of_M = tuple(tuple(lines.splitlines() if lines.endswith("\n") else lines.split()) for lines in lines_of_M)
    image_ids = tuple(arrays["grounded_ids"].tolist())
    return GroundingScores.of_outcomes(image_ids, arrays["image_of_M"], types_of_M, arrays["outcomes_MX"])


def _error_table(values: Mapping[str, Any]) -> ErrorTable:
    def counts(row: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(count) for count, _ in zip(row, ERROR_KINDS, strict=True))

    return ErrorTable({name: counts(row) for name, row in values["counts"].items()}, counts(values["total"]))


def _metric(arrays: dict[str, npt.NDArray[Any]], ids: str) -> PerImageMetric:
    numerator_IT, denominator_IT = (arrays[ids.removesuffix("/ids") + part] for part in ("/hits", "/counts"))
    return PerImageMetric(tuple(arrays[ids].tolist()), numerator_IT, denominator_IT)


def _is_finite(metric: PerImageMetric) -> bool:
    parts = (metric.numerator_IT, metric.denominator_IT)
    return all(part.dtype.kind in "biuf" and bool(np.isfinite(part).all()) for part in parts)


def outcome_of(run: Path, examples: Sequence[Example], regions: Path) -> Outcome:
    """The outcome of a run on the images of a split, with the regions of a store.

    Raises:
        UnboxedError: the run or the store is unusable.
    """
    grounder, store = Grounder.load(run), RegionStore.open(regions)
    has_gold = can_be_grounded(examples, store)
    split = EmbeddedSplit(grounder, store)
    grounded = list(ground_split(split, examples)) if has_gold else []
    pairs = score_pairs(split, examples)
    return Outcome(
        seconds=float(grounder.config.facts.get("best", {}).get("seconds", 0.0)),
        retrieval=score_retrieval(pairs.score_BC, pairs.image_of_C),
        image_ids=pairs.image_ids,
        grounding=score_groundings(grounded) if has_gold else None,
        errors=count_errors(grounded) if has_gold else None,
        more={**attention_metrics(grounded), **heatmap_metrics(grounded)} if has_gold else {},
        curve=LearningCurve.of_run(run, grounder.config.options.schedule),
    )
