"""`unboxed demo`: draws Scenes, trains CKD on its captions, and evaluates the run with a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unboxed.cli.output import print_json
from unboxed.runtime.progress import Report, Show, TrainingProgress, show

if TYPE_CHECKING:
    from unboxed.recipes.ckd import CKD

__all__ = ["demo", "demo_config", "run_demo"]


def demo(out: Path = Path("demo"), seed: int = 0, json: bool = False) -> None:
    """Draw a dataset, train on its captions alone, and write a report with the boxes of phrases.

    Args:
        out: folder of the drawn images, the run and the report.
        seed: random seed of the images and of training.
        json: print one JSON object on standard output at the end.
    """
    report = run_demo(out, seed=seed, show=show, report=TrainingProgress())
    show(f"Report: {report}")
    if json:
        print_json({"out": str(out), "report": str(report)})


def demo_config(seed: int = 0) -> CKD:
    """CKD with the semantic prior and distillation; the values were chosen on the val split of Scenes."""
    from unboxed.recipes.ckd import CKD
    from unboxed.recipes.config import DistillationConfig
    from unboxed.recipes.schedule import Schedule

    return CKD(
        prior="semantic",
        distillation=DistillationConfig(distillation=0.5),
        intra_caption=0.3,
        negatives="random",
        schedule=Schedule(epochs=5, seed=seed),
    )


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    show: Show = lambda line: None,
    report: Report = lambda entry: None,
) -> Path:
    """Draw Scenes, train CKD on it and evaluate the run on the test split.

    An interrupted demo continues where it stopped: what is finished in `out` is used again.

    Args:
        out: folder of the drawn images, the run and the report.
        seed: random seed of the images and of training.
        show: called with a line of text at every step.
        report: called with every entry of the training log.

    Returns:
        The HTML report.
    """
    from unboxed.evaluation.evaluate import evaluate_run
    from unboxed.evaluation.options import EvaluationOptions
    from unboxed.scenes import write_scenes
    from unboxed.training.fitting import fit
    from unboxed.training.options import FitSettings

    world, run = out / "scenes", out / "run"
    if not (world / "data.toml").is_file():
        show("Drawing 2,600 scenes")
        write_scenes(world, seed=seed)
    fit("ckd", demo_config(seed), FitSettings(world / "data.toml", run, resume=True), show=show, report=report)
    show("Evaluating on the test split")
    result = evaluate_run(run, world / "data.toml", EvaluationOptions(split="test"), show=show)
    assert result.scores is not None  # Scenes has gold boxes
    show(
        f"pointing_any {result.scores['pointing_any']:.1f}, recall_any@1 {result.scores['recall_any@1']:.1f} on "
        f"{result.scores.phrases:,} phrases; the best untrained baselines: "
        f"{max(baseline['pointing_any'] for baseline in result.baselines.values()):.1f} and "
        f"{max(baseline['recall_any@1'] for baseline in result.baselines.values()):.1f}"
    )
    assert result.report is not None  # evaluate_run writes one by default
    return result.report
