"""What every benchmark is made of: its targets, its result, candidates timed in turns, and how it is run.

A benchmark is a file here with a docstring, whose first line is its title, and three names:

    TARGETS: tuple[Target, ...]
    def measure(say: Callable[[str], None]) -> Result
    def plots(result: Result) -> Mapping[str, str]      # optional: SVG drawings by name
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

__all__ = ["Outcome", "Result", "SkippedError", "Target", "alternate", "names", "run", "shared_folder"]

Result = dict[str, dict[str, float]]

_NO_BENCHMARKS = {"__init__", "drawing", "harness", "inputs", "memory", "page", "reference"}


class SkippedError(Exception):
    """Raised by `measure` where something it needs is not there; the message says what, and how to give it."""


@dataclass(frozen=True)
class Target:
    """What a figure is asked to be.

    Attributes:
        label: what is measured, for the table.
        value: where it is in the result, such as `t2i.ratio`.
        bound: whether the limit is the least or the most.
        limit: in `unit`.
        unit: of the limit and the figure; empty for a pure number.
    """

    label: str
    value: str
    bound: Literal["at least", "at most"]
    limit: float
    unit: str = ""

    def measured(self, result: Result) -> float | None:
        """The figure, or None where the result has none."""
        part, _, name = self.value.partition(".")
        return result.get(part, {}).get(name)

    def met(self, result: Result) -> bool:
        """Whether the figure is there and within the limit."""
        value = self.measured(result)
        return value is not None and (value >= self.limit if self.bound == "at least" else value <= self.limit)


@dataclass(frozen=True)
class Outcome:
    """One benchmark, run: its result, or why there is none."""

    name: str
    module: ModuleType
    seconds: float
    result: Result
    skipped: str = ""


def alternate(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each candidate, run in turns in this process, after one turn that does not count.

    What else happens on the machine, and how warm it is, then falls on all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            candidate()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def shared_folder() -> Path:
    """The folder of real images and small detectors beside the project.

    Raises:
        SkippedError: there is none.
    """
    folder = Path(os.environ.get("UNBOXED_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data" / "flickr.toml").is_file():
        raise SkippedError(f"no real photographs: {folder.name}/data/flickr.toml is missing (set UNBOXED_SHARED)")
    return folder


def names() -> tuple[str, ...]:
    """All benchmarks of this folder, in alphabetic order."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NO_BENCHMARKS))


def run(chosen: Sequence[str], show: Callable[[str], None]) -> list[Outcome]:
    """Run the benchmarks one after another."""
    outcomes = []
    for name in chosen:
        module = import_module(f"benchmarks.{name}")
        show(f"{name}: {(module.__doc__ or name).splitlines()[0]}")
        start = time.perf_counter()
        result: Result = {}
        skipped = ""
        try:
            result = module.measure(show)
        except SkippedError as reason:
            skipped = str(reason)
            show(f"{name}: not run: {skipped}")
        outcomes.append(Outcome(name, module, time.perf_counter() - start, result, skipped))
    return outcomes
