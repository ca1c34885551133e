"""Reads TOML files, which may come from anyone."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

__all__ = ["read_toml"]


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8 or no TOML, is nested too deeply, or has a number that is too long to be shown.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        repr(values)  # fails for a number of more than 4,300 digits, which hexadecimal ones may have
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return values
