"""A reader finds the old content or the new one, after an error and after a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import UnboxedError
from unboxed.runtime import atomic
from unboxed.runtime.atomic import (
    PAGES,
    atomic_folder,
    atomic_path,
    is_temporary,
    require_name,
    require_output,
    require_writable,
    restore_folder,
    write_json,
    write_text,
)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    """Files get 0640 and folders 0750 while the test runs."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.parametrize("name", ["n" * 250 + ".txt", "ü" * 120 + ".json"])
def test_a_name_as_long_as_the_system_allows_is_written(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    write_text(file, "content")
    assert file.read_text() == "content" and [path.name for path in tmp_path.iterdir()] == [name]
    left = atomic._temporary(file)
    left.touch()
    assert is_temporary(left.name, of=file) and not is_temporary(left.name, of=tmp_path / "n.txt")


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "new.txt", tmp_path / "new" / "folder" / "a.txt"):
        require_writable(path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        require_writable(tmp_path / "file" / "a.txt")


def test_text_and_json_are_written_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "déjà vu\n")
    write_json(tmp_path / "new" / "b.json", {"ü": [1, 2]})
    assert (tmp_path / "new" / "a.txt").read_bytes() == "déjà vu\n".encode()
    text = (tmp_path / "new" / "b.json").read_text("utf-8")
    assert json.loads(text) == {"ü": [1, 2]} and "ü" in text and text.endswith("}\n")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.txt", "b.json"]


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    path.write_text("old")
    with atomic_path(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(ZeroDivisionError), atomic_path(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_libraries_that_choose_the_format_by_the_suffix_write_through_it(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "table.npz") as partial:
        np.savez(partial, a=np.arange(3))
    with atomic_path(tmp_path / "picture.PNG") as partial:
        Image.new("RGB", (2, 3)).save(partial)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.PNG", "table.npz"]
    with np.load(tmp_path / "table.npz") as table, Image.open(tmp_path / "picture.PNG") as picture:
        assert table["a"].tolist() == [0, 1, 2]
        assert (picture.format, picture.size) == ("PNG", (2, 3))


def test_two_writers_of_one_process_do_not_share_their_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # it ends last


@pytest.mark.usefixtures("umask")
def test_the_umask_decides_on_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "text")
    with atomic_folder(tmp_path / "folder") as partial:
        (partial / "inside.txt").write_text("text")
    assert _mode(tmp_path / "file.txt") == _mode(tmp_path / "folder" / "inside.txt") == 0o640
    assert _mode(tmp_path / "folder") == 0o750


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_replaces_the_whole_old_one(tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchange:  # as on systems that cannot do it in one step
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    path = tmp_path / "deep" / "index"
    for names in (("a", "b"), ("c",)):
        with atomic_folder(path) as partial:
            (partial / "inner").mkdir()
            for name in names:
                (partial / "inner" / name).write_text(name)
        assert sorted(file.name for file in (path / "inner").iterdir()) == sorted(names)
    with pytest.raises(ZeroDivisionError), atomic_folder(path) as partial:
        (partial / "half").touch()
        raise ZeroDivisionError
    assert [file.name for file in path.iterdir()] == ["inner"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("target", ["folder", "file", "nothing"])
def test_a_link_is_replaced_and_what_it_leads_to_stays(
    target: str, exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "folder").mkdir(parents=True)
    (elsewhere / "folder" / "inside").touch()
    (elsewhere / "file").touch()
    before = sorted(elsewhere.rglob("*"))
    (tmp_path / "link").symlink_to(elsewhere / target)
    with atomic_folder(tmp_path / "link") as partial:
        (partial / "new").touch()
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "link" / "new").is_file()
    assert sorted(elsewhere.rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not name open files")
def test_everything_is_flushed_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append(("old " if not (tmp_path / "a").exists() else "new ") + target.suffix)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_path(tmp_path / "a") as partial:
        partial.write_text("text")
    assert [entry.split(" ")[0] for entry in flushed] == ["old", "new"]  # the file before, its folder after
    flushed.clear()
    with atomic_folder(tmp_path / "b") as partial:
        (partial / "1.txt").touch()
        (partial / "2.txt").touch()
    assert flushed.count("new .txt") == 2 and len(flushed) == 4  # both files, the new folder, the one that contains it


def _write_half(path: Path, folder: bool, begun: Connection) -> None:
    with atomic_folder(path) if folder else atomic_path(path) as partial:
        (partial / "file" if folder else partial).write_text("new")
        begun.send("begun")
        signal.pause()


@pytest.mark.parametrize("folder", [False, True])
def test_a_process_that_is_killed_leaves_the_old_content(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "result"
    if folder:
        path.mkdir()
    (path / "file" if folder else path).write_text("old")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_write_half, args=(path, folder, there))
    process.start()
    assert here.recv() == "begun"
    process.kill()
    process.join()
    assert (path / "file" if folder else path).read_text() == "old"
    left = [other for other in tmp_path.iterdir() if other != path]
    assert len(left) == 1 and is_temporary(left[0].name, of=path)


def test_a_folder_whose_successor_cannot_take_its_name_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "file").write_text("old")
    replace = Path.replace
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)

    def refuse(self: Path, target: Path) -> Path:
        if target == path and (self / "file").read_text() == "new":
            raise OSError("no space left")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no space left"), atomic_folder(path) as partial:
        (partial / "file").write_text("new")
    assert (path / "file").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux exchanges two names")
def test_there_is_always_a_folder_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    (path / "old").mkdir(parents=True)
    monkeypatch.setattr(Path, "replace", lambda self, target: pytest.fail("renamed"))
    with atomic_folder(path) as partial:
        (partial / "new").mkdir()
    assert [entry.name for entry in path.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [path]


def test_a_folder_gets_its_name_back_after_a_kill_between_two_renames(tmp_path: Path) -> None:
    path = tmp_path / "index.v1"
    (tmp_path / ".index.12-4.old.v1").mkdir()
    (tmp_path / ".index.12-3.partial.v1").mkdir()
    (tmp_path / ".index.12-5.old.v2").mkdir()  # of another folder
    restore_folder(path)
    restore_folder(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        ".index.12-3.partial.v1",
        ".index.12-5.old.v2",
        "index.v1",
    ]


def test_many_files_are_flushed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "sync", lambda: calls.append("sync"), raising=False)
    with atomic_folder(tmp_path / "images") as partial:
        for number in range(200):
            (partial / str(number)).touch()
    assert calls == ["sync"]


@pytest.mark.parametrize("name", ["a", "a.json", "model.v2.safetensors", ".hidden", "[x] y.png"])
def test_temporary_names_are_known_again(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as partial:
        partial.touch()
        assert is_temporary(partial.name) and is_temporary(partial.name, of=tmp_path / name)
        assert not is_temporary(partial.name, of=tmp_path / f"other{name}") and not is_temporary(name)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
@pytest.mark.parametrize("place", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/dev/../dev/tty"])
def test_no_device_is_replaced(place: str) -> None:
    """A user with all rights could: /dev/null would be a file for every program from then on."""
    with pytest.raises(UnboxedError, match="is a device or a stream, which a file would replace"):
        require_output(Path(place))
    with pytest.raises(UnboxedError, match="is a device or a stream"):
        require_name(Path(place))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "folder is a folder; name a file, such as .*folder/out"),
        ("a.txt", r"a.txt is no name for this file; let it end in .html or .htm"),
        ("read.html", "read.html is read by this command, which would replace it"),
        ("folder/../read.html", "is read by this command"),
    ],
)
def test_a_file_that_cannot_be_written_is_found_before_the_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "read.html").touch()
    with pytest.raises(UnboxedError, match=message):
        require_output(tmp_path / name, tmp_path / "read.html", tmp_path / "missing", suffixes=PAGES)
    require_output(tmp_path / "new" / "page.html", tmp_path / "read.html", suffixes=PAGES)
    require_output(None, tmp_path / "read.html")
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "read.html"}
