"""The training schedule: epochs, batches, optimizer, learning rates and the choice of the best epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from unboxed.errors import RunError
from unboxed.runtime.counts import require_literals

__all__ = ["Schedule"]

_AT_LEAST = {
    "epochs": 1, "images_per_batch": 1, "captions_per_image": 1, "checkpoint_steps": 1, "step_epochs": 1,
    "batches_per_epoch": 0, "validation_captions": 0, "weight_decay": 0, "clip": 0, "patience": 0, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """The training schedule.

    Attributes:
        epochs: passes over all captions.
        images_per_batch: distinct images in a batch; they are each other's in-batch negatives.
        captions_per_image: captions of each image in a batch.
        learning_rate: the maximum.
        curve: `one-cycle` (linear warm-up over a tenth of the steps, then cosine decay to 0), `constant`, or `step`
            (times `step_factor` every `step_epochs` epochs: SCAN, BFAN, PFAN, SGRAF, VSE++, Das et al.).
        weight_decay: of matrices; biases and norms have none.
        clip: maximum norm of the gradient; 0: it is not clipped (InfoGround, CKD, SPRM).
        seed: of all random numbers in training.
        select_on: the validation metric for the best epoch and for early stopping: `loss`, or `retrieval` (rsum).
            Neither uses boxes.
        checkpoint_steps: steps between two checkpoints; one is also saved after every epoch.
        patience: epochs without improvement before training stops; 0 never stops early.
        optimizer: `adamw`, `adam` (all papers but one), or `sgd` with momentum 0.9 (Das et al.).
        step_epochs, step_factor: of the curve `step`.
        sampling: `images`: a batch has distinct images. `captions`: a batch is `images_per_batch` times
            `captions_per_image` pairs of a shuffled epoch, as in the papers; an image that occurs twice counts as two.
            `replacement`: the same, and each pair is drawn among all (Das et al.).
        drop_last: leave out batches that are not full (CKD, SPRM).
        batches_per_epoch: batches after which an epoch ends (Das et al.: 100); 0: as many as there are.
        validation_captions: retrieval is computed on the images that have the first captions of the validation split,
            all at once (the papers of image-text matching: 5000); 0: within batches, the mean over batches.

    Raises:
        RunError: a value outside its range.
    """

    epochs: int = 4
    images_per_batch: int = 48
    captions_per_image: int = 5
    learning_rate: float = 1e-3
    curve: Literal["one-cycle", "constant", "step"] = "one-cycle"
    weight_decay: float = 0.01
    clip: float = 2.0
    seed: int = 0
    select_on: Literal["loss", "retrieval"] = "loss"
    patience: int = 0
    checkpoint_steps: int = 100
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    step_epochs: int = 15
    step_factor: float = 0.1
    sampling: Literal["images", "captions", "replacement"] = "images"
    drop_last: bool = False
    batches_per_epoch: int = 0
    validation_captions: int = 0

    def __post_init__(self) -> None:
        require_literals(self, RunError)
        for name, least in _AT_LEAST.items():
            if not least <= getattr(self, name) < math.inf:
                raise RunError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least {least}.")
        for name in ("learning_rate", "step_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise RunError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be above 0.")

    def rate(self, step: int, steps: int, epoch: int = 0) -> float:
        """The learning rate of step `step` (from 0) of `steps`, in epoch `epoch` (from 0)."""
        if self.curve == "constant":
            return self.learning_rate
        if self.curve == "step":
            return self.learning_rate * self.step_factor ** (epoch // self.step_epochs)
        warm = max(steps // 10, 1)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))
