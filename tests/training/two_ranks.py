"""A program that trains recipes; the tests start it as one of the processes of a distributed training, or alone.

    python two_ranks.py DATA STORE OUT NAME…    trains recipes, and writes their losses to OUT/NAME/losses.json

With `DIES_AT=STEP` in its environment the process ends without a word at this step.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unboxed import types
from unboxed.errors import UnboxedError
from unboxed.recipes import RECIPES, RecipeConfig
from unboxed.recipes.config import DistillationConfig
from unboxed.recipes.matching import ConstraintConfig
from unboxed.recipes.schedule import Schedule
from unboxed.training import fitting, loop
from unboxed.training.options import FitSettings

SCHEDULE = Schedule(epochs=3, images_per_batch=7, captions_per_image=3, learning_rate=0.002)
SMALL = {
    "joint_width": 16,
    "embedding_width": 12,
    "hidden_width": 8,
    "dropout": 0.0,
    "negatives": "none",
    "schedule": SCHEDULE,
}
OPTIONS: dict[str, dict[str, object]] = {
    "infoground": {"negatives": "random", "negative_count": 4},
    "ckd": {"distillation": DistillationConfig(distillation=1.0, neighbours=4, ramp_steps=2)},
    "scan": {"warm_up": 0.0, "intra_caption": 0.3, "constraint": ConstraintConfig(constraints="both")},
    "sgr": {"reasoning_dropout": 0.0, "similarity_width": 8},
    "saf": {"reasoning_dropout": 0.0, "similarity_width": 8, "schedule": replace(SCHEDULE, learning_rate=0.001)},
    "saf_by_caption": {
        "reasoning_dropout": 0.0,
        "similarity_width": 8,
        "gates_by_caption": True,
        "negatives": "random",
        "negative_count": 2,
        "schedule": replace(SCHEDULE, learning_rate=0.0005),
    },
    "npair": {"cells": 4, "channels": 8, "hidden": 0.0},
}

CHUNKS = {"saf": 7, "sgr": 3}
"""Captions and images at a time of each of several processes; one process holds all."""


def options_of(name: str) -> RecipeConfig:
    """The options of a recipe without random numbers but those of the batches."""
    return RECIPES[name.partition("_")[0]](**{**SMALL, **OPTIONS.get(name.removesuffix("_resumed"), {})})  # type: ignore[arg-type]


def make_comparable() -> None:
    """Weights and batches in double precision, where rounding decides no hardest negative; and no augmentation."""
    torch.set_default_dtype(torch.float64)
    moved = types._moved

    def doubled(batch: Any, device: Any) -> dict[str, Any]:
        return {
            name: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
            for name, value in moved(batch, device).items()
        }

    types._moved = doubled
    torch.rand = lambda *shape, **options: torch.ones(*shape, **options)
    torch.randint = lambda high, shape, **options: torch.full(shape, high // 2)
    fitting.calibrated = lambda *_: None  # whose rankings are in single precision
    loop.LOG_STEPS = 1


def die_at(last: int) -> None:
    """End the process in this step."""
    step = loop._Training._step

    def dying(training: Any, *arguments: Any) -> Any:
        if training.progress.step == last:
            os._exit(9)
        return step(training, *arguments)

    loop._Training._step = dying  # type: ignore[method-assign]


def train(name: str, data: Path, store: Path, out: Path) -> None:
    """Train a recipe; the first process writes the losses of every step."""
    entries: list[dict[str, float]] = []
    regions = None if name == "npair" else store  # whose cells the first process finds
    chunk = CHUNKS.get(name, 0) if "RANK" in os.environ else 0
    settings = FitSettings(data, out / name, regions, resume=True, chunk=chunk)
    fitting.fit_given(name.partition("_")[0], options_of(name), settings, report=entries.append)
    if entries:
        (out / name / "losses.json").write_text(json.dumps(entries))


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_comparable()
    if "DIES_AT" in os.environ:
        die_at(int(os.environ["DIES_AT"]))
    data, store, out, *names = sys.argv[1:]
    try:
        for name in names:
            train(name, Path(data), Path(store), Path(out))
    except UnboxedError as error:
        sys.exit(f"error: {error}")
