"""Swapped arguments: some commands take the run first, others the images; the error names the right call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from unboxed.errors import UnboxedError
from unboxed.runtime.progress import to_call

__all__ = ["require_order"]

_RUN_FIRST = ("ground", "index")
_RUN_THEN_OPTION = {"evaluate": "--data", "calibrate": "--data", "studio": "--images"}
_DATA_FIRST = ("label", "audit")


def require_order(command: str, args: Sequence[str]) -> None:
    """Raise an error that names the right call where a run stands in the place of the images, or they in its place.

    Args:
        command: name of the command.
        args: its arguments.

    Raises:
        UnboxedError: the arguments are swapped.
    """
    named = list(args[: next((i for i, text in enumerate(args) if text.startswith("-")), len(args))])
    rest = list(args[len(named) :])
    call: list[str] | None = None
    if command == "fit" and len(named) == 1 and Path(named[0]).exists() and not _is_recipe(named[0]):
        call = ["--data", *named, *rest]
    elif command == "search" and named and _is_run(named[0]):
        raise UnboxedError(
            f"{named[0]} is a run, and not an index of images; make one first: "
            f"{to_call('index', named[0], 'IMAGES', '--out', 'INDEX')}"
        )
    elif command in _RUN_FIRST:
        call = _without_options(named, rest)
        if len(named) > 1 and _is_run(named[1]) and not _is_run(named[0]):
            call = [named[1], named[0], *named[2:], *rest]
    elif command in _RUN_THEN_OPTION:
        call = _with_run_and_data(named, rest, _RUN_THEN_OPTION[command], run_first=True)
    elif command in _DATA_FIRST:
        call = _with_run_and_data(named, rest, "--run", run_first=False)
    if call is not None:
        raise UnboxedError(f"{_order(command)}: {to_call(command, *call)}")


def _without_options(named: list[str], rest: list[str]) -> list[str] | None:
    """The call with the run and the images as arguments; None where no option names one of them."""
    found = {name: rest.index(name) for name in ("--run", "--data", "--images") if name in rest[:-1]}
    if not found or len(found) + len(named) < 2:
        return None
    values = [rest[place + 1] for place in found.values()]  # the run comes first, as in the names above
    others = [text for i, text in enumerate(rest) if not {i, i - 1} & set(found.values())]
    return [*(values + named if "--run" in found else named + values), *others]


def _with_run_and_data(named: list[str], rest: list[str], option: str, run_first: bool) -> list[str] | None:
    """The right call, of one argument and one option; None where it is right, or where no run is named."""
    place = rest.index(option) if option in rest[:-1] else None
    given = named + ([] if place is None else [rest[place + 1]])
    if len(given) != 2 or _is_run(given[0]) == _is_run(given[1]):
        return None
    run, data = given if _is_run(given[0]) else given[::-1]
    first, second = (run, data) if run_first else (data, run)
    if (named, place is None) == ([first], False):
        return None
    others = rest if place is None else rest[:place] + rest[place + 2 :]
    return [first, option, second, *others]


def _order(command: str) -> str:
    if command == "fit":
        return "`unboxed fit` takes the data after --data"
    first = "images" if command in _DATA_FIRST else "run"
    option = "--run" if command in _DATA_FIRST else _RUN_THEN_OPTION.get(command)
    second = "the images" if first == "run" else "the run"
    return f"`unboxed {command}` takes the {first} first, and {second} {f'after {option}' if option else 'second'}"


def _is_recipe(name: str) -> bool:
    from unboxed.recipes.plugins import find_recipe

    return find_recipe(name) is not None


def _is_run(name: str) -> bool:
    try:
        content = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
        return isinstance(content, dict) and "recipe" in content
    except (OSError, ValueError, RecursionError):
        return False
