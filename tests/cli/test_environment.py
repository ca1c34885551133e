"""Errors of the environment end in one line that names the file and the fix."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unboxed.cli import COMMANDS, demo, main
from unboxed.cli.environment import environment_error
from unboxed.errors import UnboxedError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "run/model"),
            "run/model: No space left on device; free some",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission denied; change its permissions"),
        (OSError(errno.EXDEV, "Cross-device link", "a", None, "b"), "a and b: Cross-device link; check the path"),
        (OSError("odd"), "odd; check the path and the disk."),
        (RecursionError("maximum recursion depth exceeded"), "A file is nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "not in the expected encoding"),
        (MemoryError(), "There is not enough memory"),
        (RuntimeError("Symlink loop from 'a'"), "'a' is a link that leads to itself; put a file in its place"),
    ],
)
def test_each_error_is_one_line_with_a_fix(error: Exception, line: str) -> None:
    found = environment_error(error)  # type: ignore[arg-type]
    assert line in found and "\n" not in found and found.endswith(".")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_in_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "run.json")
    waits_not = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    monkeypatch.setitem(COMMANDS, "demo", lambda: os.open(tmp_path / "run.json", waits_not))
    with pytest.raises(SystemExit, match="2"):
        main(["demo"])
    assert capsys.readouterr().err == f"error: {tmp_path / 'run.json'}: It is a named pipe; put a file in its place.\n"
    here, there = os.pipe()  # that of a shell
    os.close(os.open(f"/dev/fd/{here}", waits_not))
    os.close(here), os.close(there)


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="this system has no /dev/zero")
def test_a_device_without_an_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").symlink_to("/dev/zero")
    monkeypatch.setitem(COMMANDS, "demo", lambda: (tmp_path / "table.csv").read_bytes())
    with pytest.raises(SystemExit, match="2"):
        main(["demo"])
    assert capsys.readouterr().err == f"error: {tmp_path / 'table.csv'}: It is a device; put a file in its place.\n"
    Path(os.devnull).read_bytes()


def test_a_message_with_a_whole_file_is_shortened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise UnboxedError(f"begin {'[' * 100_000} end.")

    monkeypatch.setitem(COMMANDS, "demo", fails)
    with pytest.raises(SystemExit, match="2"):
        main(["demo"])
    printed = capsys.readouterr().err
    assert printed.startswith("error: begin [[") and printed.endswith("[[ end.\n") and len(printed) < 2100


def test_the_command_line_prints_it_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "run"))

    monkeypatch.setattr(demo, "print_json", full)
    monkeypatch.setattr("unboxed.evaluation.evaluate.evaluate_run", full)
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "run", "--data", "data.toml"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'run'}: No space left on device; free some space and repeat the command; what is finished "
        "is kept.\n"
    )


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "run/config.json")
        except OSError:
            raise UnboxedError("run/config.json is damaged (Permission denied); restore it.") from None

    monkeypatch.setattr("unboxed.evaluation.evaluate.evaluate_run", refused)
    with pytest.raises(SystemExit):
        main(["evaluate", "run", "--data", "data.toml"])
    assert capsys.readouterr().err == (
        "error: run/config.json: Permission denied; change its permissions, or choose another path.\n"
    )


@pytest.mark.parametrize(
    ("made", "shown"),
    [(".x.17-3.partial.png", "x.png"), (".lock", ""), (".boxes.json.lock", "boxes.json"), (".x.17-0.old", "x")],
)
def test_errors_name_the_file_that_is_written_and_not_its_temporary_one(made: str, shown: str) -> None:
    line = environment_error(PermissionError(errno.EACCES, "Permission denied", f"out/{made}"))
    assert line.startswith(str(Path("out", shown)) + ": Permission denied")


@pytest.mark.parametrize(
    "said",
    [
        "CUDA out of memory. Tried to allocate 2 GiB",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    ],
)
def test_more_memory_than_there_is_ends_in_one_line(
    said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("unboxed.evaluation.evaluate.evaluate_run", evaluate)
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "run", "--data", "data.toml"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("error: There is not enough memory; ")


def test_sigterm_leaves_the_blocks_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that child processes end with their parent, and temporary files are removed."""
    left = []

    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            left.append(True)

    monkeypatch.setattr("unboxed.cli._run", lambda arguments: command())
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main(["demo"])
    assert (ended.value.code, left, signal.getsignal(signal.SIGTERM)) == (143, [True], before)


def test_text_that_the_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)

    def cite() -> None:
        """Print a word."""
        print("naïve")

    monkeypatch.setitem(COMMANDS, "cite", cite)
    main(["cite"])
    assert terminal.buffer.getvalue() == b"na\\xefve\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("columns", ["1", "3", "5"])
def test_help_for_a_terminal_of_few_columns_ends(columns: str) -> None:
    command = [sys.executable, "-m", "unboxed", "ground", "--help"]
    shown = subprocess.run(command, env=os.environ | {"COLUMNS": columns}, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and "--json" in shown.stdout


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_closed_streams_stop_nothing(
    closed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with `>&-` of a shell; an error is then not written among the results."""
    for name in ("stdout", "stderr"):
        if closed in (name, "both"):
            monkeypatch.setattr(sys, name, None)
    main(["--version"])
    with pytest.raises(SystemExit) as exit_:
        main(["cite", "nowhere"])
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out.count("unboxed") == (closed == "stderr") and "error" not in printed.out
    assert ("error: nowhere" in printed.err) == (closed == "stdout")


def test_an_error_that_nobody_can_read_ends_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    with pytest.raises(SystemExit) as exit_:
        main(["cite", "nowhere"])
    assert exit_.value.code == 2
