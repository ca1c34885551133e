"""Evaluates a run on a split of a dataset: metrics, untrained baselines, and a report with pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.errors import EvaluationError, StoreError
from unboxed.evaluation.attention import AttentionScores
from unboxed.evaluation.attention_protocol import AttentionProtocol
from unboxed.evaluation.baselines import untrained_baselines
from unboxed.evaluation.bootstrap import PairedDifference
from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.box_sets import SetScores
from unboxed.evaluation.grounded_split import (
    GroundedExample,
    answer_with_proposals,
    can_be_grounded,
    ground_split,
    has_gold_boxes,
    score_box_sets,
    score_groundings,
    score_heat_maps,
    score_word_attention,
)
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.heatmap import HeatScores
from unboxed.evaluation.options import EvaluationOptions
from unboxed.evaluation.pair_scores import ensemble, score_pairs
from unboxed.evaluation.precision import differences_of_precision
from unboxed.evaluation.predictions import ScoredPredictions, score_predictions, write_predictions
from unboxed.evaluation.presence import PresenceScores, score_presence
from unboxed.evaluation.report import GalleryItem, write_report
from unboxed.evaluation.retrieval import RetrievalScores, score_retrieval
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.regions.extraction import extract, image_key
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store import RegionStore
from unboxed.runtime.precision import computing_in, current_precision
from unboxed.runtime.progress import counted
from unboxed.runtime.seeds import generator
from unboxed.training.splits import training_and_validation
from unboxed.types import Example
from unboxed.visualization.curves import Chart, precision_recall_chart

__all__ = ["EvaluatedRun", "chosen_split", "embedded_split", "evaluate_run"]

_GALLERY = 36  # images in the report

Show = Callable[[str], None]


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
        if self.scores is not None and self.baselines:
            found["Untrained baselines"] = _against_baselines(self.scores, self.baselines)
        return found | {
            name: f"{value.difference:+.1f}, 95 % interval {value.low:+.1f} to {value.high:+.1f}"
            for name, value in self.differences.items()
        }

    @property
    def differences(self) -> dict[str, PairedDifference]:
        """The run minus others on the same images, by the name of the line that says so.

        The others are the predictions, and the same run in single precision where it computed in a lower one.
        """
        found = {} if self.single is None else differences_of_precision(self, self.single)
        return self._minus_predictions | {f"{name}, minus single precision": value for name, value in found.items()}

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
        if self.ensemble:
            more["ensemble"] = [str(run) for run in self.ensemble]
        if self.predictions is not None:
            more["predictions"] = self.predictions.to_dict()
        if self._minus_predictions:
            more["run_minus_predictions"] = _intervals(self._minus_predictions)
        if self.single is not None:
            more["minus_single_precision"] = _intervals(differences_of_precision(self, self.single))
        return {
            "run": None if self.run is None else str(self.run),
            "data": str(self.data),
            "split": self.split,
            **grounding,
            **more,
        }


def evaluate_run(
    run: Path | None, data: Path, options: EvaluationOptions | None = None, *, show: Show = lambda line: None
) -> EvaluatedRun:
    """Evaluates the run in the folder `run` on a split of the dataset `data`.

    Without gold boxes, retrieval and the detection of absent phrases are evaluated, and no report is written. In half
    precision, the run is evaluated in single precision too.

    Args:
        run: folder of the run; None to score `options.predictions` alone.
        data: the dataset's file.
        options: the split, and what to evaluate; the default options when None.
        show: called with a line of text at every stage.

    Raises:
        UnboxedError: the run, the dataset or the store is unusable; the message names the fix.
    """
    options = options if options is not None else EvaluationOptions()
    result = _evaluated(run, data, options, show)
    if run is None or current_precision() == "32":
        return result
    with computing_in("32"):
        alone = replace(options, report=False, predictions=None, write_predictions=None)
        return replace(result, single=_evaluated(run, data, alone, lambda line: None))


def _evaluated(run: Path | None, data: Path, options: EvaluationOptions, show: Show) -> EvaluatedRun:
    if options.ensemble and not options.retrieval:
        raise EvaluationError("--ensemble ranks images and captions by several runs; leave out --no-retrieval.")
    dataset = load_dataset(data)
    split = chosen_split(dataset, options)
    for line in skipped_lines(split.unreadable):
        show(line)
    predictions = _predictions(split, options, show)
    if run is None:
        return EvaluatedRun(None, data, options.split, predictions=predictions)
    embedded = embedded_split(run, split, options, show)
    grounder, store = embedded.grounder, embedded.store
    presence = score_presence(embedded, split.examples)
    result = EvaluatedRun(run, data, options.split, presence=presence, predictions=predictions)
    if options.retrieval:
        others = [embedded_split(other, split, options, show) for other in options.ensemble]
        retrieval = _retrieval([embedded, *others], split.examples, options.folds)
        result = replace(result, retrieval=retrieval, ensemble=options.ensemble)
    if not can_be_grounded(split.examples, store):
        reason = "its regions were imported without boxes" if has_gold_boxes(split.examples) else "it has no gold boxes"
        show(f"The split {options.split} is scored for retrieval alone, without a report: {reason}.")
        return result
    grounded = list(ground_split(embedded, split.examples))
    if options.proposals is not None:
        grounded = _with_proposals(grounder, grounded, options.proposals)
    if options.write_predictions is not None:
        write_predictions(options.write_predictions, grounded)
    result = replace(
        result,
        scores=score_groundings(grounded, rule=BoxRule.of(options.rule)),
        sets=score_box_sets(grounded, rule=BoxRule.of(options.rule)),
        heat=score_heat_maps(grounded, rule=BoxRule.of(options.rule)),
        attention=score_word_attention(
            grounded, AttentionProtocol(boxes=options.rule.boxes, overlap=options.rule.overlap)
        ),
    )
    return _with_report(result, grounder, dataset.name, grounded) if options.report else result


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
    listed = ", ".join(f"{name} {own[metric]:.1f}" for name, own in ranked)
    name, best = ranked[0]
    ahead = scores[metric] - best[metric]
    verdict = f"{ahead:.1f} above" if ahead > 0 else f"{-ahead:.1f} below: on this split, prefer that rule to"
    return f"{metric}: {listed}; the run, {scores[metric]:.1f}, is {verdict} {name}"


def _predictions(split: Split, options: EvaluationOptions, show: Show) -> ScoredPredictions | None:
    """The scores of the predictions of the options, if there are any; says how many belong to no phrase."""
    if options.predictions is None:
        return None
    if not has_gold_boxes(split.examples):
        raise EvaluationError(
            f"The split {split.name} has no gold boxes, so {options.predictions} cannot be scored; name another."
        )
    found = score_predictions(options.predictions, split.examples, rule=BoxRule.of(options.rule))
    for line in found.lines:
        show(f"{options.predictions}: {line}")
    return found


def chosen_split(dataset: Dataset, options: EvaluationOptions) -> Split:
    """The split to evaluate on; for `val` of a dataset without one, the images that training holds out."""
    if options.split == "all" and "all" not in dataset.split_names:
        split = _all_images(dataset)
    elif options.split == "val" and "val" not in dataset.split_names and "train" in dataset.split_names:
        split = training_and_validation(dataset)[1]
    else:
        split = dataset.split(options.split)
    if options.strict:
        split.require_readable()
    return split


def _all_images(dataset: Dataset) -> Split:
    """Every image of a dataset once, under the captions of its first split."""
    parts = [dataset.split(name) for name in dataset.split_names]
    examples = {example.image_id: example for part in reversed(parts) for example in reversed(part.examples)}
    unreadable = {image_id: reason for part in parts for image_id, reason in part.unreadable.items()}
    missing = tuple(dict.fromkeys(image_id for part in parts for image_id in part.missing))
    return Split("all", tuple(reversed(examples.values())), missing, unreadable)


def embedded_split(run: Path, split: Split, options: EvaluationOptions, show: Show) -> EmbeddedSplit:
    """The model of a run, and the regions of the split's images."""
    grounder = Grounder.load(run)
    return EmbeddedSplit(grounder, _store_for(grounder, run, split, options, show))


