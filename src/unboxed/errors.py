"""The errors that a user can cause. Each message states what was found, what was expected, and the fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "BenchmarkError",
    "BusyError",
    "CaptionError",
    "DatasetError",
    "EvaluationError",
    "ExportError",
    "ImageError",
    "ModelError",
    "NoRegionsError",
    "RegionsError",
    "RunError",
    "SearchError",
    "StoreError",
    "StudioError",
    "UnboxedError",
    "errors_of",
    "plain_reason",
]


class UnboxedError(Exception):
    """The base of all errors of this library; the command line prints it without a traceback and exits with 2."""


class BusyError(UnboxedError):
    """A file or folder that another process is writing."""


class DatasetError(UnboxedError):
    """A dataset file, an annotation or a split that cannot be read as described."""


class ImageError(UnboxedError):
    """A file that cannot be decoded as an image: missing, truncated, too large, or of another format."""


class CaptionError(UnboxedError):
    """A caption without words, or a phrase whose span does not lie in its caption."""


class RegionsError(UnboxedError):
    """A region source that cannot be used, or regions that are malformed: shapes, class names, no regions at all."""


class NoRegionsError(RegionsError):
    """An image in which no source proposes a region; others may have some."""


class StoreError(UnboxedError):
    """A store of regions that cannot be used: made with other settings, incomplete, or damaged."""


class ModelError(UnboxedError):
    """A model file or a language model that cannot be used."""


class DeviceError(UnboxedError):
    """A device that is not there, or on which a network cannot run."""


class RunError(UnboxedError):
    """A run folder that is missing, damaged, written by a newer version, or cannot be resumed with these options."""


class EvaluationError(UnboxedError):
    """Predictions that cannot be scored or compared: no gold box at all, or scores of different phrases."""


class ExportError(UnboxedError):
    """An export that cannot be written: a recipe or a format that does not support it, or a folder in use."""


class BenchmarkError(UnboxedError):
    """A benchmark that does not exist, or an installation without benchmarks."""


class StudioError(UnboxedError):
    """A studio that cannot start: a port in use, a public address without a token, no images."""


class EngineError(UnboxedError):
    """Ray that is not installed, does not answer, or failed."""


class SearchError(UnboxedError):
    """An index that is missing, damaged, of another run or a newer version, or does not support the query."""


@contextmanager
def errors_of(file: Path) -> Iterator[None]:
    """Errors about values that are used within the block name the file that has them, at their beginning.

    Raises:
        UnboxedError: of the same kind as that of the block.
    """
    try:
        yield
    except UnboxedError as error:
        if str(error).startswith(f"{file}"):
            raise
        raise type(error)(f"{file}: {error}") from error


def plain_reason(error: BaseException) -> str:
    """What went wrong, in the words of a library or the operating system: one line, no error numbers, never empty.

    Examples:
        >>> plain_reason(FileNotFoundError(2, "No such file or directory")), plain_reason(KeyError("images"))
        ('No such file or directory', "there is no 'images'")
        >>> plain_reason(EOFError())
        'it ends too early'
    """
    if isinstance(error, KeyError) and type(error) is KeyError and error.args:
        return f"there is no {error.args[0]!r}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not {error.encoding.upper()} text"
    if isinstance(error, AttributeError):
        return "a value of the wrong kind"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = re.sub(r"^\[(Errno|WinError) -?\d+\] ", "", (text.strip().splitlines() or [""])[0])
    return line.rstrip(".:") or ("it ends too early" if isinstance(error, EOFError) else type(error).__name__)
