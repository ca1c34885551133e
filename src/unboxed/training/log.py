"""The log of a training run: `log.jsonl`, one JSON object a line, and TensorBoard or Weights & Biases where wanted."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from unboxed.errors import RunError, plain_reason
from unboxed.runtime.atomic import write_text
from unboxed.runtime.progress import Report
from unboxed.training.options import Logger

__all__ = ["TrainingLog", "read_log", "require_logger"]

_NOT_PLOTTED = ("step", "steps", "epoch", "best")
_NAMES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases"}


def require_logger(logger: Logger | None) -> None:
    """Checks that a logger can be used, before anything takes long. Weights & Biases may ask for its key here.

    Raises:
        RunError: its package is missing, or Weights & Biases refuses the login.
    """
    if logger is None:
        return
    if find_spec(logger) is None:
        raise RunError(
            f'{_NAMES[logger]} needs the extra `{logger}`: pip install "unboxed[{logger}]". Or leave out --logger; '
            "log.jsonl has the same values."
        )
    if logger == "wandb" and os.environ.get("WANDB_MODE", "online") == "online":
        import wandb

        try:
            accepted, reason = wandb.login(), "it has no key"
        except Exception as error:  # its errors have no common class in all versions
            accepted, reason = False, plain_reason(error)
        if not accepted:
            raise RunError(
                f"Weights & Biases cannot be used: {reason}. Run `wandb login` once, or set WANDB_MODE=offline to keep "
                "the values on this machine."
            )


class TrainingLog:
    """Appends entries to `log.jsonl` of a run.

    Args:
        run: the run's folder.
        step: the step that training continues from; entries of later steps are removed first.
        epoch: the epoch that training continues in, from 0; entries of its validation, or of a later one, are removed
            too, as it is validated again.
        logger: also send the values to this one, see `FitSettings.logger`.
        report: called with every entry.
    """

    def __init__(self, run: Path, step: int, epoch: int, logger: Logger | None, report: Report) -> None:
        _truncate(run / "log.jsonl", step, epoch)
        self._file = (run / "log.jsonl").open("a", encoding="utf-8")
        self._report = report
        self._plots: _Plots | None = None
        if logger is not None:
            self._plots = _TensorBoard(run) if logger == "tensorboard" else _WeightsAndBiases(run)

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry, which has a `step`."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self._report(entry)
        if self._plots is not None:
            self._plots.add({name: v for name, v in entry.items() if name not in _NOT_PLOTTED}, entry["step"])

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._plots is not None:
            self._plots.close()


class _Plots(Protocol):
    """Where values are plotted."""

    def add(self, values: dict[str, float], step: int) -> None: ...

    def close(self) -> None: ...


class _TensorBoard:
    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"))

    def add(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    """A run of Weights & Biases, which a resumed training continues; its config has the recipe and its options."""

    def __init__(self, run: Path) -> None:
        import wandb

        identity = run / "wandb" / "unboxed-run-id"
        if not identity.is_file():
            identity.parent.mkdir(exist_ok=True)
            write_text(identity, uuid.uuid4().hex[:12])
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "unboxed"),
            id=identity.read_text(encoding="utf-8").strip(),
            name=run.resolve().name,
            dir=str(run),
            resume="allow",
            config=_recipe_of(run),
        )

    def add(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


def _recipe_of(run: Path) -> dict[str, Any]:
    """The recipe of a run and its options, without the paths of its data; empty before its config is written."""
    config = run / "config.json"
    if not config.is_file():
        return {}
    values = json.loads(config.read_text(encoding="utf-8"))
    return {"recipe": values.get("recipe"), **values.get("choices", {})}


def read_log(run: Path) -> list[dict[str, float]]:
    """The entries of the log of a run; none where there is no log. Lines that are damaged are left out.

    Raises:
        OSError: the log cannot be read.
    """
    return [entry for _, entry in _entries(run / "log.jsonl")]


def _entries(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """The lines of a log and their values."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and "step" in entry and all(map(_is_number, entry.values())):
            yield line, entry


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)


def _truncate(path: Path, step: int, epoch: int) -> None:
    """Remove what a training that continues here writes again, and a line that a killed process left incomplete."""

    def is_kept(entry: dict[str, float]) -> bool:
        validated_again = "val_loss" in entry and entry.get("epoch", -1) >= epoch
        return entry["step"] <= step and not validated_again

    if path.is_file():
        write_text(path, "".join(f"{line}\n" for line, entry in _entries(path) if is_kept(entry)))
