"""The precision that a trained model computes in.

    32          single precision
    bf16        linear layers multiply in bfloat16
    fp16        linear layers multiply in float16

Weights, embeddings, attention and scores stay in single precision. `UNBOXED_PRECISION` names the precision where
neither an argument nor an option does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from unboxed.errors import DeviceError

__all__ = ["PRECISIONS", "PRECISION_VARIABLE", "checked_precision", "computing_in", "current_precision"]

PRECISIONS = ("32", "bf16", "fp16")
PRECISION_VARIABLE = "UNBOXED_PRECISION"
"""The environment variable that names the precision by default; worker processes inherit it."""

_named: ContextVar[str | None] = ContextVar("precision", default=None)


def checked_precision(name: str) -> str:
    """The name itself.

    Raises:
        DeviceError: there is no such precision.
    """
    if name not in PRECISIONS:
        raise DeviceError(f"There is no precision {name!r}; known are {', '.join(PRECISIONS)}.")
    return name


def current_precision() -> str:
    """The precision of the innermost `computing_in`, else the one that `UNBOXED_PRECISION` names, else 32."""
    return checked_precision(_named.get() or os.environ.get(PRECISION_VARIABLE) or "32")


@contextmanager
def computing_in(name: str | None) -> Iterator[str]:
    """A context in which models are loaded to compute in a precision; None keeps the current one.

    Raises:
        DeviceError: there is no such precision.
    """
    token = _named.set(_named.get() if name is None else checked_precision(name))
    try:
        yield current_precision()
    finally:
        _named.reset(token)
