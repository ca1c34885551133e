"""Names of splits: `validation`, `valid` and `dev` are other names of `val`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unboxed.errors import DatasetError

__all__ = ["SPLIT_NAMES", "is_split", "split_meant", "split_named"]

_USUAL = {
    "training": "train",
    "restval": "train",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "eval": "val",
    "testing": "test",
    **{name: name for name in ("train", "val", "test")},
}

SPLIT_NAMES = tuple(_USUAL)
"""All names of the splits of training, validation and test."""


def split_named(value: Any, where: str = "") -> str | None:
    """The name of a split; other names of `train`, `val` and `test` are replaced, None stays.

    >>> split_named("Validation"), split_named("testA"), split_named("")
    ('val', 'testA', None)

    Raises:
        DatasetError: no text.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise DatasetError(f"{where}: `split` is {value!r}; expected text.")
    name = value.strip()
    return _USUAL.get(name.lower(), name) or None


def split_meant(name: str, names: Iterable[str]) -> str | None:
    """The one of some splits that a name means: that of this name, or else the first with another name of the same.

    >>> split_meant("validation", ["train", "val"]), split_meant("val", ["dev", "val"]), split_meant("val", ["train"])
    ('val', 'val', None)
    """
    names = tuple(names)
    if name in names:
        return name
    return next((known for known in names if split_named(known) == split_named(name)), None)


def is_split(value: Any) -> bool:
    """Whether a value names the split of training, validation or test."""
    return isinstance(value, str) and value.strip().lower() in _USUAL
