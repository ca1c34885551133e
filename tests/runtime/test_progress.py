"""Progress goes to standard error: a bar on a terminal, elsewhere a line for every tenth and every half minute."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from unboxed.runtime import progress
from unboxed.runtime.progress import TrainingProgress, escaped, show, to_call, track


def test_every_item_comes_through_and_every_tenth_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter(range(40)), "Counting", 40)) == list(range(40))
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 10
    assert [line.split(",")[0] for line in lines] == [f"Counting: {4 * k} of 40" for k in range(1, 11)]
    assert list(track(range(3), "Counting", 3, progress=False)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_slow_work_shows_a_line_every_half_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=8.0)  # seconds that each item takes
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert len(list(track(range(99), "Waiting", 99))) == 99
    shown = [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]
    assert shown[:3] == [4, 8, 10] and max(b - a for a, b in itertools.pairwise(shown)) == 4


def test_a_line_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show("Done.")
    assert capsys.readouterr() == ("", "Done.\n")


ENTRIES = [
    {"step": 1, "steps": 2, "loss": 1.5, "waiting": 0.25},
    {"step": 2, "steps": 2, "loss": 0.5, "waiting": 0.0},
    {"step": 2, "steps": 2, "epoch": 0, "val_loss": 0.75, "val_rsum": 321.04, "best": True},
]


def test_the_log_of_a_training_run(capsys: pytest.CaptureFixture[str]) -> None:
    report = TrainingProgress()
    for entry in ENTRIES:
        report(entry)
    assert "Training: 2 of 2" in (shown := capsys.readouterr().err) and "loss 0.500, waiting 0%" in shown
    assert "Epoch 1: validation loss 0.750, validation rsum 321.0, best so far" in shown


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    report = TrainingProgress("Learning")
    for entry in ENTRIES:
        report(entry)
    shown = capsys.readouterr().err
    assert "Learning" in shown and "2/2" in shown and "best so far" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_has_its_cursor_after_a_training_that_was_interrupted() -> None:
    program = (
        "from unboxed.runtime.progress import TrainingProgress\n"
        f"TrainingProgress()({ENTRIES[0]})\n"
        "raise KeyboardInterrupt"
    )
    terminal, end = os.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=end, stderr=end, env=environment):
        os.close(end)
        shown = b""
        with suppress(OSError):  # the process has ended
            while part := os.read(terminal, 4096):
                shown += part
    os.close(terminal)
    hidden, visible = b"\x1b[?25l", b"\x1b[?25h"
    assert hidden in shown and shown.rindex(visible) > shown.rindex(hidden)


def test_names_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Colours, titles, carriage returns and texts from right to left are shown as escapes."""
    show("Skipped \x1b]0;title\x07\x1b[31mred.jpg\r\u202egpj.exe, größe 😀.jpg")
    assert capsys.readouterr().err == ("Skipped \\x1b]0;title\\x07\\x1b[31mred.jpg\\r\\u202egpj.exe, größe 😀.jpg\n")
    assert escaped("two\nlines\tof text") == "two\nlines\tof text"


def test_a_line_that_no_terminal_can_show_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    show(f"Skipped {'a' * 300_000}.jpg\nSkipped b.jpg")
    long, short = capsys.readouterr().err.splitlines()
    assert long.startswith("Skipped aaa") and long.endswith("aaa.jpg") and len(long) < 2000 and short == "Skipped b.jpg"


def test_calls_to_copy_are_quoted_for_the_shell() -> None:
    assert to_call("fit", "--data", Path("my photos"), "--out", "run") == "unboxed fit --data 'my photos' --out run"
