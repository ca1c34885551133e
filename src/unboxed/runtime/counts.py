"""Checks of the values of options: numbers in a range, and names among the known ones."""

from __future__ import annotations

from typing import Any, get_args

from unboxed.errors import UnboxedError

__all__ = ["require_count", "require_literal", "require_workers"]

_LARGEST = 2**31 - 1
_WORKERS = 1024


def require_count(
    option: str, value: int, *, least: int = 1, most: int = _LARGEST, error: type[UnboxedError] = UnboxedError
) -> None:
    """Raise an error for a number out of range.

    Args:
        option: its name, for the message.
        value: of the option.
        least, most: the smallest and the largest possible value.
        error: the kind of error.

    Raises:
        UnboxedError: the value is not in the range; of the kind that `error` names.
    """
    if not least <= value <= most:
        given = f"{value}" if abs(value) < 10**20 else "too large"  # Python refuses to print very long numbers
        raise error(f"{option} is {given}; expected a number from {least} to {most:,}.")


def require_literal(name: str, value: object, literal: Any, error: type[Exception] = ValueError) -> None:
    """Raise an error for a value that is not one of a `Literal` type.

    Args:
        name: of the option, for the message.
        value: of the option.
        literal: the type.
        error: the kind of error.

    Raises:
        ValueError: the value is not one of `literal`; of the kind that `error` names.
    """
    if value not in get_args(literal):
        raise error(f"{name} is one of {get_args(literal)}, not {value!r}.")


def require_workers(workers: int | None, error: type[UnboxedError] = UnboxedError) -> None:
    """Raise an error for fewer than one worker, or more than 1,024; see `require_count`. None is any number."""
    if workers is not None:
        require_count("workers", workers, most=_WORKERS, error=error)
