"""The log of a training run: `log.jsonl`, one JSON object a line, and TensorBoard where wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unboxed.runtime.atomic import write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["TrainingLog"]

_NOT_PLOTTED = ("step", "steps", "epoch", "best")


class TrainingLog:
    """Appends entries to `log.jsonl` of a run.

    Args:
        run: the run's folder.
        step: the step that training continues from; entries of later steps are removed first.
        tensorboard: also write event files to `run/tensorboard`.
        report: called with every entry.
    """

    def __init__(self, run: Path, step: int, tensorboard: bool, report: Callable[[dict[str, Any]], None]) -> None:
        _truncate(run / "log.jsonl", step)
        self._file = (run / "log.jsonl").open("a", encoding="utf-8", errors="backslashreplace")
        self._report = report
        self._board: SummaryWriter | None = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"))

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry, which has a `step`."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self._report(entry)
        if self._board is not None:
            for name, value in entry.items():
                if name not in _NOT_PLOTTED:
                    self._board.add_scalar(name, value, entry["step"])

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _truncate(path: Path, step: int) -> None:
    """Remove the entries of steps after `step`, and a line that a killed process left incomplete."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    write_text(path, "".join(kept))
