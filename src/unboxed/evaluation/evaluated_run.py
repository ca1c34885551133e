"""The results of an evaluation: what `unboxed evaluate` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unboxed.evaluation.attention import AttentionScores
from unboxed.evaluation.bootstrap import PairedDifference, paired_difference
from unboxed.evaluation.box_sets import SetScores
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.heatmap import HeatScores
from unboxed.evaluation.predictions import ScoredPredictions
from unboxed.evaluation.presence import PresenceScores
from unboxed.evaluation.retrieval import RetrievalScores
from unboxed.runtime.progress import counted

__all__ = ["EvaluatedRun"]


_FEW = 30  # images, below which the bootstrap over images underestimates the width of an interval


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """The results of `unboxed evaluate`.

    Attributes:
        run: folder of the run; None where predictions alone were scored.
        data: the dataset's file.
        split: name of the split.
        scores: grounding scores; None on a split without gold boxes.
        sets: scores of the sets of boxes of phrases such as "two people"; None if no phrase has several gold boxes.
        heat: scores of the heat maps; None if the model has none.
        attention: scores of the attention of words; None if no word can be scored.
        retrieval: ranks of all images and captions of the split; None if not requested.
        predictions: scores of the boxes of `EvaluationOptions.predictions`; None if there are none.
        ensemble: other runs whose scores are averaged with those of the run for `retrieval`.
        single: the same run evaluated in single precision; None if the precision is single.
        presence: detection of absent phrases; None if the model is not calibrated.
        corrected_boxes: number of boxes corrected by people that trained the run.
        trained_on: number of the evaluated images that the run was trained on; None if its data were others.
        baselines: scores of the untrained baselines by name; empty without a report.
        report: the HTML file; None if not written.
    """

    run: Path | None
    data: Path
    split: str
    scores: GroundingScores | None = None
    heat: HeatScores | None = None
    attention: AttentionScores | None = None
    retrieval: RetrievalScores | None = None
    presence: PresenceScores | None = None
    baselines: dict[str, GroundingScores] = field(default_factory=dict)
    report: Path | None = None
    predictions: ScoredPredictions | None = None
    ensemble: tuple[Path, ...] = ()
    single: EvaluatedRun | None = None
    sets: SetScores | None = None
    corrected_boxes: int = 0
    trained_on: int | None = None

    @property
    def facts(self) -> dict[str, str]:
        """One line of text for each kind of scores besides `scores`."""
        parts = {
            "Sets of boxes": self.sets,
            "Heat maps": self.heat,
            "Attention": self.attention,
            "Retrieval" + "".join(f", mean of the scores with {run}" for run in self.ensemble): self.retrieval,
            "Absent phrases": self.presence,
        }
        found = {name: str(part) for name, part in parts.items() if part is not None}
        if self.trained_on:
            found["Images of the training"] = (
                f"the run was trained on {counted(self.trained_on, 'image')} of these, so its scores are higher than "
                "on new images."
            )
        if (images := self._images) is not None and images < _FEW:
            more = ", such as with --split all" if self.trained_on is None and self.split != "all" else ""
            found["Few images"] = (
                f"{counted(images, 'image')} can say little, and 95 % intervals of so few are narrower than they "
                f"should be; evaluate at least {_FEW} that the run was not trained on{more}."
            )
        if self.corrected_boxes:
            found["Supervision"] = f"{self.corrected_boxes:,} boxes that people corrected, besides captions"
        if self.scores is not None and self.baselines:
            found["Untrained baselines"] = _against_baselines(self.scores, self.baselines)
        return found | {
            name: f"{value.difference:+.1f}, 95 % interval {value.low:+.1f} to {value.high:+.1f}"
            for name, value in self.differences.items()
        }

    @property
    def _images(self) -> int | None:
        """The number of images that were evaluated; None if it is not known."""
        if self.scores is not None:
            return self.scores.images
        return None if self.retrieval is None else len(self.retrieval.rank_B)

    @property
    def differences(self) -> dict[str, PairedDifference]:
        """The run minus others on the same images, by the name of the line that shows it.

        The others are the predictions, and the same run in single precision where it computed in a lower one.
        """
        single = {f"{name}, minus single precision": value for name, value in self._minus_single.items()}
        return self._minus_predictions | single

    @property
    def _minus_single(self) -> dict[str, PairedDifference]:
        """What a lower precision costs, in percentage points, by metric."""
        single = self.single
        if single is None:
            return {}
        found: dict[str, PairedDifference] = {}
        if self.scores is not None and single.scores is not None:
            found |= self.scores.minus(single.scores)
        if self.retrieval is not None and single.retrieval is not None:
            found["rsum"] = paired_difference(self.retrieval.rsum_per_image(), single.retrieval.rsum_per_image())
        return found

    @property
    def _minus_predictions(self) -> dict[str, PairedDifference]:
        if self.predictions is None or self.scores is None:
            return {}
        found = self.scores.minus(self.predictions.scores)
        return {f"{metric}, run minus {self.predictions.path.name}": value for metric, value in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """The object that `unboxed evaluate --json` prints; percentages are 0–100."""
        parts = {
            "sets": self.sets,
            "heatmap": self.heat,
            "attention": self.attention,
            "retrieval": self.retrieval,
            "presence": self.presence,
        }
        more: dict[str, Any] = {name: part.to_dict() for name, part in parts.items() if part is not None}
        grounding = {} if self.scores is None else self.scores.to_dict()
        if self.corrected_boxes:
            more["corrected_boxes"] = self.corrected_boxes
        if self.trained_on:
            more["trained_on"] = self.trained_on
        if self.ensemble:
            more["ensemble"] = [str(run) for run in self.ensemble]
        if self.predictions is not None:
            more["predictions"] = self.predictions.to_dict()
        if self._minus_predictions:
            more["run_minus_predictions"] = _intervals(self._minus_predictions)
        if self.single is not None:
            more["minus_single_precision"] = _intervals(self._minus_single)
        return {
            "run": None if self.run is None else str(self.run),
            "data": str(self.data),
            "split": self.split,
            **grounding,
            **more,
        }


def _intervals(differences: Mapping[str, PairedDifference]) -> dict[str, list[float]]:
    """Difference, low and high end of the 95 % interval, by the name of the metric."""
    return {
        name.partition(",")[0]: [round(number, 3) for number in (value.difference, value.low, value.high)]
        for name, value in differences.items()
    }


def _against_baselines(scores: GroundingScores, baselines: Mapping[str, GroundingScores]) -> str:
    """The untrained baselines by `recall_any@1`, the best first, and whether the run is better than the best one."""
    metric = "recall_any@1"
    ranked = sorted(baselines.items(), key=lambda item: -item[1][metric])
    listed = ", ".join(f"{name} {found[metric]:.1f}" for name, found in ranked)
    name, best = ranked[0]
    ahead = round(scores[metric] - best[metric], 1)
    if ahead > 0:
        verdict = f"{ahead:.1f} above {name}"
    elif ahead < 0:
        verdict = f"{-ahead:.1f} below {name}, which is better on this split"
    else:
        verdict = f"no better than {name}"
    return f"{metric}: {listed}; the run, {scores[metric]:.1f}, is {verdict}"