def _store_for(grounder: Grounder, run: Path, split: Split, options: EvaluationOptions, show: Show) -> RegionStore:
    """Regions of the split's images, with the settings that the run was trained with.

    The store `options.regions` if given; else the store that the run was trained with, if it contains all of the
    images; else the regions are extracted into `run/store`.

    Raises:
        StoreError: the given store was made with other settings.
    """
    settings = grounder.config.regions
    if options.regions is not None:
        store = RegionStore.open(options.regions)
        if store.settings.fingerprint() != settings.fingerprint():
            raise StoreError(
                f"{options.regions} was made with other settings than the run: "
                f"{'; '.join(store.settings.differences(settings))}. Leave out --regions, and regions are extracted "
                "with the settings of the run."
            )
        return store
    trained_on = grounder.config.facts.get("store")  # a converted run may have none
    if trained_on is not None and Path(str(trained_on)).is_dir():
        store = RegionStore.open(Path(str(trained_on)))
        if isinstance(settings, ImportedRegions) and any(example.image_id in store for example in split.examples):
            return store  # imported regions may have no images to compare with
        if all(_contains(store, example) for example in split.examples):
            return store
    settings.require_extractable()
    show(f"Extracting regions of {len(split.examples):,} images of the split {split.name}")
    for line in skipped_lines(dict(extract(split.examples, settings, run / "store", strict=options.strict).skipped)):
        show(line)
    return RegionStore.open(run / "store")


