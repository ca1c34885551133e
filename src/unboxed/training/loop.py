"""The training loop: plain PyTorch, exactly resumable, and without boxes."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import inf, isnan
from pathlib import Path
from typing import Any, cast

import torch

from unboxed.errors import RunError
from unboxed.inference.weights import save_weights
from unboxed.recipes.members import Members
from unboxed.recipes.pairs import TrainingStep
from unboxed.recipes.schedule import Schedule
from unboxed.runtime.devices import current_device
from unboxed.runtime.progress import Report
from unboxed.runtime.ranks import sum_gradients
from unboxed.runtime.seeds import seed_of
from unboxed.runtime.threads import Prefetcher
from unboxed.training.checkpoint import load_checkpoint, save_checkpoint
from unboxed.training.fabric import fabric_on
from unboxed.training.log import TrainingLog
from unboxed.training.mixed_precision import half_precision
from unboxed.training.options import Logger, StepOptions
from unboxed.training.split_loader import SplitLoader
from unboxed.training.synchronized_norms import synchronized_norms
from unboxed.training.validation import TrainableModel, validate
from unboxed.types import PairedBatch

__all__ = ["TrainableModel", "optimizer_of", "train"]

LOG_STEPS = 10


def train(
    model: torch.nn.Module,
    schedule: Schedule,
    training: SplitLoader,
    validation: SplitLoader,
    run: Path,
    *,
    logger: Logger | None = None,
    step: StepOptions = StepOptions(),  # noqa: B008, a frozen value
    report: Report = lambda entry: None,
) -> dict[str, Any]:
    """Train `model` on the current device and leave the best epoch's weights in `run/model.safetensors`.

    If `run` holds a checkpoint, training continues from it and ends with exactly the weights of an uninterrupted run:
    every random number is derived from (seed, epoch, batch, purpose), and a checkpoint holds all other state.

    Args:
        model: an `nn.Module` that is also a `TrainableModel`.
        schedule: the epochs, batches and learning rates.
        training, validation: the images and captions; validation only selects the epoch.
        run: the folder of `log.jsonl`, `checkpoint.safetensors` and `model.safetensors`.
        logger: also send the log to this one, see `FitSettings.logger`.
        step: precision and memory of a training step.
        report: called with every log entry.

    Returns:
        The best epoch and its validation metrics, the number of steps, and the seconds.

    Raises:
        RunError: the training diverged.
    """
    return _Training(model, schedule, training, validation, run, step).run(logger, report)


@dataclass
class _Progress:
    """The progress of training; a checkpoint keeps it as JSON.

    Attributes:
        epoch, batch: the next epoch, and the next batch in it, from 0.
        step: steps taken.
        best: the best epoch and its metrics.
        stale: epochs since the best one.
        seconds: of training, over all processes that continued it.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: dict[str, Any] | None = None
    stale: int = 0
    seconds: float = 0.0


