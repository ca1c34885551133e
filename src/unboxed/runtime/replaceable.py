"""Folders that a command replaces as a whole: only what it has written itself may go."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

__all__ = ["first_line", "foreign_entries"]

_OF_FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini")
_LONGEST_LINE = 10_000


def foreign_entries(folder: Path, written: Collection[str]) -> list[str]:
    """The names in a folder, in order, that a command does not write; those of file managers do not count.

    Args:
        folder: it may be missing.
        written: the names that the command writes; none where the folder is not recognized as one that it has written.
    """
    found = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [name for name in found if name not in written and name not in _OF_FILE_MANAGERS]


def first_line(file: Path) -> str | None:
    """The first line of a text file, by which it is recognized; None where there is no such file."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return lines.readline(_LONGEST_LINE).rstrip("\n")
    except OSError:
        return None
