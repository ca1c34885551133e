"""Checks of the values of options: numbers in a range, and names among the known ones."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

from unboxed.errors import UnboxedError

__all__ = ["require_count", "require_literal", "require_literals", "require_workers"]

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


def require_literals(options: object, error: type[UnboxedError]) -> None:
    """Raise an error for a field of a dataclass whose type is a `Literal`, or one or None, with another value.

    Args:
        options: the dataclass.
        error: the kind of error.

    Raises:
        UnboxedError: a value that the type does not have; of the kind that `error` names.
    """
    for name, choices in _choices(type(options)).items():
        value = getattr(options, name)
        if value not in choices:
            names = ", ".join("none" if choice is None else str(choice) for choice in choices)
            raise error(f"--{name.replace('_', '-')} is {value!r}; expected one of {names}.")


def _choices(options: type) -> dict[str, tuple[Any, ...]]:
    """The values of each field whose type is a `Literal`, or one or None."""
    try:
        kinds = get_type_hints(options)
    except NameError:  # the types of a class that was made in a function, which only that function knows
        return {}
    found = {}
    for name, kind in kinds.items():
        literal = [part for part in (kind, *get_args(kind)) if get_origin(part) is Literal]
        if literal and (literal[0] is kind or set(get_args(kind)) == {literal[0], type(None)}):
            found[name] = get_args(literal[0]) + (() if literal[0] is kind else (None,))
    return found


def require_workers(workers: int | None, error: type[UnboxedError] = UnboxedError) -> None:
    """Raise an error for fewer than one worker, or more than 1,024; see `require_count`. None is any number."""
    if workers is not None:
        require_count("workers", workers, most=_WORKERS, error=error)
