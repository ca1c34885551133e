"""The training loop: plain, resumable bit by bit, and chosen without boxes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric

from unboxed.inference.ranks import rsum
from unboxed.inference.weights import save_weights
from unboxed.negatives.base import Negatives
from unboxed.recipes.pairs import TrainingStep
from unboxed.recipes.schedule import Schedule
from unboxed.runtime.prefetch import Prefetcher
from unboxed.runtime.seeds import seed_of
from unboxed.training.checkpoint import load_checkpoint, save_checkpoint
from unboxed.training.mixed_precision import half_products
from unboxed.training.options import Precision
from unboxed.training.split_loader import SplitLoader
from unboxed.types import PairedBatch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["TrainableModel", "train"]

LOG_STEPS = 10


class TrainableModel(Protocol):
    """What the loop asks of a model, beside being an `nn.Module`."""

    def loss(self, batch: PairedBatch, training_step: TrainingStep) -> dict[str, torch.Tensor]:
        """The total under `loss`, and its parts by name."""

    def loss_and_scores(
        self, batch: PairedBatch, training_step: TrainingStep
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """What `loss` gives, and how well each image and caption match, `[B, C]`."""


def train(
    model: torch.nn.Module,
    schedule: Schedule,
    training: SplitLoader,
    validation: SplitLoader,
    run: Path,
    *,
    negatives: Negatives | None = None,
    negative_count: int = 0,
    tensorboard: bool = False,
    precision: Precision = "32",
    report: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> dict[str, Any]:
    """Train `model` and leave the best epoch's weights in `run/model.safetensors`.

    Where `run` holds a checkpoint, training goes on from it and ends with the very weights that an uninterrupted run
    ends with: every random number has an address (seed, epoch, batch, purpose), and a checkpoint holds all the rest.

    Args:
        model: an `nn.Module` that is also a `TrainableModel`.
        schedule: how long and how fast.
        training, validation: the images and captions; validation only chooses the epoch.
        run: the folder of `log.jsonl`, `checkpoint.safetensors` and `model.safetensors`.
        negatives: substitutes for words of the training captions, if the objective wants any.
        negative_count: how many of them a caption gets in a step.
        tensorboard: write event files to `run/tensorboard` too.
        precision: of the linear maps' products in training steps; what is measured is measured in single precision.
        report: is given every log entry, for progress.

    Returns:
        The last entry: the best epoch and its validation figures.
    """
    # The device decides the arithmetic, not the result's meaning; one process, one device.
    fabric = Fabric(devices=1)
    plan_lengths = [len(training.plan(schedule, epoch)) for epoch in range(schedule.epochs)]
    steps = sum(plan_lengths)
    optimizer = torch.optim.AdamW(_decay_groups(model, schedule.weight_decay), lr=schedule.learning_rate)
    checkpoint, log_file = run / "checkpoint.safetensors", run / "log.jsonl"
    progress: dict[str, Any] = {"epoch": 0, "batch": 0, "step": 0, "best": None, "stale": 0, "seconds": 0.0}
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, optimizer)
    _truncate_log(log_file, progress["step"])
    wrapped, optimizer = fabric.setup(model, optimizer)
    for method in ("loss", "loss_and_scores"):
        wrapped.mark_forward_method(method)

    def loader(epoch: int) -> Prefetcher[int, PairedBatch]:
        return training.batches(
            schedule, epoch, start=progress["batch"], negatives=negatives, negative_count=negative_count
        )

    log = _Log(log_file, run / "tensorboard" if tensorboard else None, report)
    started = time.monotonic() - progress["seconds"]
    batches = loader(progress["epoch"])
    for epoch in range(progress["epoch"], schedule.epochs):
        if schedule.patience and progress["stale"] >= schedule.patience:
            break
        sums: dict[str, float] = {}
        summed = 0
        wrapped.train()
        since, waited = time.perf_counter(), 0.0
        for batch in batches:
            rate = schedule.rate(progress["step"], steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            torch.manual_seed(seed_of(schedule.seed, "dropout", progress["step"]))
            optimizer.zero_grad()
            with half_products(model) if precision == "bf16-mixed" else nullcontext():
                losses = wrapped.loss(batch.to(fabric.device), TrainingStep(progress["step"], steps, epoch))
                fabric.backward(losses["loss"])
            fabric.clip_gradients(wrapped, optimizer, max_norm=schedule.clip)
            optimizer.step()
            progress["step"] += 1
            progress["batch"] += 1
            progress["seconds"] = time.monotonic() - started
            summed += 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            if progress["step"] % LOG_STEPS == 0:
                means = {name: value / summed for name, value in sums.items()}
                log.write(
                    {"step": progress["step"], "steps": steps, "epoch": epoch, **means, "learning_rate": rate,
                     "seconds": progress["seconds"],
                     "waiting": (batches.waited - waited) / (time.perf_counter() - since)}
                )  # fmt: skip
                sums, summed = {}, 0
                since, waited = time.perf_counter(), batches.waited
            if progress["step"] % schedule.checkpoint_steps == 0:
                save_checkpoint(checkpoint, model, optimizer, progress)
        progress["batch"] = 0
        if epoch + 1 < schedule.epochs:
            batches = loader(epoch + 1)  # the first are made while the epoch is judged
        figures = _validate(wrapped, schedule, validation, TrainingStep(steps, steps, schedule.epochs), fabric.device)
        better = _is_better(figures, progress["best"], schedule)
        if better:
            progress["best"] = {"epoch": epoch, **figures}
            save_weights(run / "model.safetensors", model)
        progress["stale"] = 0 if better else progress["stale"] + 1
        progress["epoch"] = epoch + 1
        log.write({"step": progress["step"], "steps": steps, "epoch": epoch, **figures, "best": better})
        save_checkpoint(checkpoint, model, optimizer, progress)
    batches.close()
    log.close()
    best: dict[str, Any] = {**progress["best"], "steps": progress["step"], "seconds": progress["seconds"]}
    return best


def _is_better(figures: dict[str, float], best: dict[str, float] | None, schedule: Schedule) -> bool:
    if best is None:
        return True
    if schedule.select_on == "loss":
        return figures["val_loss"] < best["val_loss"]
    return figures["val_rsum"] > best["val_rsum"]


@torch.no_grad()
def _validate(
    model: Any, schedule: Schedule, validation: SplitLoader, training_step: TrainingStep, device: torch.device
) -> dict[str, float]:
    """Mean loss over the fixed validation batches, and retrieval of each caption among the images of its batch."""
    model.eval()
    losses, rsums = [], []
    for batch in validation.batches(schedule, -1):
        batch = batch.to(device)
        parts, score_BC = model.loss_and_scores(batch, training_step)
        losses.append(float(parts["loss"]))
        rsums.append(rsum(score_BC.float().cpu().numpy(), batch.image_of_C.cpu().numpy()))
    model.train()
    return {"val_loss": float(np.mean(losses)), "val_rsum": float(np.mean(rsums))}


def _decay_groups(model: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only, not for biases and norms."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _truncate_log(path: Path, step: int) -> None:
    """Drop what was logged after the checkpoint that training goes on from."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # the line that a killed process left half-written
    beside = path.with_name(f".{path.name}.new")
    beside.write_text("".join(kept), encoding="utf-8")
    beside.replace(path)


class _Log:
    def __init__(self, path: Path, tensorboard: Path | None, report: Callable[[dict[str, Any]], None]) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._report = report
        self._board: SummaryWriter | None = None
        if tensorboard is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(tensorboard))

    def write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self._report(entry)
        if self._board is not None:
            for name, value in entry.items():
                if name not in ("step", "steps", "epoch", "best"):
                    self._board.add_scalar(name, value, entry["step"])

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()
