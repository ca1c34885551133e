"""The settings of a fit besides those of its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unboxed.errors import DatasetError, RunError
from unboxed.runtime.counts import require_count, require_literals
from unboxed.runtime.paths import accept_strings

__all__ = ["FitSettings", "Logger", "Precision", "StepOptions", "require_fraction"]

Logger = Literal["tensorboard", "wandb"]
Precision = Literal["32", "bf16-mixed"]


@dataclass(frozen=True)
class StepOptions:
    """How a training step is computed, without any effect on what it computes but rounding.

    Attributes:
        precision: of the products of linear maps in training steps; validation is in single precision.
        chunk: captions whose pairs are held in memory at a time, as in `FitSettings`; 0: all.
    """

    precision: Precision = "32"
    chunk: int = 0


@dataclass(frozen=True)
class FitSettings:
    """The settings of a fit besides those of its recipe.

    Attributes:
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        out: folder of the run.
        regions: store made by `unboxed regions`; by default regions are extracted into the run first.
        resume: continue the run in `out` where it stopped. With more epochs than before it is trained for these; one
            that had finished continues after its best epoch, with a new state of the optimizer.
        strict: stop at the first image that cannot be read.
        logger: also send the values of `log.jsonl` to `tensorboard`, as event files in `RUN/tensorboard`, or to
            `wandb`, Weights & Biases, in the project `unboxed` or the one that `WANDB_PROJECT` names. Each needs the
            extra of its name.
        language_model: folder or hub name of a transformers masked language model for the negatives; by default
            a small one is trained on the captions.
        min_count: a word that occurs less often in the training captions is unknown, but not to a pretrained encoder.
        train_fraction: fraction of the training images, in (0, 1], sampled at random from the seed; a smaller sample is
            part of a larger one.
        precision: `32`, or `bf16-mixed`: linear layers multiply in bfloat16 in training steps. Weights, norms,
            attention, scores, losses and validation stay in single precision.
        chunk: captions whose pairs with the images of the batch are held in memory at a time, and captions and images
            that are encoded at a time; 0: all. Gradients and negatives are those of the whole batch (guide
            “Scaling”).
        wait: wait while another process writes the run, instead of ending with an error.
        cache: folder in which several runs share their negatives; by default they are kept in the run.
        device: auto, cpu, cuda, cuda:N, mps, directml or openvino; by default the one that `UNBOXED_DEVICE`
            names, else auto, the first CUDA GPU or else the CPU.
        devices: processes on each machine, one for each GPU, which share every batch (guide “Scaling”).
        nodes: machines. On several, torchrun or Slurm starts the processes.
        boxes: of recipes with a prior, what ranks the boxes: the `trained` model, the `prior` alone, or the `better`
            one by a measurement on held-out images without boxes, which the run keeps (guide “Recipes”).

    Raises:
        RunError: a negative `chunk`, or an unknown logger, precision or ranker of boxes.
    """

    data: Path
    out: Path
    regions: Path | None = None
    resume: bool = False
    strict: bool = False
    logger: Logger | None = None
    language_model: str | None = None
    min_count: int = 2
    train_fraction: float = 1.0
    precision: Precision = "32"
    chunk: int = 0
    wait: bool = False
    cache: Path | None = None
    device: str | None = None
    devices: int = 1
    nodes: int = 1
    boxes: Literal["better", "trained", "prior"] = "better"

    def __post_init__(self) -> None:
        accept_strings(self)
        require_literals(self, RunError)
        for option, value in (("--min-count", self.min_count), ("--devices", self.devices), ("--nodes", self.nodes)):
            require_count(option, value, error=RunError)
        require_fraction(self.train_fraction)
        if self.chunk < 0:
            raise RunError(f"--chunk is {self.chunk}; expected a number of captions, or 0 for all.")


def require_fraction(fraction: float) -> None:
    """Raise a `DatasetError` for a fraction of the images outside (0, 1]."""
    if not 0 < fraction <= 1:
        raise DatasetError(f"--train-fraction is {fraction}; it is a share of the images, in (0, 1].")
