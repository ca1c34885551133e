"""Verbs that train and measure: the demo, a fit of each recipe, an evaluation, a comparison."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.experiments.options import CompareSettings
from unboxed.runtime.progress import TrainingProgress, show
from unboxed.training.options import FitSettings

if TYPE_CHECKING:
    from unboxed.recipes import RecipeConfig

__all__ = ["compare", "demo", "evaluate", "fit_by_default", "recipe_verbs"]


def demo(out: Path = Path("demo"), seed: int = 0) -> None:
    """Draw a world, train on its captions alone, and write a report with phrases boxed in pictures.

    Args:
        out: folder of the drawn world, the run and the report.
        seed: of the world and of training.
    """
    from unboxed.cli.demo import run_demo

    report = run_demo(out, seed=seed, show=show, report=TrainingProgress())
    show(f"Report: {report}")


def evaluate(
    run: Positional[Path],
    /,
    data: Path,
    split: str = "val",
    regions: Path | None = None,
    proposals: Path | None = None,
    json: bool = False,
    report: bool = True,
    retrieval: bool = True,
    folds: int = 1,
    strict: bool = False,
) -> None:
    """Score a run's groundings against the gold boxes of a split, and write a report with pictures.

    Without gold boxes, retrieval and the telling of absent phrases are scored.

    Args:
        run: folder of the run.
        data: the dataset's TOML file, CSV, JSONL or folder.
        split: name of the split.
        regions: store of the split's regions; without one they are extracted the run's way.
        proposals: store of boxes that a run of npair answers with, ranked by their heat, instead of boxes of its own.
        json: print one JSON object instead of a table.
        report: write RUN/report-SPLIT.html.
        retrieval: also rank all captions of the split for each image, and all images for each caption.
        folds: disjoint runs of images over which retrieval is averaged: 5 for COCO's five folds of 1,000.
        strict: stop at the first image that cannot be read instead of skipping it.
    """
    from unboxed.evaluation.evaluate_run import evaluate_run

    result = evaluate_run(
        run,
        data,
        split,
        regions,
        report=report,
        strict=strict,
        proposals=proposals,
        retrieval=retrieval,
        folds=folds,
        show=show,
    )
    if json:
        print_json(result.to_dict())
    else:
        from rich.console import Console

        if result.scores is not None:
            Console().print(result.scores.table())
        if result.heat is not None:
            show(str(result.heat))
        for name, line in result.more_facts.items():
            show(f"{name}: {line}")
        if result.report is not None:
            show(f"Report: {result.report}")


def compare(settings: OmitArgPrefixes[CompareSettings]) -> None:
    """Train recipes on datasets, each with several seeds, and put them in one table with intervals and plots.

    Args:
        settings: what to compare.
    """
    from unboxed.experiments.compare import compare as run_comparison

    run_comparison(settings, show)


def fit_by_default(
    settings: OmitArgPrefixes[FitSettings],
    detector: Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> None:
    """Train on a dataset's captions, with the regions and the recipe that suit what there is.

    Args:
        settings: data, folder and the rest.
        detector: what finds regions: an ONNX file, or the folder of a detector of transformers. Without one, the
            models that the dataset names, a detector of the local Hugging Face cache, or segments from pixels.
        epochs: passes over all captions; chosen by the number of images by default.
        seed: of everything random in training.
    """
    from unboxed.training.auto import default_fit

    default_fit(settings, detector=detector, epochs=epochs, seed=seed, show=show, report=TrainingProgress())
    show(f"Run: {settings.out}. Next, as you like:")
    for line in _next(settings.data, settings.out):
        show(f"  {line}")


def _next(data: Path, run: Path) -> list[str]:
    return [
        f'unboxed ground {run} PHOTO "A caption of it." --save boxed.png',
        f"unboxed index {run} {data} --out index",
        f"unboxed label {data} --run {run} --out coco.json --review review.html",
        f"unboxed studio {run}",
    ]


def _fit_verb(name: str, recipe: type[RecipeConfig]) -> Callable[..., None]:
    """`unboxed fit NAME`: the settings of a fit and the choices of a recipe as options."""

    def verb(settings: Any, choices: Any = recipe()) -> None:  # noqa: B008, a frozen value
        from unboxed.training.fit import fit

        fit(name, choices, settings, show=show, report=TrainingProgress())
        show(f"Run: {settings.out}. Next: unboxed evaluate {settings.out} --data {settings.data} --split val")

    verb.__annotations__.update(settings=OmitArgPrefixes[FitSettings], choices=OmitArgPrefixes[recipe])  # type: ignore[misc, valid-type]
    verb.__doc__ = (sys.modules[recipe.__module__].__doc__ or name).splitlines()[0]
    return verb


def recipe_verbs() -> dict[str, Callable[..., None]]:
    """The verbs after `unboxed fit`; the recipes are loaded only for them."""
    from unboxed.recipes import RECIPES

    return {name: _fit_verb(name, recipe) for name, recipe in RECIPES.items()}
