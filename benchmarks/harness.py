"""Parts of a benchmark: targets, results, alternating measurements, and the function that runs benchmarks.

A benchmark is a module of this folder with three names and a docstring, whose first line is its title:

    TARGETS: tuple[Target, ...]
    def measure(show: Callable[[str], None]) -> Result          # may have `size: int = …`, of the largest input
    def plots(result: Result) -> Mapping[str, str]      # optional: SVG plots by name
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Literal

__all__ = ["Outcome", "Result", "SkippedError", "Target", "alternate", "names", "run", "shared_folder"]

Result = dict[str, dict[str, float]]

os.environ["UNBOXED_CACHE"] = "off"  # what is measured is done, and not taken from the cache of the user

_NO_BENCHMARKS = {"__init__", "drawing", "harness", "inputs", "memory", "page", "reference", "steps"}


class SkippedError(Exception):
    """Raised by `measure` if something that it needs is missing; the message names it and the fix."""


@dataclass(frozen=True)
class Target:
    """A limit for one measured value.

    Attributes:
        label: of the value, for the table.
        value: path of the value in the result, such as `t2i.ratio`.
        bound: whether the limit is the smallest or the largest accepted value.
        limit: in `unit`.
        unit: of the limit and the value; empty for a pure number.
    """

    label: str
    value: str
    bound: Literal["at least", "at most"]
    limit: float
    unit: str = ""

    def measured(self, result: Result) -> float | None:
        """The value, or None if the result does not have it."""
        part, _, name = self.value.partition(".")
        return result.get(part, {}).get(name)

    def met(self, result: Result) -> bool:
        """Whether the result has the value, and it is within the limit."""
        value = self.measured(result)
        return value is not None and (value >= self.limit if self.bound == "at least" else value <= self.limit)


@dataclass(frozen=True)
class Outcome:
    """The result of one benchmark, or the reason why it was skipped; the size of its input where one was given."""

    name: str
    module: ModuleType
    seconds: float
    result: Result
    skipped: str = ""
    size: int | None = None


def alternate(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each candidate, run in turns in this process, by default after one warm-up turn.

    Because candidates alternate, other load on the machine affects all of them alike. `clock` may be
    `time.process_time`, for the CPU time of all threads.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(0 if warm_up else 1, rounds + 1):
        for name, candidate in candidates.items():
            start = clock()
            candidate()
            if turn:
                seconds[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def shared_folder() -> Path:
    """The folder of real images and small detectors beside the project.

    Raises:
        SkippedError: the folder does not exist.
    """
    folder = Path(os.environ.get("UNBOXED_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data" / "flickr.toml").is_file():
        raise SkippedError(f"no real images: {folder.name}/data/flickr.toml is missing (set UNBOXED_SHARED)")
    return folder


def names() -> tuple[str, ...]:
    """Names of all benchmarks of this folder, in alphabetical order."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NO_BENCHMARKS))


def run(chosen: Sequence[str], show: Callable[[str], None], size: int | None = None) -> list[Outcome]:
    """Run the benchmarks one after another.

    Args:
        chosen: their names.
        show: called with lines of text.
        size: of the largest input, for those that take it; by default each has its own.
    """
    outcomes = []
    for name in chosen:
        module = import_module(f"benchmarks.{name}")
        show(f"{name}: {(module.__doc__ or name).splitlines()[0]}")
        given = size if "size" in signature(module.measure).parameters else None
        start = time.perf_counter()
        result: Result = {}
        skipped = ""
        try:
            result = module.measure(show) if given is None else module.measure(show, size=given)
        except SkippedError as reason:
            skipped = str(reason)
            show(f"{name}: not run: {skipped}")
        outcomes.append(Outcome(name, module, time.perf_counter() - start, result, skipped, given))
    return outcomes
