"""A file lock lets one process at a time through, and is released when its process is killed."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from unboxed.runtime.locks import file_lock

SPAWN = multiprocessing.get_context("spawn")


def _count(path: Path, times: int) -> None:
    """Adds 1 to the number in a file, which is lost when two processes read the same number."""
    for _ in range(times):
        with file_lock(path):
            path.write_text(str(int(path.read_text()) + 1))


def test_no_update_of_two_processes_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    processes = [SPAWN.Process(target=_count, args=(path, 200)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert path.read_text() == "400"


def _hold(path: Path, holds: Connection) -> None:
    with file_lock(path):
        holds.send("holds")
        signal.pause()


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run"  # neither has to exist
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_hold, args=(path, there))
    process.start()
    assert here.recv() == "holds"
    process.kill()
    process.join()
    with file_lock(path):
        assert [file.name for file in path.parent.iterdir()] == [".run.lock"]


def test_an_error_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "run"):
        raise ZeroDivisionError
    with file_lock(tmp_path / "run"):
        pass
