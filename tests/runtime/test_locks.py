"""One process writes, the second one waits or names the first, and what killed ones left is removed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import threading
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

import pytest
from filelock import FileLock

from unboxed.errors import BusyError, UnboxedError
from unboxed.runtime.atomic import atomic_folder
from unboxed.runtime.locks import file_lock, folder_lock, new_file_lock, remove_left_overs, write_locked

SPAWN = multiprocessing.get_context("spawn")


def _hold(path: Path, folder: bool, holds: Connection) -> None:
    with folder_lock(path) if folder else file_lock(path):
        holds.send("holds")
        if holds.recv() == "wait":
            signal.pause()


def _holder(path: Path, folder: bool) -> tuple[BaseProcess, Connection]:
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_hold, args=(path, folder, there))
    process.start()
    assert here.recv() == "holds"
    return process, here


@pytest.mark.parametrize("folder", [True, False])
def test_the_second_writer_names_the_first(tmp_path: Path, folder: bool) -> None:
    lock, path = folder_lock if folder else file_lock, tmp_path / "new" / "run"  # neither has to exist
    process, pipe = _holder(path, folder)
    found = rf"{path} is being written by process {process.pid} on {socket.gethostname()} \(.* since 20.*--wait"
    with pytest.raises(BusyError, match=found), lock(path):
        pytest.fail("two hold the lock")
    lines: list[str] = []

    def show(line: str) -> None:
        lines.append(line)
        pipe.send("end")

    with lock(path, wait=True, show=show):
        process.join()
    assert len(lines) == 1 and f"process {process.pid} on" in lines[0] and "waiting" in lines[0]


@pytest.mark.parametrize("error", [FileExistsError, FileNotFoundError])
def test_a_folder_that_its_first_writer_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    run, acquire, removals = tmp_path / "run", FileLock.acquire, [1, 1]

    def after_removal(lock: FileLock, timeout: float) -> object:
        if removals:
            removals.pop()
            run.rmdir()
            raise error
        return acquire(lock, timeout=timeout)

    monkeypatch.setattr(FileLock, "acquire", after_removal)
    with folder_lock(run):
        assert (run / ".lock").exists()
    assert not removals


@pytest.mark.parametrize("folder", [True, False])
def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path, folder: bool) -> None:
    process, pipe = _holder(tmp_path / "run", folder)
    pipe.send("wait")
    process.kill()
    process.join()
    with folder_lock(tmp_path / "run") if folder else file_lock(tmp_path / "run"):
        pass
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def _count(path: Path, times: int) -> None:
    """Adds 1 to the number in a file, which is lost when two processes read the same number."""
    for _ in range(times):
        with file_lock(path, wait=True, show=lambda line: None):
            path.write_text(str(int(path.read_text()) + 1))


def test_no_update_of_two_processes_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    processes = [SPAWN.Process(target=_count, args=(path, 100)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert path.read_text() == "200" and list(tmp_path.iterdir()) == [path]


def test_what_is_written_once_is_not_replaced_by_the_one_who_waited(tmp_path: Path) -> None:
    path, order = tmp_path / "new" / "merged", list[str]()

    def write(name: str) -> None:
        try:
            with new_file_lock(path, UnboxedError(f"{path} exists")):
                order.append(name)
                if len(order) == 1:
                    other.start()
                    while not other_waits.wait(0.01):
                        pass
                path.write_text(name)
        except UnboxedError as error:
            order.append(str(error))

    other_waits = threading.Event()
    other = threading.Thread(target=write, args=("second",))
    with mock.patch("unboxed.runtime.progress.show", lambda line: other_waits.set()):
        write("first")
        other.join()
    assert order == ["first", f"{path} exists"] and path.read_text() == "first"


@pytest.mark.parametrize("name", ["", ".", "..", "/", "run/.."])
def test_a_path_without_a_name_of_its_own_is_not_replaced(name: str) -> None:
    with pytest.raises(UnboxedError, match="cannot be replaced; name a file or folder in it"), file_lock(Path(name)):
        pass


def test_an_error_releases_the_lock(tmp_path: Path) -> None:
    for lock in (file_lock, folder_lock):
        with pytest.raises(ZeroDivisionError), lock(tmp_path / "run"):
            raise ZeroDivisionError
        with lock(tmp_path / "run"):
            pass
    assert list(tmp_path.iterdir()) == []  # no lock, and no folder that was made for it


@pytest.mark.parametrize("again", [True, False])
def test_a_folder_that_is_removed_meanwhile_is_an_error(tmp_path: Path, again: bool) -> None:
    with (
        pytest.raises(UnboxedError, match="run was removed while it was written; remove what is left, and repeat"),
        folder_lock(tmp_path / "run"),
    ):
        (tmp_path / "run" / ".lock").rename(tmp_path / "kept")  # its number could be given to another file
        (tmp_path / "run").rmdir()
        if again:
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / ".lock").touch()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(UnboxedError, match="run is a file"), folder_lock(tmp_path / "run"):
        pass


_KILLED = json.dumps({"pid": 1234, "host": "here", "since": "2026-01-01 00:00:00", "command": "unboxed fit"})
_LEFT = [
    ".config.1234-0.partial.json",
    ".cells.lock",
    ".checkpoint.safetensors.999999",  # of an earlier version
    ".tmpAbC456",  # of the writer of safetensors
    "shards/.000001.4-0.partial.safetensors",
    "shards/.000002.4-0.safetensors",
    "shards/run/.lock",
    "shards/run/.a.1-1.partial.json",
]
_KEPT = [
    ".notes",
    ".notes.2024",
    ".gitignore",
    "model.safetensors",
    ".merged.17-0.old",  # all that is left of `merged`, which `file_lock` restores
    "shards/000001.safetensors",
    "shards/other/.lock",
    "shards/other/.a.1-1.partial.json",  # its lock belongs to another process
    "shards/b/c/d/.a.1-1.partial.json",  # too deep to be written by this package
    "elsewhere/.a.1-1.partial.json",
]
_OF_OTHER_PROGRAMS = [
    ".tmpAbC123/thesis.tex",
    ".settings.json.1",
    ".notes.txt.2",
    ".poetry.lock",
    "shards/.venv/.lock",
    "shards/.data.json.7",
]


def _write(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(_KILLED if name in _LEFT + _KEPT else "")


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_left_overs_are_removed_from_a_folder_and_nothing_else(tmp_path: Path) -> None:
    _write(tmp_path, _LEFT + _KEPT + _OF_OTHER_PROGRAMS)
    (tmp_path / ".models.3-1.partial").mkdir()
    (tmp_path / ".models.3-1.partial" / "a.onnx").touch()
    with FileLock(tmp_path / "shards" / "other" / ".lock"), folder_lock(tmp_path):
        assert {*_LEFT, *_KEPT, *_OF_OTHER_PROGRAMS} <= _files(tmp_path)  # until the caller has recognized the folder
        remove_left_overs(tmp_path, ["shards", "missing"])
        assert _files(tmp_path) == {*_KEPT, *_OF_OTHER_PROGRAMS, ".lock"}
    assert not (tmp_path / ".lock").exists() and not (tmp_path / ".models.3-1.partial").exists()


def test_what_a_process_writes_now_in_the_folder_of_another_one_is_no_left_over(tmp_path: Path) -> None:
    with file_lock(tmp_path / "merged"), atomic_folder(tmp_path / "merged") as partial:
        (partial / "complete").touch()
        with folder_lock(tmp_path):
            remove_left_overs(tmp_path)
    assert (tmp_path / "merged" / "complete").is_file()


@pytest.mark.parametrize("name", [".lock", ".run.lock"])
def test_the_file_of_another_program_under_the_name_of_a_lock_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("of another program")
    with folder_lock(tmp_path) if name == ".lock" else file_lock(tmp_path / "run"):
        remove_left_overs(tmp_path)
    assert (tmp_path / name).read_text() == "of another program"


def test_left_overs_of_a_file_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    mine, others = (
        [".a [1].7-0.partial.json", ".a [1].7-1.partial.json"],
        [".a.7-1.partial.json", ".b.7-1.partial.json"],
    )
    for name in mine + others:
        (tmp_path / name).touch()
    with file_lock(tmp_path / "a [1].json"):
        assert {path.name for path in tmp_path.iterdir()} == {*others, ".a [1].json.lock"}


def test_a_text_is_written_when_nobody_else_writes_it_and_left_overs_go(tmp_path: Path) -> None:
    (tmp_path / ".page.7-0.partial.html").touch()
    write_locked(tmp_path / "page.html", "complete")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("page.html", "complete")]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError), folder_lock(tmp_path):
        pass
