"""The range of a number that is given as an option: how many, how large."""

from __future__ import annotations

from unboxed.errors import UnboxedError

__all__ = ["require_count", "require_workers"]

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


def require_workers(workers: int, error: type[UnboxedError] = UnboxedError) -> None:
    """Raise an error for fewer than one worker, or more than 1,024; see `require_count`."""
    require_count("workers", workers, most=_WORKERS, error=error)