class _Training:
    """One call of `train`."""

    def __init__(
        self,
        model: torch.nn.Module,
        schedule: Schedule,
        training: SplitLoader,
        validation: SplitLoader,
        run: Path,
        step: StepOptions,
    ) -> None:
        self.model, self.schedule, self.folder, self.step_options = model, schedule, run, step
        self.training, self.validation = training, validation
        self.ranks = training.ranks
        self.steps = sum(len(training.plan(schedule, epoch)) for epoch in range(schedule.epochs))
        self.fabric = fabric_on(current_device().torch_device())
        optimizer = optimizer_of(model, schedule)
        self.wrapped, self.optimizer = self.fabric.setup(model, optimizer)
        self.progress = _Progress()
        if self._checkpoint.exists():  # after the setup: the state of the optimizer goes where the weights are
            self.progress = _Progress(**load_checkpoint(self._checkpoint, model, optimizer))
        for method in ("loss", "loss_and_scores", "encode_images", "encode_captions", "score"):
            if hasattr(model, method):
                self.wrapped.mark_forward_method(method)

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def run(self, logger: Logger | None, report: Report) -> dict[str, Any]:
        progress, schedule = self.progress, self.schedule
        first = self.ranks.is_first
        log = TrainingLog(self.folder, progress.step, progress.epoch, logger, report) if first else None
        started = time.monotonic() - progress.seconds
        batches = self._batches(progress.epoch)
        try:
            for epoch in range(progress.epoch, schedule.epochs):
                if schedule.patience and progress.stale >= schedule.patience:
                    break
                self._train_epoch(epoch, batches, log, started)
                progress.batch = 0
                if epoch + 1 < schedule.epochs:
                    batches = self._batches(epoch + 1)  # the first are prefetched during validation
                self._finish_epoch(epoch, log)
        finally:
            batches.close()
            if log is not None:
                log.close()
        assert progress.best is not None  # of the first epoch at least
        if isnan(progress.best["val_loss"]) and not all(p.isfinite().all() for p in self.model.parameters()):
            raise RunError("The weights are not finite: the training diverged. Choose a smaller --learning-rate.")
        return {**progress.best, "steps": progress.step, "seconds": progress.seconds}

    def _batches(self, epoch: int) -> Prefetcher[int, PairedBatch]:
        return self.training.batches(self.schedule, epoch, start=self.progress.batch)

    def _train_epoch(
        self, epoch: int, batches: Prefetcher[int, PairedBatch], log: TrainingLog | None, started: float
    ) -> None:
        progress = self.progress
        sums: dict[str, float] = {}
        summed = 0
        self.wrapped.train()
        since, waited = time.perf_counter(), 0.0
        for batch in batches:
            losses, rate = self._step(epoch, batch)
            progress.step += 1
            progress.batch += 1
            progress.seconds = time.monotonic() - started
            summed += 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            if progress.step % LOG_STEPS == 0:
                means = {name: value / summed for name, value in sums.items()}
                waiting = (batches.waited - waited) / (time.perf_counter() - since)
                position = {"step": progress.step, "steps": self.steps, "epoch": epoch}
                rates = {"learning_rate": rate, "seconds": progress.seconds, "waiting": waiting}
                if log is not None:
                    log.write({**position, **means, **rates})
                sums, summed = {}, 0
                since, waited = time.perf_counter(), batches.waited
            if progress.step % self.schedule.checkpoint_steps == 0:
                self._save_checkpoint()

    def _step(self, epoch: int, batch: PairedBatch) -> tuple[dict[str, torch.Tensor], float]:
        """One step of the optimizer: its losses, and its learning rate."""
        step, schedule = self.progress.step, self.schedule
        rate = schedule.rate(step, self.steps, epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        several = self.ranks.count > 1
        torch.manual_seed(seed_of(schedule.seed, "dropout", step, *([self.ranks.number] if several else [])))
        self.optimizer.zero_grad()
        with ExitStack() as contexts:
            if self.step_options.precision == "bf16-mixed":
                contexts.enter_context(half_precision(self.model))
            if several:
                contexts.enter_context(synchronized_norms(self.model))
            losses: dict[str, torch.Tensor] = self.wrapped.loss(
                batch.to(self.fabric.device), TrainingStep(step, self.steps, epoch, self.step_options.chunk)
            )
            self.fabric.backward(losses["loss"])
        if several:
            sum_gradients(self.model.parameters())
        if schedule.clip:
            self._clip(step)
        self.optimizer.step()
        return losses, rate

    def _clip(self, step: int) -> None:
        """Limit the norm of the gradients, of each member as if it were alone.

        Raises:
            RunError: gradients that are not finite.
        """
        most = self.schedule.clip
        try:
            if isinstance(self.model, Members):
                for member in self.model.members:
                    torch.nn.utils.clip_grad_norm_(member.parameters(), most, error_if_nonfinite=True)
            else:
                self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=most)
        except RuntimeError as error:
            if "non-finite" not in str(error):
                raise
            raise RunError(
                f"The gradients of step {step} are not finite: the training diverged. Choose a smaller "
                "--learning-rate, or leave out options that make scores extreme, such as a large --lambda-softmax."
            ) from None

    def _finish_epoch(self, epoch: int, log: TrainingLog | None) -> None:
        """Validate, keep the weights if they are the best so far, and save a checkpoint."""
        progress = self.progress
        figures = self._validate()
        better = _is_better(figures, progress.best, self.schedule)
        if better:
            progress.best = {"epoch": epoch, **figures}
            if log is not None:
                save_weights(self.folder / "model.safetensors", self.model)
        progress.stale = 0 if better else progress.stale + 1
        progress.epoch = epoch + 1
        if log is not None:
            log.write({"step": progress.step, "steps": self.steps, "epoch": epoch, **figures, "best": better})
        self._save_checkpoint()

    def _validate(self) -> dict[str, float]:
        """The figures of the first process, on all of them."""
        figures = self._measured() if self.ranks.is_first else {}
        shared: dict[str, float] = json.loads(self.ranks.texts(json.dumps(figures), self.fabric.device)[0])
        return shared

    def _measured(self) -> dict[str, float]:
        last = TrainingStep(self.steps, self.steps, self.schedule.epochs)
        self.wrapped.eval()
        model = cast(TrainableModel, self.wrapped)
        figures = validate(model, self.validation, self.schedule, last, self.fabric.device)
        self.wrapped.train()
        return figures

    def _save_checkpoint(self) -> None:
        if self.ranks.is_first:
            save_checkpoint(self._checkpoint, self.model, self.optimizer, asdict(self.progress))


def _is_better(figures: dict[str, float], best: dict[str, float] | None, schedule: Schedule) -> bool:
    if best is None:
        return True
    if schedule.select_on == "loss":
        least = best["val_loss"]
        return figures["val_loss"] < (inf if isnan(least) else least)
    return figures["val_rsum"] > best["val_rsum"]


def optimizer_of(model: torch.nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """The optimizer, with weight decay for matrices only, not for biases and norms."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": schedule.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=0.9, fused=True)
    kind = torch.optim.Adam if schedule.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=schedule.learning_rate, fused=True)
