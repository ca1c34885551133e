"""Options that were renamed. For one release the old name works, with a warning."""

from __future__ import annotations

from collections.abc import Sequence

from unboxed.errors import UnboxedError
from unboxed.runtime.progress import show

__all__ = ["RENAMED_OPTIONS", "replace_renamed_options"]

RENAMED_OPTIONS: dict[str, dict[str, str]] = {
    "fit": {"--tensorboard": "--logger tensorboard"},
    "regions": {"--detectors": "--detector"},
    "label": {"--review-photos": "--review-images"},
    "search": {"--photo": "--image"},
    "studio": {"--photos": "--images"},
}
"""Old name -> new name of each renamed option, by command; with a value where the old one was a switch."""


def replace_renamed_options(arguments: Sequence[str]) -> list[str]:
    """The arguments of the command line with the new names of renamed options. Prints a warning for each old name.

    Raises:
        UnboxedError: an option is given under both names; only one of the two values would be used.
    """
    renamed = RENAMED_OPTIONS.get(arguments[0], {}) if arguments else {}
    given = {_option(argument) for argument in arguments}
    for old, new in renamed.items():
        name = new.split()[0]
        if {old, name} <= given:
            raise UnboxedError(f"{old} is the old name of {new}; give all values after one {name}.")
    return [part for argument in arguments for part in _replaced(argument, renamed)]


def _replaced(argument: str, renamed: dict[str, str]) -> list[str]:
    _, equals, value = argument.partition("=")
    old = _option(argument)
    if old not in renamed:
        return [argument]
    show(f"warning: {old} is now called {renamed[old]}; the old name is removed in the next release.")
    name, *given = renamed[old].split()
    return [name + equals + value, *given]


def _option(argument: str) -> str:
    return argument.partition("=")[0].replace("_", "-")
