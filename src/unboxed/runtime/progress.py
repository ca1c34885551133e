"""Progress of long work: a bar with the time left on a terminal; else a line each tenth of it, and each half minute."""

from __future__ import annotations

import atexit
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

__all__ = [
    "Report",
    "Show",
    "TrainingProgress",
    "counted",
    "escaped",
    "one_line",
    "shortened",
    "show",
    "to_call",
    "track",
]

T = TypeVar("T")

Show = Callable[[str], None]
"""Called with a line of text at every stage of long work; `show` is one."""

Report = Callable[[dict[str, Any]], None]
"""Called with every entry of a training log."""
_SECONDS = 30  # between lines, at most
_LONGEST = 2000  # characters of a line
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # without tabs and line breaks


def escaped(text: str) -> str:
    """Text without the codes that control a terminal, which names of files and captions may hold; they become escapes.

    Examples:
        >>> escaped("two.jpg"), escaped("\\x1b[31mred.jpg")
        ('two.jpg', '\\\\x1b[31mred.jpg')
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """`escaped` text on one line; line breaks and tabs, which names of files may hold, become escapes too."""
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def shortened(text: str) -> str:
    """A text without the middle of what is too long for a terminal, such as a file that is one line."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"


def show(text: str) -> None:
    """Print lines on standard error, if anybody reads them; standard output is for what programs read.

    Long lines are shortened, and codes that control a terminal are escaped.
    """
    if sys.stderr is not None:  # else `print` would take standard output
        with suppress(OSError):  # a closed pipe or a full disk, which must not end the work
            print(_for_terminal(text), file=sys.stderr, flush=True)


def _for_terminal(text: str) -> str:
    return "\n".join(shortened(escaped(line)) for line in text.split("\n"))


def track(items: Iterable[T], label: str, total: int, progress: bool = True) -> Iterator[T]:
    """The same items, one by one; with `progress`, shows how many of `total` are done, the rate and the time left."""
    meter = _Meter(label, total) if progress else None
    try:
        for done, item in enumerate(items, start=1):
            yield item
            if meter is not None:
                meter.update(done)
    finally:
        if meter is not None:
            meter.close()


class TrainingProgress:
    """A callback that shows the entries of a training log as they are written."""

    def __init__(self, label: str = "Training") -> None:
        self._label = label
        self._meter: _Meter | None = None

    def __call__(self, entry: dict[str, Any]) -> None:
        """Show one log entry: the losses of a training step, or the validation metrics of an epoch."""
        if self._meter is None:
            self._meter = _Meter(self._label, entry["steps"], entry["step"])
        if "val_loss" in entry:
            best = ", best so far" if entry["best"] else ""
            self._meter.line(
                f"Epoch {entry['epoch'] + 1}: validation loss {entry['val_loss']:.3f}, "
                f"validation rsum {entry['val_rsum']:.1f}{best}"
            )
        else:
            # The share of the time that the training step has waited for its batch.
            self._meter.update(entry["step"], f"loss {entry['loss']:.3f}, waiting {entry['waiting']:.0%}")
        if entry["step"] >= entry["steps"] and "val_loss" in entry:
            self._meter.close()


class _Meter:
    """A progress bar, or the plain lines in its place."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._label, self._total, self._first = label, total, done
        self._shown = done
        self._started = self._line_time = time.monotonic()
        console = Console(stderr=True)
        self._bar = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self._task = self._bar.add_task(label, total=total, completed=done, rate="", note="")
            self._bar.start()
            atexit.register(self.close)  # of a training that is interrupted; else the terminal has no cursor any more

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        rate = (done - self._first) / max(now - self._started, 1e-9)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rate=f"{rate:.1f}/s", note=note)
        elif done * 10 // self._total > self._shown * 10 // self._total or now - self._line_time >= _SECONDS:
            self._shown, self._line_time = done, now
            left = (self._total - done) / max(rate, 1e-9)
            show(
                f"{self._label}: {done:,} of {self._total:,}, {rate:.1f}/s, {left:.0f} s left"
                + (f", {note}" if note else "")
            )

    def line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(_for_terminal(text), markup=False, highlight=False)
        else:
            show(text)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            atexit.unregister(self.close)


def to_call(*words: object) -> str:
    """A call of `unboxed` to copy: arguments with blanks and other special characters are quoted for the shell."""
    return shlex.join(["unboxed", *map(str, words), *_in_every_call])


def add_to_calls(words: Iterable[object]) -> None:
    """Set the options that every call of `to_call` ends with, such as the plugins of this process."""
    _in_every_call[:] = map(str, words)


_in_every_call: list[str] = []


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 epoch`, `1,200 epochs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
