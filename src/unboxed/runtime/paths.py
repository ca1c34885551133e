"""Paths that people give as strings in Python."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

__all__ = ["accept_strings"]


def accept_strings(options: Any) -> None:
    """Make `Path`s of strings in those fields of a dataclass, also a frozen one, whose type has paths.

    Args:
        options: called in its `__post_init__`.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        if "Path" not in str(field.type) or not isinstance(value, str | list | tuple):
            continue
        found = Path(value) if isinstance(value, str) else tuple(Path(v) if isinstance(v, str) else v for v in value)
        object.__setattr__(options, field.name, found)
