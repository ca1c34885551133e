"""Runs the cells of a comparison one after another, or several at once in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from unboxed.errors import UnboxedError
from unboxed.experiments.cells import Cell, run_cell
from unboxed.runtime.atomic import write_text
from unboxed.runtime.openmp import limit_spinning
from unboxed.runtime.threads import available_cores

__all__ = ["log_file", "run_cells"]

_POLL_SECONDS = 0.2


def run_cells(cells: Sequence[Cell], folder: Path, jobs: int, finished: Callable[[Cell, str], None]) -> None:
    """Runs cells; one that fails does not stop the others.

    Args:
        cells: none of them finished.
        folder: of the comparison.
        jobs: cells at a time. 1 runs them in this process; more run each in a process with its share of the cores.
        finished: called after each cell, with the reason why it failed, or "".
    """
    if jobs > 1:
        _run_in_processes(cells, folder, jobs, finished)
        return
    for cell in cells:
        try:
            run_cell(cell, folder)
            finished(cell, "")
        except UnboxedError as error:
            finished(cell, str(error))


def log_file(folder: Path, cell: str) -> Path:
    """The output of the process of a cell of this name; there is none where cells ran in the process of the comparison.

    Args:
        folder: of the comparison.
        cell: name of the cell.
    """
    return folder / "cells" / f"{cell}.log"


def _run_in_processes(cells: Sequence[Cell], folder: Path, jobs: int, finished: Callable[[Cell, str], None]) -> None:
    threads, waiting = max(available_cores() // jobs, 1), list(cells)
    running: dict[subprocess.Popen[bytes], Cell] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                running[_start(cell, folder, threads)] = cell
            time.sleep(_POLL_SECONDS)
            for process in [process for process in running if process.poll() is not None]:
                cell = running.pop(process)
                finished(cell, "" if process.returncode == 0 else _reason(process.returncode, folder, cell))
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _start(cell: Cell, folder: Path, threads: int) -> subprocess.Popen[bytes]:
    order = folder / "cells" / f"{cell.name}.order"
    write_text(order, json.dumps({"folder": str(folder.resolve()), "cell": asdict(cell)}))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    limit_spinning(environment)
    with log_file(folder, cell.name).open("ab") as log:
        command = [sys.executable, "-m", "unboxed.experiments.cells", str(order)]
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)


def _reason(status: int, folder: Path, cell: Cell) -> str:
    """Why the process of a cell failed: the signal that killed it, or else the last line of its log."""
    if status < 0:
        return (
            f"signal {-status} ended its process, as the system does where memory is short; call the command again to "
            "continue it, with fewer --jobs"
        )
    lines = log_file(folder, cell.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"its process ended with status {status}"
