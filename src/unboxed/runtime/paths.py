"""Paths that people give as strings in Python, and single values of options that take several."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

__all__ = ["accept_strings"]


def accept_strings(options: Any) -> None:
    """Make `Path`s of strings in those fields of a dataclass, also a frozen one, whose type has paths.

    In fields of several values, one text or path stands for a tuple of itself, and a list for a tuple.

    Args:
        options: called in its `__post_init__`.
    """
    for field in fields(options):
        value, kind = getattr(options, field.name), str(field.type)
        if not isinstance(value, str | Path | list | tuple):
            continue
        if "tuple[" in kind:
            value = (value,) if isinstance(value, str | Path) else tuple(value)
        if "Path" in kind:
            value = tuple(map(_path, value)) if isinstance(value, tuple) else _path(value)
        object.__setattr__(options, field.name, value)


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value
