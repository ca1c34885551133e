"""Processes of cells: why one of them failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from unboxed.experiments import workers
from unboxed.experiments.cells import Cell

CELL = Cell("vse", "", 0, "scenes", "data.toml", "val", "store")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9 ended its process"),
        ("sys.exit('error: the disk is full')", "error: the disk is full"),
    ],
)
def test_a_killed_process_is_told_apart_from_one_that_printed_an_error(
    end: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(cell: Cell, folder: Path, threads: int) -> subprocess.Popen[bytes]:
        program = f"import os, signal, sys; print('Evaluating on val', flush=True); {end}"
        with workers.log_file(folder, cell.name).open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", program], stdout=log, stderr=log)

    (tmp_path / "cells").mkdir()
    monkeypatch.setattr(workers, "_start", start)
    reasons: list[str] = []
    workers.run_cells([CELL], tmp_path, 2, lambda cell, why: reasons.append(why))
    assert len(reasons) == 1 and reasons[0].startswith(reason)
