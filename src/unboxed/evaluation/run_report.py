"""The report of a run: which pictures, curves and facts are in it. `report.py` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unboxed.evaluation.attention import AttentionScores
from unboxed.evaluation.baselines import untrained_baselines
from unboxed.evaluation.evaluated_run import EvaluatedRun
from unboxed.evaluation.grounded_split import GroundedExample
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.report import GalleryItem, write_report
from unboxed.inference.grounder import Grounder
from unboxed.runtime.progress import counted
from unboxed.runtime.seeds import generator
from unboxed.training.log import read_log
from unboxed.visualization.curves import Chart, precision_recall_chart

__all__ = ["with_report"]

_GALLERY = 36  # images in the report


def with_report(
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
        log=read_log(result.run),
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


def _training_facts(grounder: Grounder, scores: GroundingScores, result: EvaluatedRun) -> dict[str, str]:
    facts, schedule = grounder.config.facts, grounder.config.options.schedule
    boxes = f"{result.corrected_boxes:,} boxes that people corrected" if result.corrected_boxes else "no box"
    training, best = facts.get("train", {}), facts.get("best", {})
    return {
        "Run": str(result.run),
        "Trained on": f"{training.get('photos', 0):,} images, {training.get('captions', 0):,} captions, {boxes}",
        "Training": f"{counted(schedule.epochs, 'epoch')}, seed {schedule.seed}, {best.get('seconds', 0) / 60:.1f} min",
        "Evaluated on": (
            f"split {result.split}: {counted(scores.images, 'image')}, {counted(scores.phrases, 'phrase')} with a box"
        ),
        "Epoch selected by": f"validation {schedule.select_on}, without boxes; boxes by: {grounder.config.boxes_from}",
    }
