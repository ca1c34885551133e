"""The command `unboxed bench`, for those who work on the library itself."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.errors import BenchmarkError
from unboxed.runtime.progress import show

__all__ = ["bench"]

_CHECKOUT = Path(__file__).resolve().parents[3]


def bench(
    names: Positional[tuple[str, ...]] = (),
    /,
    json: bool = False,
    write: Path | None = None,
    size: float | None = None,
) -> None:
    """Measure speed and memory against plain references. Needs a checkout of the source code.

    Args:
        names: benchmarks to run, each a file of `benchmarks/`; all by default.
        json: print one JSON object with the results by name.
        write: also write the results as a page, such as performance.md, with its plots in assets/ beside it.
        size: number of images or vectors of the benchmarks that measure several sizes, such as 1e7 for vector_search.
    """
    if not (_CHECKOUT / "benchmarks" / "harness.py").is_file():
        raise BenchmarkError(
            "The benchmarks are not part of the installed package; run `unboxed bench` from a checkout of the source "
            "that is installed with `pip install --editable .`."
        )
    if size is not None and not 1 <= size <= 1e10:
        raise BenchmarkError(f"--size is {size:g}; expected a number of images or vectors from 1 to 1e10.")
    sys.path.insert(0, str(_CHECKOUT))  # first, because other packages also install a folder called benchmarks
    harness, page = import_module("benchmarks.harness"), import_module("benchmarks.page")
    unknown = [name for name in names if name not in harness.names()]
    if unknown:
        raise BenchmarkError(f"There is no benchmark {unknown[0]!r}; there are {', '.join(harness.names())}.")
    outcomes: list[Any] = []
    for name in names or harness.names():
        outcomes += harness.run([name], show, None if size is None else int(size))
        if write is not None:  # after each benchmark, so that a later failure loses nothing
            page.write(write, outcomes)
            show(f"Page: {write}")
    if json:
        print_json({found.name: {"skipped": found.skipped} if found.skipped else found.result for found in outcomes})
    else:
        for found in outcomes:
            print(*page.lines_for_people(found), sep="\n")
