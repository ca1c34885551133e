"""What `unboxed.objectives` exports: the training loop of its docstring runs, and all objectives are there."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import torch

import unboxed.objectives


def test_the_training_loop_runs_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    result = doctest.testmod(unboxed.objectives)
    assert result.attempted > 0 and result.failed == 0


def test_every_objective_is_exported() -> None:
    folder = Path(unboxed.objectives.__file__).parent
    modules = [import_module(f"unboxed.objectives.{path.stem}") for path in folder.glob("[!_]*.py")]
    functions = {name for module in modules for name in module.__all__ if name.islower()}
    assert functions == set(unboxed.objectives.__all__)
    assert all(callable(getattr(unboxed.objectives, name)) for name in functions)
