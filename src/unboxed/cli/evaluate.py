"""`unboxed evaluate`: scores of a run, or of anyone's boxes, on a split with gold boxes."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.errors import UnboxedError
from unboxed.evaluation.options import EvaluationOptions
from unboxed.runtime.progress import show

__all__ = ["evaluate"]


def evaluate(
    run: Positional[Path | None] = None,
    /,
    *,
    data: Path,
    evaluation: OmitArgPrefixes[EvaluationOptions] = EvaluationOptions(),  # noqa: B008, a frozen value
    json: bool = False,
) -> None:
    """Evaluate a run on a split with gold boxes, and write a report with pictures.

    The run comes first, the data after an option: `unboxed evaluate RUN --data photos.csv`. Without gold boxes,
    retrieval and the detection of absent phrases are evaluated.

    Args:
        run: folder of the run; left out, only --predictions are scored.
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        evaluation: the split, and what to evaluate.
        json: print one JSON object instead of a table.
    """
    from unboxed.evaluation.evaluate import evaluate_run

    if run is None and evaluation.predictions is None:
        raise UnboxedError("Nothing to evaluate: name the folder of a run, or --predictions FILE.")
    result = evaluate_run(run, data, evaluation, show=show)
    if json:
        print_json(result.to_dict())
    else:
        from rich.console import Console

        if result.scores is not None:
            Console().print(result.scores.table())
        if result.predictions is not None:
            show(f"Predictions of {result.predictions.path}:")
            Console().print(result.predictions.scores.table())
        for name, line in result.facts.items():
            show(f"{name}: {line}")
        if result.report is not None:
            show(f"Report: {result.report}")
