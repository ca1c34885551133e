"""Learning curves of cells: the validation loss and rsum of every epoch, and whether they were still improving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isnan
from pathlib import Path
from typing import Any

from unboxed.recipes.schedule import Schedule
from unboxed.training.log import read_log

__all__ = ["LearningCurve"]

_LAST, _LITTLE = 0.25, 0.05


@dataclass(frozen=True)
class LearningCurve:
    """The validation figures of a run by epoch.

    Attributes:
        select_on: `loss` or `retrieval`, the figure that chose the epoch; see `Schedule`.
        planned: number of epochs of the schedule; fewer were trained where `patience` ended the training.
        val_loss: of each epoch.
        val_rsum: of each epoch: rsum of each caption among the images of its batch, in [0, 600].
    """

    select_on: str = "loss"
    planned: int = 0
    val_loss: tuple[float, ...] = ()
    val_rsum: tuple[float, ...] = ()

    @staticmethod
    def of_run(run: Path, schedule: Schedule) -> LearningCurve:
        """The curve in the log of a run; empty for one that was not trained."""
        entries = [entry for entry in read_log(run) if {"val_loss", "val_rsum"} <= entry.keys()]
        losses, rsums = (tuple(float(entry[name]) for entry in entries) for name in ("val_loss", "val_rsum"))
        return LearningCurve(schedule.select_on, schedule.epochs, losses, rsums)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> LearningCurve:
        """The curve that `asdict` made JSON values of."""
        losses, rsums = (tuple(map(float, values[name])) for name in ("val_loss", "val_rsum"))
        return LearningCurve(str(values["select_on"]), int(values["planned"]), losses, rsums)

    @property
    def epochs(self) -> int:
        """Number of epochs that were trained."""
        return len(self.val_loss)

    @property
    def best_epoch(self) -> int:
        """The chosen epoch, counted from 1; 0 for a run that was not trained."""
        return self._quality.index(max(self._quality)) + 1 if self.epochs else 0

    @property
    def still_rising(self) -> bool:
        """Whether more epochs would probably have been better: then the run is no evidence for or against a method.

        It is so if the best epoch improved in the last quarter of the epochs, by more than a twentieth of the whole
        improvement since the first epoch. A run that `patience` ended is not, nor is one that was not trained; one of a
        single epoch is.
        """
        if self.epochs < self.planned or not self.epochs:
            return False
        before = self._quality[: self.epochs - max(int(_LAST * self.epochs), 1)]
        best = max(self._quality)
        return not before or best - max(before) > _LITTLE * (best - before[0])

    @property
    def _quality(self) -> tuple[float, ...]:
        if self.select_on == "retrieval":
            return self.val_rsum
        return tuple(-inf if isnan(loss) else -loss for loss in self.val_loss)  # as training chooses an epoch
