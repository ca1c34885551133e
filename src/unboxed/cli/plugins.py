"""`--plugin FILE`, an option of every command: recipes of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from unboxed.errors import UnboxedError
from unboxed.runtime.progress import add_to_calls

__all__ = ["without_plugins"]


def without_plugins(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--plugin FILE`; the files are named to `recipes.plugins` and to child processes.

    Commands that are printed to be copied have the option, too.

    Raises:
        UnboxedError: no file after `--plugin`, or one that does not exist.
    """
    kept: list[str] = []
    files: list[Path] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option != "--plugin":
            kept.append(word)
            continue
        file = Path(value if equals else next(words, ""))
        if not file.is_file():
            raise UnboxedError(f"--plugin names a Python file with recipes; there is no file {str(file)!r}.")
        files.append(file)
    add_to_calls(word for file in files for word in ("--plugin", file))
    if files:
        from unboxed.recipes.plugins import ENVIRONMENT

        before = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = os.pathsep.join(
            [*([before] if before else []), *(str(file.resolve()) for file in files)]
        )
    return kept
