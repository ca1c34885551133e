"""How long and how fast a model trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a model trains.

    Attributes:
        epochs: passes over all captions.
        images_per_batch: distinct images that meet in a batch; each is the others' negative.
        captions_per_image: captions that an image brings along.
        learning_rate: the highest one.
        curve: `one-cycle` (linear warm-up over a tenth of the steps, then cosine to 0) or `constant`.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        seed: of everything random in training.
        select_on: what chooses the best epoch and stops early: validation `loss` or `retrieval` (rsum); no box is
            looked at.
        checkpoint_steps: steps between two checkpoints; one is also written after every epoch.
        patience: epochs without improvement before training stops; 0 never stops early.
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

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step` (from 0) of `steps`."""
        if self.curve == "constant":
            return self.learning_rate
        warm = max(steps // 10, 1)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))
