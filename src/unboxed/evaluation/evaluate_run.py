"""Evaluate a run and write what came out: numbers, baselines, and a report with pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.errors import EvaluationError
from unboxed.evaluation.attention import AttentionScores
from unboxed.evaluation.baselines import untrained_baselines
from unboxed.evaluation.evaluate import (
    GroundedExample,
    answer_with_proposals,
    can_be_grounded,
    ground_split,
    has_boxes,
    score_examples,
    score_heat_maps,
    store_for,
)
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.heatmap import HeatScores
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.evaluation.presence import PresenceScores, score_presence
from unboxed.evaluation.report import GalleryItem, write_report
from unboxed.evaluation.retrieval import RetrievalScores, score_retrieval
from unboxed.evaluation.word_attention import score_words
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.seeds import generator
from unboxed.training.fit import training_and_validation
from unboxed.visualization.curves import Chart, precision_recall_chart

__all__ = ["EvaluatedRun", "evaluate_run"]

_GALLERY = 36


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """What `unboxed evaluate` found.

    Attributes:
        run, data, split: what was evaluated on what.
        scores: of the run; None on a split without gold boxes.
        baselines: of what learns nothing, by name; empty when no report was wanted.
        report: the HTML file, if one was written.
        heat: scores of the heat maps, for a run that has them.
        attention: precision, recall and F1 of the words' attention; None where no word can be scored.
        retrieval: of all images and captions of the split; None when it was not wanted.
        presence: how well phrases that are not there are told; None of a run that was not calibrated.
    """

    run: Path
    data: Path
    split: str
    scores: GroundingScores | None
    baselines: dict[str, GroundingScores]
    report: Path | None
    heat: HeatScores | None = None
    attention: AttentionScores | None = None
    retrieval: RetrievalScores | None = None
    presence: PresenceScores | None = None

    @property
    def more_facts(self) -> dict[str, str]:
        """What attention, retrieval and the absent phrases came to, in words."""
        return _more_facts(None, self.attention, self.retrieval, self.presence)

    def to_dict(self) -> dict[str, Any]:
        """The object that `unboxed evaluate --json` prints; percentages 0–100."""
        parts = {
            "heatmap": self.heat,
            "attention": self.attention,
            "retrieval": self.retrieval,
            "presence": self.presence,
        }
        more = {name: part.to_dict() for name, part in parts.items() if part is not None}
        grounding = {} if self.scores is None else self.scores.to_dict()
        return {"run": str(self.run), "data": str(self.data), "split": self.split, **grounding, **more}


def evaluate_run(
    run: Path,
    data: Path,
    split_name: str,
    regions: Path | None = None,
    *,
    report: bool = True,
    strict: bool = False,
    proposals: Path | None = None,
    retrieval: bool = True,
    folds: int = 1,
    show: Callable[[str], None] = lambda line: None,
) -> EvaluatedRun:
    """Score the run in `run` on a split of the dataset `data`.

    Without gold boxes, as one's own images are, retrieval and absent phrases are scored, and no report is written.

    Args:
        run: folder of the run.
        data: the dataset's file.
        split_name: name of a split; `val` of a dataset without one is what training held out.
        regions: store of the split's regions; None finds them the run's way.
        report: also score the untrained baselines, and write `run/report-SPLIT.html`.
        strict: stop at the first image that cannot be read.
        proposals: store of boxes that a run with heat maps answers with, instead of boxes read off its maps.
        retrieval: also rank all captions of the split for each image, and back.
        folds: of the retrieval.
        say: is given a line for people at every stage.

    Raises:
        UnboxedError: anything wrong with the run, the dataset or the store, with the fix named.
    """
    grounder = Grounder.load(run)
    dataset = load_dataset(data)
    split = _split(dataset, split_name)
    if strict:
        split.require_readable()
    for image_id, reason in split.unreadable.items():
        show(f"Skipped {image_id}: {reason}")
    store = store_for(grounder, run, dataset, split, regions, strict=strict, show=show)
    embedded, ranks = EmbeddedSplit(grounder, store), None
    if retrieval:
        pairs = score_pairs(embedded, split.examples)
        ranks = score_retrieval(pairs.score_BC, pairs.image_of_C, folds=folds)
    presence = score_presence(embedded, split.examples)
    if not can_be_grounded(split.examples, store):
        whose = "its regions were imported without boxes" if has_boxes(split.examples) else "it has no gold boxes"
        show(f"The split {split_name} is scored for retrieval alone, without a report: {whose}.")
        return EvaluatedRun(run, data, split_name, None, {}, None, retrieval=ranks, presence=presence)
    grounded = list(ground_split(embedded, split.examples))
    if proposals is not None:
        grounded = _with_proposals(grounder, grounded, proposals)
    scores, heat, attention = score_examples(grounded), score_heat_maps(grounded), score_words(grounded)
    if not report:
        return EvaluatedRun(run, data, split_name, scores, {}, None, heat, attention, ranks, presence)
    regions_of = {item.example.image_id: item.groundings[0].regions for item in grounded if item.groundings}
    baselines = untrained_baselines(split.examples, lambda example: regions_of.get(example.image_id))
    path = run / f"report-{split_name}.html"
    write_report(
        path,
        title=f"{grounder.config.recipe} on {dataset.name}, {split_name}",
        scores=scores,
        baselines=baselines,
        gallery=_gallery(grounded),
        log=_log(run),
        facts=_facts(grounder, scores, run, split_name) | _more_facts(heat, attention, ranks, presence),
        curves=[] if attention is None else [_attention_chart(attention)],
    )
    return EvaluatedRun(run, data, split_name, scores, baselines, path, heat, attention, ranks, presence)


def _split(dataset: Dataset, name: str) -> Split:
    """The split of that name; where there is no `val`, the images that training holds out."""
    if name == "val" and "val" not in dataset.split_names and "train" in dataset.split_names:
        return training_and_validation(dataset)[1]
    return dataset.split(name)


def _attention_chart(attention: AttentionScores) -> Chart:
    points = ((point.recall, point.precision) for point in attention.curve)
    return precision_recall_chart("Attention: precision over recall, %", points)


def _gallery(grounded: Sequence[GroundedExample]) -> list[GalleryItem]:
    """Images at random, each with its caption of the most boxed phrases: not chosen by how well they came out."""
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


def _with_proposals(grounder: Grounder, grounded: list[GroundedExample], proposals: Path) -> list[GroundedExample]:
    read_out = grounder.config.options.heat_read_out
    if read_out is None:
        raise EvaluationError(
            f"The recipe {grounder.config.recipe} chooses among regions of its own and has no heat map to rank other "
            "proposals with; leave out --proposals."
        )
    return list(answer_with_proposals(grounded, RegionStore.open(proposals), read_out.proposal_alpha))


def _more_facts(
    heat: HeatScores | None,
    attention: AttentionScores | None,
    retrieval: RetrievalScores | None,
    presence: PresenceScores | None,
) -> dict[str, str]:
    facts = {}
    if heat is not None:
        low, high = heat.interval
        facts["Heat maps"] = f"pointing_heatmap {heat.pointing_heatmap:.1f} % ({low:.1f}–{high:.1f})"
    if attention is not None:
        facts["Attention"] = (
            f"precision {attention['precision']:.1f} %, recall {attention['recall']:.1f} %, F1 "
            f"{attention['mean_f1']:.1f} % ({attention.protocol})"
        )
    if retrieval is not None:
        to_caption, to_image = retrieval.image_to_caption, retrieval.caption_to_image
        facts["Retrieval"] = (
            f"captions R@1/5/10 {to_caption[1]:.1f} / {to_caption[5]:.1f} / {to_caption[10]:.1f}, photographs "
            f"{to_image[1]:.1f} / {to_image[5]:.1f} / {to_image[10]:.1f}, rsum "
            f"{retrieval.rsum:.1f} ({retrieval.protocol})"
        )
    if presence is not None:
        facts["Absent phrases"] = str(presence)
    return facts


def _facts(grounder: Grounder, scores: GroundingScores, run: Path, split: str) -> dict[str, str]:
    facts, schedule = grounder.config.facts, grounder.config.options.schedule
    training = facts.get("train", {})
    best = facts.get("best", {})
    return {
        "Run": str(run),
        "Trained on": f"{training.get('photos', 0):,} images, {training.get('captions', 0):,} captions, no box",
        "Training": f"{schedule.epochs} epochs, seed {schedule.seed}, {best.get('seconds', 0) / 60:.1f} min",
        "Evaluated on": f"split {split}: {scores.images:,} images, {scores.phrases:,} phrases with a box",
        "Epoch chosen by": f"validation {schedule.select_on}, without boxes",
    }
