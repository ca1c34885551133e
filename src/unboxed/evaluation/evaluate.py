"""Evaluates a run on a split of a dataset: metrics, untrained baselines, and a report with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unboxed.data.dataset import Split, load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.errors import EvaluationError, plain_reason
from unboxed.evaluation.attention_protocol import AttentionProtocol
from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.evaluated_run import EvaluatedRun
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
from unboxed.evaluation.options import EvaluationOptions
from unboxed.evaluation.pair_scores import ensemble, score_pairs
from unboxed.evaluation.predictions import ScoredPredictions, score_predictions, write_predictions
from unboxed.evaluation.presence import score_presence
from unboxed.evaluation.retrieval import RetrievalScores, require_folds, score_retrieval
from unboxed.evaluation.run_report import with_report
from unboxed.evaluation.split_regions import chosen_split, embedded_split, images_trained_on
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.regions.store import RegionStore
from unboxed.runtime.atomic import require_output, require_writable
from unboxed.runtime.precision import computing_in, current_precision
from unboxed.runtime.progress import Show, to_call
from unboxed.types import Example

__all__ = ["evaluate_run"]


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
    run, data = None if run is None else Path(run), Path(data)
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
    predicted = [options.predictions] if options.predictions is not None else []
    require_output(options.write_predictions, *dataset.files, *predicted)
    split = chosen_split(dataset, options, show)
    for line in skipped_lines(split.unreadable):
        show(line)
    if options.retrieval:
        require_folds(len(split.examples), options.folds)
    if options.write_predictions is not None and not has_gold_boxes(split.examples):
        raise EvaluationError(
            f"--write-predictions writes the boxes of phrases that have gold boxes, and the split {split.name} has "
            f"none; write boxes of all phrases with `{to_call('label', data, '--run', run, '--out', 'boxes.json')}`."
        )
    predictions = _predictions(split, options, show)
    if run is None:
        return EvaluatedRun(None, data, split.name, predictions=predictions)
    embedded = embedded_split(run, split, options, show)
    grounder, store = embedded.grounder, embedded.store
    presence = score_presence(embedded, split.examples)
    corrected = grounder.config.facts.get("corrections", {}).get("boxes", 0)
    result = EvaluatedRun(
        run,
        data,
        split.name,
        presence=presence,
        predictions=predictions,
        corrected_boxes=corrected,
        trained_on=images_trained_on(grounder.config, dataset, split),
    )
    if options.retrieval:
        others = [embedded_split(other, split, options, show) for other in options.ensemble]
        retrieval = _retrieval([embedded, *others], split.examples, options.folds)
        result = replace(result, retrieval=retrieval, ensemble=options.ensemble)
    if not can_be_grounded(split.examples, store):
        reason = "its regions were imported without boxes" if has_gold_boxes(split.examples) else "it has no gold boxes"
        show(f"The split {split.name} is scored without boxes and without a report: {reason}.")
        return result
    if options.report:
        _require_report(run)
    grounded = _grounded(embedded, split, options)
    result = _with_box_scores(result, grounded, options)
    return with_report(result, grounder, dataset.name, grounded) if options.report else result


def _grounded(embedded: EmbeddedSplit, split: Split, options: EvaluationOptions) -> list[GroundedExample]:
    """The groundings of all captions, which are written too if the options name a file."""
    grounded = list(ground_split(embedded, split.examples))
    if options.proposals is not None:
        grounded = _with_proposals(embedded.grounder, grounded, options.proposals)
    if options.write_predictions is not None:
        write_predictions(options.write_predictions, grounded)
    return grounded


def _with_box_scores(result: EvaluatedRun, grounded: list[GroundedExample], options: EvaluationOptions) -> EvaluatedRun:
    rule = BoxRule.of(options.rule)
    return replace(
        result,
        scores=score_groundings(grounded, rule=rule),
        sets=score_box_sets(grounded, rule=rule),
        heat=score_heat_maps(grounded, rule=rule),
        attention=score_word_attention(grounded, AttentionProtocol(boxes=rule.boxes, overlap=rule.overlap)),
    )


def _require_report(run: Path) -> None:
    """Raise an error before the groundings whose report could not be written."""
    try:
        require_writable(run)
        return
    except OSError as error:
        reason = plain_reason(error)  # raised below: the commands explain an error within another by that one
    raise EvaluationError(f"The report cannot be written into {run} ({reason}); add --no-report for scores alone.")


def _predictions(split: Split, options: EvaluationOptions, show: Show) -> ScoredPredictions | None:
    """The scores of the predictions of the options, if there are any; shows how many belong to no phrase."""
    if options.predictions is None:
        return None
    if not has_gold_boxes(split.examples):
        raise EvaluationError(
            f"The split {split.name} has no gold boxes, so {options.predictions} cannot be scored; name another, or "
            "describe the data in a format with gold boxes: coco, flickr30k-entities or refcoco (guide “Your data”)."
        )
    found = score_predictions(options.predictions, split.examples, rule=BoxRule.of(options.rule))
    for line in found.lines:
        show(f"{options.predictions}: {line}")
    for item in split.examples:
        if item.annotated_size is not None and item.annotated_size != (item.width, item.height):
            width, height = item.annotated_size
            show(
                f"{options.predictions}: images are stored in other sizes than they were annotated in; boxes are read "
                f"in pixels of the original images, such as {width} x {height} of {item.image_id}"
            )
            break
    return found


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
