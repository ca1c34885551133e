"""Paths that people give as strings in Python, and single values of options that take several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from unboxed.errors import UnboxedError

__all__ = ["accept_strings"]


def accept_strings(options: Any) -> None:
    """Make `Path`s of strings in those fields of a dataclass, also a frozen one, whose type has paths.

    In fields of several values, one value stands for a tuple of itself, and a list for a tuple.

    Args:
        options: called in its `__post_init__`.

    Raises:
        UnboxedError: None, or a tuple with None, in a field whose type has no None.
    """
    for field in fields(options):
        value, kind = getattr(options, field.name), str(field.type)
        if "tuple[" in kind:
            value = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
        values = value if isinstance(value, tuple) else (value,)
        if "None" not in kind and any(one is None for one in values):
            raise UnboxedError(f"{type(options).__name__} has None for {field.name}; leave it out, or give a value.")
        if "Path" in kind:
            value = tuple(map(_path, value)) if isinstance(value, tuple) else _path(value)
        object.__setattr__(options, field.name, value)


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value