def _contains(store: RegionStore, example: Example) -> bool:
    """Does the store contain this image, and not a different image with the same name?"""
    return store.image_key(example.image_id) == image_key(example.path, example.original_size)


def _retrieval(runs: Sequence[EmbeddedSplit], examples: Sequence[Example], folds: int) -> RetrievalScores:
    """The ranks by the mean of the scores of the runs."""
    pairs = [score_pairs(embedded, examples) for embedded in runs]
    score_BC = ensemble(*(scores.score_BC for scores in pairs))
    return score_retrieval(score_BC, pairs[0].image_of_C, folds=folds)


def _with_proposals(grounder: Grounder, grounded: list[GroundedExample], proposals: Path) -> list[GroundedExample]:
    read_out = grounder.config.options.heat_read_out
    if read_out is None:
        raise EvaluationError(
            f"The recipe {grounder.config.recipe} ranks regions and has no heat map to rank other proposals with; "
            "leave out --proposals."
        )
    return list(answer_with_proposals(grounded, RegionStore.open(proposals), read_out.proposal_alpha))


def _with_report(
    result: EvaluatedRun, grounder: Grounder, dataset: str, grounded: Sequence[GroundedExample]
) -> EvaluatedRun:
    """Scores the untrained baselines, and writes `run/report-SPLIT.html`."""
    assert result.scores is not None and result.run is not None
    regions_of = {item.example.image_id: item.groundings[0].regions for item in grounded if item.groundings}
    examples = [item.example for item in grounded]
    baselines = untrained_baselines(examples, lambda example: regions_of.get(example.image_id), rule=result.scores.rule)
    path = result.run / f"report-{result.split}.html"
    write_report(
        path,
        title=f"{grounder.config.recipe} on {dataset}, {result.split}",
        scores=result.scores,
        baselines=baselines,
        gallery=_gallery(grounded),
        log=_log(result.run),
        facts=_training_facts(grounder, result.scores, result) | result.facts,
        curves=[] if result.attention is None else [_attention_chart(result.attention)],
    )
    return replace(result, baselines=baselines, report=path)


def _attention_chart(attention: AttentionScores) -> Chart:
    points = ((point.recall, point.precision) for point in attention.curve)
    return precision_recall_chart("Attention: precision over recall, %", points)


def _gallery(grounded: Sequence[GroundedExample]) -> list[GalleryItem]:
    """Randomly sampled images, not selected by their scores, each with its caption of the most phrases with boxes."""
    shown = [item for item in grounded if item.groundings and item.example.path.is_file()]
    order = generator(0, "gallery").permutation(len(shown))[:_GALLERY]
    items = []
    for index in order:
        item = shown[int(index)]
        boxed = [sum(len(phrase.boxes) > 0 for phrase in caption.phrases) for caption in item.example.captions]
        best = int(np.argmax(boxed))
        example = item.example
        items.append(GalleryItem(example.path, example.captions[best], item.groundings[best], example.original_size))
    return items


def _log(run: Path) -> list[dict[str, Any]]:
    path = run / "log.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _training_facts(grounder: Grounder, scores: GroundingScores, result: EvaluatedRun) -> dict[str, str]:
    facts, schedule = grounder.config.facts, grounder.config.options.schedule
    training, best = facts.get("train", {}), facts.get("best", {})
    return {
        "Run": str(result.run),
        "Trained on": f"{training.get('photos', 0):,} images, {training.get('captions', 0):,} captions, no box",
        "Training": f"{counted(schedule.epochs, 'epoch')}, seed {schedule.seed}, {best.get('seconds', 0) / 60:.1f} min",
        "Evaluated on": f"split {result.split}: {scores.images:,} images, {scores.phrases:,} phrases with a box",
        "Epoch selected by": f"validation {schedule.select_on}, without boxes; boxes by: {grounder.config.boxes_from}",
    }
