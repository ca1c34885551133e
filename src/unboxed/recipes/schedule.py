"""The training schedule: epochs, batches, learning rates and the choice of the best epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from unboxed.errors import RunError

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """The training schedule.

    Attributes:
        epochs: passes over all captions.
        images_per_batch: distinct images in a batch; they are each other's in-batch negatives.
        captions_per_image: captions of each image in a batch.
        learning_rate: the maximum.
        curve: `one-cycle` (linear warm-up over a tenth of the steps, then cosine decay to 0) or `constant`.
        weight_decay: of AdamW.
        clip: maximum norm of the gradient.
        seed: of all random numbers in training.
        select_on: the validation metric for the best epoch and for early stopping: `loss`, or `retrieval` (rsum).
            Neither uses boxes.
        checkpoint_steps: steps between two checkpoints; one is also saved after every epoch.
        patience: epochs without improvement before training stops; 0 never stops early.

    Raises:
        RunError: a number of epochs, images, captions or steps below 1.
    """

    epochs: int = 4
    images_per_batch: int = 48
    captions_per_image: int = 5
    learning_rate: float = 1e-3
    curve: Literal["one-cycle", "constant"] = "one-cycle"
    weight_decay: float = 0.01
    clip: float = 2.0
    seed: int = 0
    select_on: Literal["loss", "retrieval"] = "loss"
    patience: int = 0
    checkpoint_steps: int = 100

    def __post_init__(self) -> None:
        for name in ("epochs", "images_per_batch", "captions_per_image", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise RunError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1.")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step` (from 0) of `steps`."""
        if self.curve == "constant":
            return self.learning_rate
        warm = max(steps // 10, 1)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))
