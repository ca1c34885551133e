"""One line about arguments that do not fit a command, in place of the box that tyro prints."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from typing import Any

import tyro

from unboxed.errors import UnboxedError

__all__ = ["one_line_errors"]


@contextmanager
def one_line_errors(prog: str, command: Callable[..., Any], config: Sequence[Any]) -> Iterator[None]:
    """While it is entered, tyro raises an error of one line for wrong arguments.

    Args:
        prog: the command as it is typed, such as `unboxed label`.
        command: its function, whose parameters are the options.
        config: of tyro.

    Raises:
        UnboxedError: an argument is missing, unknown, or has a value that it cannot have.
    """
    try:
        from tyro import _errors  # not public; without it, tyro prints its box
    except ImportError:
        yield
        return

    def report(event: Any) -> None:
        line = None
        if isinstance(event, _errors.MissingArgs):
            needed = [_with_value(context.arg) for context in event.missing_arguments]
            line = (
                "needs " + _joined(needed, "and") + _without(event.unrecognized_tokens, prog, command, config, ", and")
            )
        elif isinstance(event, _errors.UnrecognizedArgs):
            line = _without(event.tokens, prog, command, config).strip()
        elif isinstance(event, _errors.InvalidChoice):
            choices = [choice for choice in event.choices if choice != "None"]
            line = f"has no {event.argument.display_name()} {event.value}; it is {_joined(choices, 'or')}"
        elif isinstance(event, _errors.BadValue) and event.reason == "too_few_values":
            after = "" if event.argument.is_positional() else "a value after "
            line = f"needs {after}{_with_value(event.argument)}"
        elif isinstance(event, _errors.InstantiationFailure) and event.argument is not None:
            line = _wrong_value(event.argument, event.message)
        if line:
            raise UnboxedError(f"`{prog}` {line}. More: {prog} --help")

    with _errors.on_parse_error(report):
        yield


def _with_value(argument: Any) -> str:
    """An option with the kind of its value, `--out PATH`, or the name of a positional argument."""
    name = str(argument.display_name())
    return name.upper() if argument.is_positional() else f"{name} {argument.lowered.metavar or ''}".strip()


def _wrong_value(argument: Any, message: str) -> str:
    given = re.findall(r"'[^']*'", message)
    return f"takes {_with_value(argument)}" + (f", and not {given[-1]}" if given else f": {message}")


def _without(
    tokens: Sequence[str], prog: str, command: Callable[..., Any], config: Sequence[Any], before: str = ""
) -> str:
    """What the command does not have: its first unknown option, with the closest known one, or unknown arguments."""
    option = next((token.partition("=")[0] for token in tokens if token.startswith("-")), None)
    if option is None:
        return f"{before} takes no further argument, such as {tokens[0]!r}" if tokens else ""
    with redirect_stdout(StringIO()) as page, suppress(SystemExit):
        tyro.cli(command, prog=prog, args=["--help"], config=config)
    lines = re.findall(r"^\W*(--.*)$", page.getvalue(), re.MULTILINE)
    known = [name for line in lines for name in re.findall(r"--[\w-]+", line)]
    close = difflib.get_close_matches(option.replace("_", "-"), known, n=1)
    return f"{before} has no option {option}" + (f" (did you mean {close[0]}?)" if close else "")


def _joined(parts: Sequence[str], word: str) -> str:
    *first, last = parts
    return f"{', '.join(first)} {word} {last}" if first else last
