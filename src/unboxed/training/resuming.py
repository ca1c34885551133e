"""Starts or continues a run: which folder may be written, and more epochs for one that has finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unboxed.errors import RegionsError, RunError
from unboxed.inference.run_config import RunConfig
from unboxed.inference.run_folder import RUN_FILES, RUN_FOLDERS, require_replaceable
from unboxed.inference.weights import load_weights
from unboxed.recipes import RecipeConfig
from unboxed.recipes.presets import flat_options
from unboxed.runtime.atomic import require_writable
from unboxed.runtime.locks import remove_left_overs
from unboxed.training.checkpoint import save_checkpoint
from unboxed.training.loop import optimizer_of
from unboxed.training.options import FitSettings
from unboxed.training.split_loader import SplitLoader

if TYPE_CHECKING:
    from unboxed.recipes.model import MatchingModel

__all__ = [
    "continue_finished",
    "needs_more_epochs",
    "previous_run",
    "require_free",
    "require_same_supervision",
    "starting",
    "two_stores",
]

_START = ".start"  # marks a folder as that of a run which has first files, but no config yet


def continue_finished(previous: RunConfig, model: MatchingModel, training: SplitLoader, settings: FitSettings) -> None:
    """Make the checkpoint from which a finished run is trained for more epochs.

    The checkpoint of a finished run is deleted, so training continues after the best epoch, with its weights and with a
    new state of the optimizer.
    """
    best, schedule = previous.facts.get("best", {}), previous.options.schedule
    if not {"epoch", "seconds"} <= best.keys():
        raise RunError(
            f"{settings.out} does not say which of its epochs was the best, so it cannot be trained for more; choose "
            "another --out."
        )
    load_weights(settings.out / "model.safetensors", model)
    epochs = best["epoch"] + 1
    progress = {
        "epoch": epochs,
        "step": sum(len(training.plan(schedule, epoch)) for epoch in range(epochs)),
        "best": best,
        "seconds": best["seconds"],
    }
    save_checkpoint(settings.out / "checkpoint.safetensors", model, optimizer_of(model, schedule), progress)


def require_free(run: Path, resume: bool, fix: str = "continue it with --resume, or choose another --out") -> None:
    """Raise an error before another run is overwritten, unless it is to be resumed, or files that belong to no run.

    Args:
        run: the folder.
        resume: whether a run there is to be resumed.
        fix: what the error about a run names as the fix.

    Raises:
        RunError: the folder holds a run, or files in the place of those of a run, or the path is a file.
        OSError: the folder cannot be written.
    """
    if run.exists() and not run.is_dir():
        raise RunError(f"{run} is a file; --out names the folder of the run.")
    if (run / "config.json").exists() and not resume:
        raise RunError(f"{run} already holds a run; {fix}.")
    if not (run / _START).exists():
        require_replaceable(run, RUN_FILES)
    require_writable(run)


@contextmanager
def starting(run: Path) -> Iterator[None]:
    """A block that writes the first files of a run and then its config; if it is interrupted, it may be repeated."""
    if not (run / "config.json").exists():
        (run / _START).touch()
    try:
        yield
    finally:
        if (run / "config.json").exists() or not any((run / name).exists() for name in RUN_FILES):
            (run / _START).unlink(missing_ok=True)


def needs_more_epochs(previous: RunConfig, options: RecipeConfig) -> bool:
    """Whether a finished run is to be trained for more epochs."""
    return options.trains and options.schedule.epochs > previous.options.schedule.epochs


def previous_run(recipe: str, options: RecipeConfig, settings: FitSettings, preset: str | None) -> RunConfig | None:
    """The config of the run that is to be resumed; None if there is none. The caller holds the lock of its folder.

    It must have been started with the same options, but may get more epochs. What killed processes left is removed.

    Raises:
        RunError: it was started with other options, or is not to be resumed.
    """
    run = settings.out
    require_free(run, settings.resume)
    previous = RunConfig.load(run) if (run / "config.json").exists() else None
    if previous is not None or (run / _START).exists():
        remove_left_overs(run, RUN_FOLDERS)
    if previous is None:
        return None
    if previous.recipe != recipe:
        raise RunError(
            f"{run} is a run of {previous.recipe}, not of {recipe}; resume it as `unboxed fit {previous.recipe}`."
        )
    now, before = flat_options(options), flat_options(previous.options)
    if now["epochs"] > before["epochs"]:
        del now["epochs"]
    differing = [f"{name} was {before[name]!r} and now is {now[name]!r}" for name in now if now[name] != before[name]]
    if differing:
        named = previous.facts.get("preset")
        if named is not None and preset != named:
            raise RunError(f"{run} was started with --preset {named}; repeat it, or start another run.")
        began = f" on top of --preset {named}" if named is not None else ""
        raise RunError(
            f"{run} was started with other options{began}: {'; '.join(differing)}. Repeat them, or start another run."
        )
    precision = previous.facts.get("precision", "32")
    if not previous.facts.get("finished") and precision != settings.precision:
        raise RunError(f"{run} was started with --precision {precision}; repeat it.")
    return previous


def require_same_supervision(previous: RunConfig | None, config: RunConfig) -> None:
    """Raise a `RunError` unless a resumed run has the corrections and the teacher that it was started with."""
    if previous is None:
        return
    if previous.facts.get("teacher") != config.facts.get("teacher"):
        teacher = config.options.distillation.from_run
        raise RunError(f"The weights of {teacher} are not those that began to teach this run; start another run.")
    if previous.facts.get("corrections") != config.facts.get("corrections"):
        raise RunError("The run was started with other corrections; repeat --use-corrections, or start another run.")


def two_stores(store: Path) -> RegionsError:
    """The error of a fit that is given a store, and sources of regions as well."""
    return RegionsError(
        f"--regions {store} has its regions already, and options such as --detector find others; leave out --regions, "
        "or these options."
    )
