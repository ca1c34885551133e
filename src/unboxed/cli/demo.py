"""From nothing to a report: draw a world, train on its captions alone, look at phrases boxed in pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unboxed.evaluation.evaluate_run import evaluate_run
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import DistillationConfig
from unboxed.recipes.schedule import Schedule
from unboxed.scenes import write_scenes
from unboxed.training.fit import fit
from unboxed.training.options import FitSettings

__all__ = ["demo_choices", "run_demo"]


def demo_choices(seed: int = 0) -> CKD:
    """CKD with the semantic prior, chosen on the drawn world's val split.

    The detector's class names teach it what its captions mean, and multiply with what it learned.
    """
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
    show: Callable[[str], None] = lambda line: None,
    report: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> Path:
    """Draw Scenes, train CKD on it, evaluate on its test split, all inside `out`.

    What an earlier call finished is used again, so an interrupted demo goes on where it stopped.

    Args:
        out: the folder.
        seed: of the world and of training.
        say: is given a line for people at every stage.
        report: is given every entry of the training log.

    Returns:
        The HTML report.
    """
    world, run = out / "scenes", out / "run"
    if not (world / "data.toml").is_file():
        show("Drawing 2,600 scenes")
        write_scenes(world, seed=seed)
    fit("ckd", demo_choices(seed), FitSettings(world / "data.toml", run, resume=True), show=show, report=report)
    show("Evaluating on the test split")
    result = evaluate_run(run, world / "data.toml", "test", show=show)
    assert result.scores is not None  # the drawn world has gold boxes
    show(
        f"pointing_any {result.scores['pointing_any']:.1f}, recall_any@1 {result.scores['recall_any@1']:.1f} on "
        f"{result.scores.phrases:,} phrases; the best untrained baseline: "
        f"{max(own['pointing_any'] for own in result.baselines.values()):.1f} and "
        f"{max(own['recall_any@1'] for own in result.baselines.values()):.1f}"
    )
    assert result.report is not None  # a report was asked for
    return result.report
